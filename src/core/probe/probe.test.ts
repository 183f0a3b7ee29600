/** Instances, probe and release (core.md 1). */
import { describe, expect, test } from 'vitest';
import { Rig, newCore, listenCalls } from '../../testing/core/rig.ts';
import { must } from '../../testing/base/must.ts';
import { createMockDriver, mockDeviceOf } from '../../drivers/mock/index.ts';
import { EINVAL, EIO, ENODEV, ENOMEM, EPROBE_DEFER } from '../../base/errno.ts';
import { attachGroup } from '../attach/attach.ts';
import { Device } from '../contract/device.ts';
import {
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_DIRTY_TRACKING,
  IOMMU_CAP_NOEXEC,
  IOMMU_CAP_PCI_ATS_SUPPORTED,
} from '../contract/driver.ts';
import { fwspecAddIds, fwspecFree, fwspecInit } from './fwspec.ts';
import { groupRemoveDevice, releaseDevice } from './release.ts';
import { deviceIommuCapable, groupHasIsolatedMsi, probeDevice } from './probe.ts';
import {
  busAddDevice,
  busRemoveDevice,
  deviceRegister,
  deviceUnregister,
  instanceDevices,
  newIommuDevice,
} from './register.ts';
import { groupClaimDmaOwner } from '../group/ownership.ts';
import { resetPrepare } from '../group/reset.ts';
import { IOMMU_RESV_DIRECT } from '../contract/resv-region.ts';

const REGION = { start: 0x1000n, length: 0x1000n, prot: 3, type: IOMMU_RESV_DIRECT };
const pci = (name: string) => ({ name, bus: 'pci' }) as const;

describe('registering an instance', () => {
  test('ops of a module without an owner are refused with EINVAL, and warned', () => {
    const core = newCore();
    const mock = createMockDriver(core, { owner: null });
    expect(mock.registerInstance()).toBe(EINVAL);
    expect(core.env.warnings).toEqual(['register-no-owner']);
    expect(core.instances).toEqual([]);
  });
  test('a module that is going gives no reference, and EINVAL from the probe ends the registration', () => {
    const core = newCore();
    busAddDevice(new Device(core, pci('A')));
    const mock = createMockDriver(core, { owner: { going: true } });
    expect(mock.registerInstance()).toBe(EINVAL);
    expect(core.instances).toEqual([]);
  });
  test('devices that were there before are probed, bus after bus in the order of scanning', () => {
    const core = newCore();
    for (const [name, bus] of [
      ['C', 'cdx'],
      ['P1', 'pci'],
      ['F', 'platform'],
      ['P2', 'pci'],
    ] as const) {
      busAddDevice(new Device(core, { name, bus }));
    }
    const mock = createMockDriver(core);
    const log = listenCalls(core, (name) => name);
    const instance = must(mock.registerInstance());
    expect(instance.ready).toBe(true);
    expect(log.take().map((line) => line.split(',')[1])).toEqual(['F)', 'P1)', 'P2)', 'C)']);
    expect(instanceDevices(core, instance)).toHaveLength(4);
  });
  test("ENODEV of a probe is nobody's business, another errno undoes the registration", () => {
    for (const [failProbe, result] of [
      [ENODEV, undefined],
      [EIO, EIO],
    ] as const) {
      const core = newCore();
      const mock = createMockDriver(core);
      const [first, second] = [new Device(core, pci('A')), new Device(core, pci('B'))];
      busAddDevice(first);
      busAddDevice(second);
      mock.knobsOf(second).failProbe = failProbe;
      const instance = newIommuDevice(mock.ops, { name: 'i' });
      expect(deviceRegister(core, instance, mock.ops)).toBe(result);
      expect(first.iommuGroup !== undefined).toBe(result === undefined);
      expect(second.iommu).toBeUndefined();
      expect(core.instances).toHaveLength(result ? 0 : 1);
    }
  });
});

