/** Groups by hand, their files, and writing `type` (core.md 2.2, 2.4). */
import { describe, expect, test } from 'vitest';
import { Rig, newCore } from '../../testing/core/rig.ts';
import { must } from '../../testing/base/must.ts';
import { CAP_SYS_ADMIN, CAP_SYS_RAWIO } from '../../base/task.ts';
import { EACCES, EEXIST, EINVAL, EIO, ENOMEM, EPERM, ENODEV } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { attachGroup } from '../attach/attach.ts';
import { Device } from '../contract/device.ts';
import { IOMMU_DOMAIN_DMA, IOMMU_DOMAIN_DMA_FQ } from '../contract/domain.ts';
import {
  fslMcDeviceGroup,
  groupAddDevice,
  groupAlloc,
  groupDefaultDomain,
  groupForEachDev,
  groupGet,
  groupGetIommudata,
  groupId,
  groupPut,
  groupSetIommudata,
  groupSetName,
} from './group-ops.ts';
import {
  groupNameShow,
  groupReservedRegionsShow,
  groupTypeShow,
  groupTypeStore,
} from './group-sysfs.ts';
import { deviceUseDefaultDomain } from './ownership.ts';
import { groupRemoveDevice } from '../probe/release.ts';
import {
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_RESERVED,
  IOMMU_RESV_SW_MSI,
} from '../contract/resv-region.ts';

const all = () => true;

describe('a group', () => {
  test('a group has the lowest free id, which its last reference gives back', () => {
    const core = newCore();
    const [one, two] = [must(groupAlloc(core)), must(groupAlloc(core))];
    expect([groupId(one), groupId(two)]).toEqual([0, 1]);
    groupPut(one);
    expect(groupId(must(groupAlloc(core)))).toBe(0);
    groupPut(undefined);
  });
  test('a group is held by each device in it', () => {
    const core = newCore();
    const group = must(groupAlloc(core));
    const dev = new Device(core, { name: 'X', bus: 'pci' });
    expect(groupAddDevice(group, dev)).toBeUndefined();
    groupPut(group);
    expect(groupGet(dev)).toBe(group);
    groupPut(group);
    groupRemoveDevice(dev);
    expect(groupGet(dev)).toBeUndefined();
    expect(core.groups.size).toBe(0);
  });
  test('a device joins one group only, else EEXIST', () => {
    const core = newCore();
    const dev = new Device(core, { name: 'X', bus: 'pci' });
    expect(groupAddDevice(must(groupAlloc(core)), dev)).toBeUndefined();
    expect(groupAddDevice(must(groupAlloc(core)), dev)).toBe(EEXIST);
  });
  test('members of the same name get a number', () => {
    const core = newCore();
    const group = must(groupAlloc(core));
    for (let n = 0; n < 3; n++) {
      expect(groupAddDevice(group, new Device(core, { name: 'X', bus: 'pci' }))).toBeUndefined();
    }
    expect(group.devices.map((member) => member.name)).toEqual(['X', 'X.0', 'X.1']);
  });
});

describe('what a group carries', () => {
  test("a group's name can be set, changed and taken away once; ENOMEM after that", () => {
    const group = must(groupAlloc(newCore()));
    expect(groupNameShow(group)).toBeUndefined();
    expect(groupSetName(group, 'vfio-noiommu')).toBeUndefined();
    expect(groupNameShow(group)).toBe('vfio-noiommu\n');
    expect(groupSetName(group, undefined)).toBeUndefined();
    expect(groupSetName(group, undefined)).toBe(ENOMEM);
  });
  test('data of a driver is released with the group', () => {
    const group = must(groupAlloc(newCore()));
    const released: unknown[] = [];
    groupSetIommudata(group, 'data', (data) => released.push(data));
    expect(groupGetIommudata(group)).toBe('data');
    groupPut(group);
    expect(released).toEqual(['data']);
  });
  test('a walk over a group stops at the first errno, and may not take the mutex again', () => {
    const rig = new Rig();
    const seen: string[] = [];
    const walk = groupForEachDev(rig.group, (dev) => {
      seen.push(dev.name);
      return refuse(EIO, 'enough');
    });
    expect(walk).toBe(EIO);
    expect(seen).toEqual(['A']);
    expect(() => groupForEachDev(rig.group, () => attachGroup(rig.domain('U'), rig.group))).toThrow(
      /taken twice/,
    );
  });
  test('a group that dies with a domain of its own is warned', () => {
    const core = newCore();
    const group = must(groupAlloc(core));
    const rig = new Rig();
    group.defaultDomain = groupDefaultDomain(rig.group);
    groupPut(group);
    expect(core.env.warnings).toEqual(['group-freed-with-domains']);
  });
  test('fsl-mc devices share the group of their container', () => {
    const core = newCore();
    const container = new Device(core, { name: 'dprc.1', bus: 'fsl-mc' });
    const group = must(fslMcDeviceGroup(container));
    expect(groupAddDevice(group, container)).toBeUndefined();
    const child = new Device(core, { name: 'dpni.1', bus: 'fsl-mc', container });
    expect(fslMcDeviceGroup(child)).toBe(group);
  });
});

