/** What every core call answers for a fake group: core.md 2.7, and the core rows of 12.2, noiommu in iommufd. */
import { describe, expect, test } from 'vitest';
import { must } from '../../testing/base/must.ts';
import { Rig } from '../../testing/core/rig.ts';
import { EINVAL, ENODEV, ENOSPC, EPROBE_DEFER, type Errno } from '../../base/errno.ts';
import { attachDevice, attachGroup, attachGroupHandle, getDomainForDev } from '../attach/attach.ts';
import { auxAttachDevice, auxGetDomainForDev } from '../aux/aux.ts';
import { devEnableFeature, IOMMU_DEV_FEAT_AUX } from '../attach/aux-feature.ts';
import { Device, devHasIommu, deviceIommuMapped } from '../contract/device.ts';
import type { Domain } from '../contract/domain.ts';
import { pagingDomainAlloc } from '../map/domain-alloc.ts';
import { groupAddDevice, groupAlloc, groupSetName } from './group-ops.ts';
import type { IommuGroup } from '../contract/group.ts';
import { dmaPrepareMsi } from '../dma/msi.ts';
import {
  deviceClaimDmaOwner,
  deviceUseDefaultDomain,
  groupClaimDmaOwner,
  groupDmaOwnerClaimed,
} from './ownership.ts';
import { attachDevicePasid } from '../attach/pasid.ts';
import { deviceIommuCapable } from '../probe/probe.ts';
import { groupRemoveDevice } from '../probe/release.ts';
import { getGroupResvRegions } from '../contract/resv-region-list.ts';
import { svaBindDevice } from '../sva/sva.ts';

interface Fake {
  readonly rig: Rig;
  readonly dev: Device;
  readonly group: IommuGroup;
  /** A domain of a real driver of the machine. */
  readonly u: Domain;
}
function fakeGroup(): Fake {
  const rig = new Rig({ traits: ['aux-domains'] });
  const group = must(groupAlloc(rig.core));
  expect(groupSetName(group, 'vfio-noiommu')).toBeUndefined();
  const dev = new Device(rig.core, { name: 'N', bus: 'pci' });
  expect(groupAddDevice(group, dev)).toBeUndefined();
  const u = rig.domain('U');
  rig.log.take();
  return { rig, dev, group, u };
}
const OWNER = {};
const MM = { id: 1, alive: true, usable: true, handleFault: () => true };

describe('a device in a fake group', () => {
  test.for<[string, (f: Fake) => unknown, Errno]>([
    ['attach_device', (f) => attachDevice(f.u, f.dev), EINVAL],
    ['attach_group', (f) => attachGroup(f.u, f.group), EINVAL],
    ['attach_group_handle', (f) => attachGroupHandle(f.u, f.group, { domain: undefined }), EINVAL],
    ['attach_device_pasid', (f) => attachDevicePasid(f.u, f.dev, 5), EINVAL],
    ['paging_domain_alloc', (f) => pagingDomainAlloc(f.dev), ENODEV],
    ['use_default_domain', (f) => deviceUseDefaultDomain(f.dev), EPROBE_DEFER],
    ['group_claim_dma_owner', (f) => groupClaimDmaOwner(f.group, OWNER), ENODEV],
    ['device_claim_dma_owner', (f) => deviceClaimDmaOwner(f.dev, OWNER), ENODEV],
    ['aux_attach_device', (f) => auxAttachDevice(f.u, f.dev), ENODEV],
    ['dev_enable_feature', (f) => devEnableFeature(f.dev, IOMMU_DEV_FEAT_AUX), ENODEV],
  ])('%s is refused on a fake group, and changes nothing', ([, call, errno]) => {
    const f = fakeGroup();
    expect(call(f)).toBe(errno);
    expect(f.rig.log.take()).toEqual([]);
    expect([f.group.domain, f.group.defaultDomain, f.group.blockingDomain]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect([f.group.pasidArray.size, groupDmaOwnerClaimed(f.group)]).toEqual([0, false]);
    expect(f.rig.warnings).toEqual([]);
  });
  test('a device in a fake group cannot share an address space, for it has no PASIDs', () => {
    expect(svaBindDevice(fakeGroup().dev, MM)).toBe(ENOSPC);
  });
  test('a device in a fake group is mapped, but has no IOMMU, no capabilities, no domain and no regions', () => {
    const { dev, group } = fakeGroup();
    expect([deviceIommuMapped(dev), devHasIommu(dev)]).toEqual([true, false]);
    expect([0, 1, 2, 3, 4, 5, 6].some((cap) => deviceIommuCapable(dev, cap))).toBe(false);
    expect([getDomainForDev(dev), auxGetDomainForDev(dev)]).toEqual([undefined, undefined]);
    expect(getGroupResvRegions(group)).toEqual([]);
    expect(dmaPrepareMsi(dev, 0xfee0_0000n)).toBe(0xfee0_0000n);
  });
  test('a device in a fake group leaves it as it came', () => {
    const { rig, dev } = fakeGroup();
    groupRemoveDevice(dev);
    expect([dev.iommuGroup, dev.iommu]).toEqual([undefined, undefined]);
    expect(rig.warnings).toEqual([]);
  });
});

test('a device in no group cannot be attached, which is ENODEV', () => {
  const rig = new Rig();
  const lone = new Device(rig.core, { name: 'L', bus: 'pci' });
  expect(attachDevice(rig.domain('U'), lone)).toBe(ENODEV);
  expect(attachDevicePasid(rig.domain('V'), lone, 5)).toBe(ENODEV);
});