describe('instances and buses', () => {
  test('an instance for one bus probes that bus only', () => {
    const core = newCore();
    const mock = createMockDriver(core);
    const dev = mock.addDevice({ config: { name: 'M', bus: 'iommufd-mock' } });
    expect(dev.iommuGroup).toBeUndefined();
    const instance = must(mock.registerInstance({ bus: 'iommufd-mock' }));
    expect(fwspecInit(dev, instance.fwnode!)).toBeUndefined();
    expect(probeDevice(dev)).toBeUndefined();
    expect(dev.iommuGroup?.defaultDomain).toBe(mock.ops.blockedDomain);
  });
  test('unregistering releases every device and gives up the group of the instance', () => {
    const core = newCore();
    const mock = createMockDriver(core, { group: 'instance' });
    const instance = must(mock.registerInstance());
    const devices = ['A', 'B'].map((name) => mock.addDevice({ config: pci(name) }));
    expect(devices[0]!.iommuGroup).toBe(devices[1]!.iommuGroup);
    expect(devices[0]!.iommuGroup?.refs).toBe(3);
    deviceUnregister(core, instance);
    expect(core.groups.size).toBe(0);
    expect(core.env.warnings).toEqual([]);
  });
});

describe('fwspec', () => {
  test('a fwspec of an instance that is not there gives the verdict of the driver core', () => {
    const core = newCore();
    const dev = new Device(core, pci('A'));
    expect(fwspecInit(dev, {})).toBe(EPROBE_DEFER);
    core.deferredProbeVerdict = ENODEV;
    expect(fwspecInit(dev, {})).toBe(ENODEV);
    expect(dev.iommu).toBeUndefined();
  });
  test('a fwspec of an instance that is not ready yet is EPROBE_DEFER', () => {
    const core = newCore();
    const node = {};
    const mock = createMockDriver(core);
    const instance = must(mock.registerInstance({ fwnode: node }));
    instance.ready = false;
    expect(fwspecInit(new Device(core, pci('A')), node)).toBe(EPROBE_DEFER);
  });
  test('a second fwspec is fine for the same driver, and EINVAL for another', () => {
    const core = newCore();
    const [one, two, other] = [{}, {}, {}];
    const mock = createMockDriver(core);
    must(mock.registerInstance({ fwnode: one }));
    must(mock.registerInstance({ fwnode: two }));
    must(createMockDriver(core).registerInstance({ fwnode: other }));
    const dev = new Device(core, pci('A'));
    expect(fwspecInit(dev, one)).toBeUndefined();
    expect(fwspecInit(dev, two)).toBeUndefined();
    expect(fwspecInit(dev, other)).toBe(EINVAL);
    expect(dev.iommu?.fwspec?.fwnode).toBe(one);
  });
  test('ids are appended to a fwspec in order, and need one, else EINVAL', () => {
    const core = newCore();
    const node = {};
    must(createMockDriver(core).registerInstance({ fwnode: node }));
    const dev = new Device(core, pci('A'));
    expect(fwspecAddIds(dev, [1])).toBe(EINVAL);
    expect(fwspecInit(dev, node)).toBeUndefined();
    expect(fwspecAddIds(dev, [3, 1])).toBeUndefined();
    expect(fwspecAddIds(dev, [3])).toBeUndefined();
    expect(dev.iommu?.fwspec?.ids).toEqual([3, 1, 3]);
    fwspecFree(dev);
    expect(fwspecAddIds(dev, [1])).toBe(EINVAL);
  });
});