describe('files', () => {
  test('the file reserved_regions has one line for each, ends inclusive', () => {
    const at = (start: bigint, type: number) => ({ start, length: 0x1000n, prot: 3, type });
    const resvRegions = [
      at(0x1000n, IOMMU_RESV_DIRECT),
      at(0x3000n, IOMMU_RESV_DIRECT_RELAXABLE),
      at(0xfee00000n, IOMMU_RESV_MSI),
      at(0x8000000n, IOMMU_RESV_SW_MSI),
      at(0xffff_ffff_ffff_f000n, IOMMU_RESV_RESERVED),
    ];
    const rig = new Rig({ members: [{ name: 'A', knobs: { resvRegions } }] });
    expect(groupReservedRegionsShow(rig.group)).toBe(
      [
        '0x0000000000001000 0x0000000000001fff direct',
        '0x0000000000003000 0x0000000000003fff direct-relaxable',
        '0x0000000008000000 0x0000000008000fff msi',
        '0x00000000fee00000 0x00000000fee00fff msi',
        '0xfffffffffffff000 0xffffffffffffffff reserved',
        '',
      ].join('\n'),
    );
  });
  test('the file type says that of the default domain, not of what the group is on', () => {
    const rig = new Rig({ traits: ['strict-default'] });
    expect(attachGroup(rig.domain('U'), rig.group)).toBeUndefined();
    expect(groupTypeShow(rig.group)).toBe('DMA\n');
    expect(groupTypeShow(new Rig().group)).toBe('DMA-FQ\n');
    expect(groupTypeShow(new Rig({ driver: { default: 'blocked' } }).group)).toBe('blocked\n');
    expect(groupTypeShow(new Rig({ driver: { default: 'own' } }).group)).toBe('unknown\n');
    const identity = new Rig({ traits: ['passthrough-default'], driver: { identity: true } });
    expect(groupTypeShow(identity.group)).toBe('identity\n');
    expect(groupTypeShow(must(groupAlloc(newCore())))).toBe('unknown\n');
  });
});

describe('writing type', () => {
  test('writing type takes both capabilities, and is EACCES before anything else', () => {
    const group = must(groupAlloc(newCore()));
    for (const has of [CAP_SYS_ADMIN, CAP_SYS_RAWIO]) {
      expect(groupTypeStore(group, 'nonsense', (cap) => cap === has)).toBe(EACCES);
    }
    expect(groupTypeStore(group, 'nonsense', all)).toBe(EINVAL);
  });
  test('writing another word to type is EINVAL', () => {
    expect(groupTypeStore(new Rig().group, 'dma', all)).toBe(EINVAL);
    expect(groupTypeStore(new Rig().group, 'DMA\n\n', all)).toBe(EINVAL);
  });
  test('writing type while drivers are bound is EPERM, but DMA may become DMA-FQ in place', () => {
    const rig = new Rig({ traits: ['strict-default'] });
    const before = rig.group.defaultDomain;
    expect(deviceUseDefaultDomain(rig.a)).toBeUndefined();
    expect(groupTypeStore(rig.group, 'auto\n', all)).toBe(EPERM);
    expect(groupTypeStore(rig.group, 'DMA-FQ\n', all)).toBe(7);
    expect(rig.group.defaultDomain).toBe(before);
    expect(before?.type).toBe(IOMMU_DOMAIN_DMA_FQ);
    expect(groupTypeStore(rig.group, 'DMA', all)).toBe(EPERM);
  });
  test('writing type changes the default domain of all members, and frees the old one', () => {
    const rig = new Rig({ driver: { identity: true } });
    const frames = rig.core.ram.used;
    rig.log.take();
    expect(groupTypeStore(rig.group, 'identity\n', all)).toBe(9);
    expect(rig.log.take()).toEqual(['attach(I,A,D)', 'attach(I,B,D)']);
    expect(groupTypeShow(rig.group)).toBe('identity\n');
    expect(rig.core.ram.used).toBeLessThan(frames);
    expect(rig.a.dmaIommu).toBe(false);
    expect(groupTypeStore(rig.group, 'DMA', all)).toBe(3);
    expect(rig.group.defaultDomain?.type).toBe(IOMMU_DOMAIN_DMA);
    expect(rig.a.dmaIommu).toBe(true);
    expect(rig.warnings).toEqual([]);
  });
  test('writing type to a driver that fails leaves the old default domain in place', () => {
    const rig = new Rig({ driver: { identity: true } });
    const before = rig.group.defaultDomain;
    rig.mock.knobsOf(rig.b).failAttach.push({ errno: ENODEV });
    expect(groupTypeStore(rig.group, 'identity', all)).toBe(ENODEV);
    expect(rig.group.defaultDomain).toBe(before);
    expect(rig.on).toBe('D');
  });
  test('writing type against the opinion of a device is EINVAL', () => {
    const rig = new Rig({ members: [{ name: 'A', knobs: { defDomainType: IOMMU_DOMAIN_DMA } }] });
    expect(groupTypeStore(rig.group, 'identity', all)).toBe(EINVAL);
    expect(groupTypeStore(rig.group, 'auto', all)).toBe(4);
  });
});