describe('probing a device', () => {
  test('a probe without a driver is ENODEV, and leaves nothing behind', () => {
    const dev = new Device(newCore(), pci('A'));
    expect(probeDevice(dev)).toBe(ENODEV);
    expect(dev.iommu).toBeUndefined();
  });
  test('a second probe does nothing', () => {
    const rig = new Rig();
    expect(probeDevice(rig.a)).toBeUndefined();
    expect(rig.log.take()).toEqual([]);
  });
  test('a driver that gives no group is EINVAL, warned once, and the device is released', () => {
    const core = newCore();
    const mock = createMockDriver(core, { group: () => undefined });
    const released: string[] = [];
    Object.assign(mock.ops, { releaseDevice: (dev: Device) => released.push(dev.name) });
    must(mock.registerInstance());
    for (const name of ['A', 'B']) {
      expect(mock.addDevice({ config: pci(name) }).iommu).toBeUndefined();
    }
    expect(released).toEqual(['A', 'B']);
    expect(core.env.warnings).toEqual(['device-group-null']);
  });
  test('an errno of device_group is passed on', () => {
    const core = newCore();
    const mock = createMockDriver(core, { group: () => ENOMEM });
    must(mock.registerInstance());
    expect(probeDevice(new Device(core, pci('A')))).toBe(ENOMEM);
  });
  test('a device whose first attach fails stays out, with a warning, and the group is gone', () => {
    const core = newCore();
    const mock = createMockDriver(core, { default: 'none' });
    must(mock.registerInstance());
    const dev = mock.addDevice({
      config: pci('A'),
      knobs: { failAttach: [{ errno: EIO }] },
    });
    expect(dev.iommuGroup).toBeUndefined();
    expect(core.env.warnings).toEqual(['first-attach-failed']);
    expect(core.groups.size).toBe(0);
    expect(core.ram.used).toBe(0);
  });
});

describe('what a probed device gets', () => {
  test('a hot-plugged device joins the domain its group is on, or stays out', () => {
    const rig = new Rig();
    expect(groupClaimDmaOwner(rig.group, {})).toBeUndefined();
    expect(attachGroup(rig.domain('U'), rig.group)).toBeUndefined();
    rig.log.take();
    expect(rig.mock.addDevice({ config: pci('C') }).iommuGroup).toBe(rig.group);
    const failAttach = [{ errno: EIO }];
    const out = rig.mock.addDevice({ config: pci('E'), knobs: { failAttach } });
    expect(out.iommuGroup).toBeUndefined();
    expect(rig.log.take()).toEqual(['attach(U,C)', 'attach(U,E)=EIO']);
    expect(rig.group.devices.map((member) => member.name)).toEqual(['A', 'B', 'C']);
  });
  test('the number of PASIDs is the smaller one of device and instance; a VF has those of its PF', () => {
    const core = newCore();
    const mock = createMockDriver(core);
    must(mock.registerInstance({ maxPasids: 2 ** 10 }));
    const max = (dev: Device) => dev.iommu?.maxPasids;
    const pf = mock.addDevice({ config: { ...pci('PF'), pasidBits: 8 } });
    expect(max(pf)).toBe(256);
    expect(max(mock.addDevice({ config: { ...pci('B'), pasidBits: 20 } }))).toBe(1024);
    expect(max(mock.addDevice({ config: pci('C') }))).toBe(0);
    const vf = { ...pci('VF'), pci: { isVf: true, hasPri: false, physfn: pf } };
    expect(max(mock.addDevice({ config: vf }))).toBe(256);
  });
  test('a device with a deferred attach is not touched until its first mapping', () => {
    const rig = new Rig({ members: [{ name: 'A', knobs: { attachDeferred: true } }] });
    expect(mockDeviceOf(rig.a).domain).toBeUndefined();
    expect(rig.a.iommu?.attachDeferred).toBe(true);
    expect(attachGroup(rig.domain('U'), rig.group)).toBeUndefined();
    expect(rig.a.iommu?.attachDeferred).toBe(false);
  });
});

describe('the course of a probe', () => {
  test('the bus is asked for a fwspec, and may finish the probe itself, which is ENODEV', () => {
    const core = newCore();
    const node = {};
    const mock = createMockDriver(core);
    must(mock.registerInstance({ fwnode: node }));
    const named = new Device(core, {
      ...pci('A'),
      dmaConfigure: (dev) => void fwspecInit(dev, node),
    });
    expect(probeDevice(named)).toBeUndefined();
    const racing = new Device(core, {
      ...pci('B'),
      dmaConfigure(dev) {
        void fwspecInit(dev, node);
        expect(probeDevice(dev)).toBeUndefined();
      },
    });
    expect(probeDevice(racing)).toBe(ENODEV);
    expect(racing.iommuGroup).toBeDefined();
  });
  test('a probe with a driver bound is late, and warned', () => {
    const core = newCore();
    const mock = createMockDriver(core);
    must(mock.registerInstance());
    const dev = new Device(core, { ...pci('A'), dmaConfigure: () => undefined });
    dev.driver = { name: 'nvme', driverManagedDma: false };
    expect(probeDevice(dev)).toBeUndefined();
    expect(core.env.warnings).toEqual(['late-probe']);
  });
  test('probe_finalize runs once for each device, under no lock', () => {
    const core = newCore();
    const mock = createMockDriver(core);
    const seen: string[] = [];
    Object.assign(mock.ops, {
      probeFinalize(dev: Device) {
        using _ = core.probeLock.hold();
        seen.push(dev.name);
      },
    });
    busAddDevice(new Device(core, pci('A')));
    must(mock.registerInstance());
    mock.addDevice({ config: pci('B') });
    expect(seen).toEqual(['A', 'B']);
  });
});

describe('capabilities', () => {
  test('capabilities are the answer of the driver, and false without an IOMMU', () => {
    const rig = new Rig({ members: [{ name: 'A', knobs: { capabilities: [6], noDirty: true } }] });
    const caps = [
      IOMMU_CAP_CACHE_COHERENCY,
      IOMMU_CAP_DIRTY_TRACKING,
      IOMMU_CAP_PCI_ATS_SUPPORTED,
      IOMMU_CAP_NOEXEC,
    ];
    expect(caps.map((cap) => deviceIommuCapable(rig.a, cap))).toEqual([true, false, true, false]);
    const { a } = rig;
    rig.mock.removeDevice(a);
    expect(deviceIommuCapable(a, IOMMU_CAP_CACHE_COHERENCY)).toBe(false);
  });
  test('interrupts are isolated when those of every member are', () => {
    expect(groupHasIsolatedMsi(new Rig().group)).toBe(true);
    const mixed = new Rig({ members: [{ name: 'A' }, { name: 'B', isolatedMsi: false }] });
    expect(groupHasIsolatedMsi(mixed.group)).toBe(false);
  });
});

describe('releasing a device', () => {
  test('the release domain is attached first, the last device frees the domains of the group', () => {
    const rig = new Rig({ driver: { release: 'own' } });
    rig.log.take();
    releaseDevice(rig.a);
    releaseDevice(rig.b);
    expect(rig.log.take()).toEqual(['attach(R,A,D)', 'attach(R,B,D)']);
    expect(rig.a.iommu).toBeUndefined();
    expect(rig.core.groups.size).toBe(0);
    expect(rig.core.ram.used).toBe(0);
    expect(rig.warnings).toEqual([]);
  });
  test('a device with direct mappings is left on identity rather than blocked', () => {
    const members = [{ name: 'A', knobs: { resvRegions: [REGION] } }];
    const rig = new Rig({ driver: { release: 'blocked', identity: true }, members });
    rig.log.take();
    releaseDevice(rig.a);
    expect(rig.log.take()).toEqual(['attach(I,A,D)']);
  });
  test('a device whose attach is still deferred is not attached to anything', () => {
    const members = [{ name: 'A', knobs: { attachDeferred: true } }];
    const rig = new Rig({ driver: { release: 'own' }, members });
    releaseDevice(rig.a);
    expect(rig.log.take()).toEqual([]);
  });
  test('a last device that leaves while the group is owned is warned', () => {
    const rig = new Rig({ members: [{ name: 'A' }] });
    expect(groupClaimDmaOwner(rig.group, {})).toBeUndefined();
    releaseDevice(rig.a);
    expect(rig.warnings).toEqual(['group-empty-bad-state']);
  });
  test('a device outside of any group has nothing to leave', () => {
    const dev = new Device(newCore(), pci('A'));
    groupRemoveDevice(dev);
    expect(resetPrepare(dev)).toBeUndefined();
    busAddDevice(dev);
    busRemoveDevice(dev);
    expect(dev.core.buses.get('pci')).toEqual([]);
  });
});
