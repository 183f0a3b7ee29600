/** DMA ownership, row by row (core.md 2.6). */
import { describe, expect, test } from 'vitest';
import { Rig } from '../../testing/core/rig.ts';
import { must } from '../../testing/base/must.ts';
import { EBUSY, EINVAL, EIO, ENODEV, EPERM, EPROBE_DEFER } from '../../base/errno.ts';
import { attachGroup, attachGroupHandle } from '../attach/attach.ts';
import { bindDriver, unbindDriver } from '../probe/driver-binding.ts';
import { groupAddDevice, groupAlloc } from './group-ops.ts';
import { Device } from '../contract/device.ts';
import {
  deviceClaimDmaOwner,
  deviceReleaseDmaOwner,
  deviceUnuseDefaultDomain,
  deviceUseDefaultDomain,
  groupClaimDmaOwner,
  groupDmaOwnerClaimed,
  groupReleaseDmaOwner,
} from './ownership.ts';
import { attachDevicePasid, detachDevicePasid } from '../attach/pasid.ts';
import { resetPrepare } from './reset.ts';
import { IOMMU_RESV_DIRECT } from '../contract/resv-region.ts';
import { stateDigest } from '../state-digest.ts';

const OWNER = { name: 'one' };
const OTHER = { name: 'other' };
const driver = { name: 'nvme', driverManagedDma: false };
const vfio = { name: 'vfio-pci', driverManagedDma: true };

describe('use and unuse of the default domain', () => {
  test('a device without a group may be used by anybody', () => {
    const rig = new Rig();
    rig.mock.removeDevice(rig.b);
    expect(deviceUseDefaultDomain(rig.b)).toBeUndefined();
    deviceUnuseDefaultDomain(rig.b);
    expect(rig.warnings).toEqual([]);
  });
  test('a driver of a group without a default domain has to wait, which is EPROBE_DEFER', () => {
    const rig = new Rig();
    const dev = new Device(rig.core, { name: 'X', bus: 'pci' });
    expect(groupAddDevice(must(groupAlloc(rig.core)), dev)).toBeUndefined();
    expect(deviceUseDefaultDomain(dev)).toBe(EPROBE_DEFER);
  });
  test('kernel drivers are counted, each unuse takes one back', () => {
    const rig = new Rig();
    expect(deviceUseDefaultDomain(rig.a)).toBeUndefined();
    expect(deviceUseDefaultDomain(rig.b)).toBeUndefined();
    expect(rig.group.ownerCnt).toBe(2);
    expect(groupDmaOwnerClaimed(rig.group)).toBe(true);
    deviceUnuseDefaultDomain(rig.a);
    deviceUnuseDefaultDomain(rig.b);
    expect(groupDmaOwnerClaimed(rig.group)).toBe(false);
    deviceUnuseDefaultDomain(rig.b);
    expect(rig.warnings).toEqual(['release-unowned']);
    expect(rig.group.ownerCnt).toBe(0);
  });
  test('the default domain of a group that a user owns cannot be used, which is EBUSY', () => {
    const rig = new Rig();
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
    expect(deviceUseDefaultDomain(rig.a)).toBe(EBUSY);
  });
  test('a PASID in use while drivers are bound is EBUSY, and unuse is warned', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(deviceUseDefaultDomain(rig.a)).toBeUndefined();
    expect(attachDevicePasid(u, rig.a, 1)).toBeUndefined();
    expect(deviceUseDefaultDomain(rig.b)).toBe(EBUSY);
    deviceUnuseDefaultDomain(rig.a);
    expect(rig.warnings).toEqual(['release-unowned']);
    detachDevicePasid(u, rig.a, 1);
    deviceUnuseDefaultDomain(rig.a);
    expect(rig.group.ownerCnt).toBe(0);
  });
  test('binding a driver that manages DMA itself claims nothing', () => {
    const rig = new Rig();
    expect(bindDriver(rig.a, vfio)).toBeUndefined();
    expect(rig.group.ownerCnt).toBe(0);
    expect(bindDriver(rig.a, driver)).toBe(EBUSY);
    expect(bindDriver(rig.b, driver)).toBeUndefined();
    expect(rig.group.ownerCnt).toBe(1);
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBe(EPERM);
    unbindDriver(rig.b);
    unbindDriver(rig.a);
    expect(rig.group.ownerCnt).toBe(0);
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
    expect(bindDriver(rig.b, driver)).toBe(EBUSY);
    expect(rig.b.driver).toBeUndefined();
  });
});

describe('claim', () => {
  test('nobody cannot be an owner, which is EINVAL and warned', () => {
    const rig = new Rig();
    expect(groupClaimDmaOwner(rig.group, undefined)).toBe(EINVAL);
    expect(deviceClaimDmaOwner(rig.a, undefined)).toBe(EINVAL);
    expect(rig.warnings).toEqual(['owner-null', 'owner-null']);
  });
  test('a group is claimed once, even by the same owner, else EPERM', () => {
    const rig = new Rig();
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBe(EPERM);
  });
  test('devices of a group are claimed by one owner, and counted', () => {
    const rig = new Rig();
    expect(deviceClaimDmaOwner(rig.a, OWNER)).toBeUndefined();
    expect(deviceClaimDmaOwner(rig.b, OWNER)).toBeUndefined();
    expect(deviceClaimDmaOwner(rig.b, OTHER)).toBe(EPERM);
    expect(rig.group.ownerCnt).toBe(2);
    deviceReleaseDmaOwner(rig.a);
    expect(rig.on).toBe('K');
    deviceReleaseDmaOwner(rig.b);
    expect(rig.on).toBe('D');
    expect(rig.group.owner).toBeUndefined();
  });
  test('a device outside of any group cannot be claimed, which is ENODEV', () => {
    const rig = new Rig();
    rig.mock.removeDevice(rig.b);
    expect(deviceClaimDmaOwner(rig.b, OWNER)).toBe(ENODEV);
    deviceReleaseDmaOwner(rig.b);
    expect(rig.warnings).toEqual([]);
  });
  test('a group that is attached to something cannot be claimed, which is EBUSY', () => {
    const rig = new Rig();
    expect(attachGroup(rig.domain('U'), rig.group)).toBeUndefined();
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBe(EBUSY);
    expect(deviceClaimDmaOwner(rig.a, OWNER)).toBe(EBUSY);
  });
});

describe('release', () => {
  test('a PASID in use is EBUSY on claim, and a warning on release', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(attachDevicePasid(u, rig.a, 1)).toBeUndefined();
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBe(EBUSY);
    detachDevicePasid(u, rig.a, 1);
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
    expect(attachDevicePasid(u, rig.a, 1)).toBeUndefined();
    groupReleaseDmaOwner(rig.group);
    expect(rig.warnings).toEqual(['release-unowned']);
    expect(rig.group.owner).toBe(OWNER);
  });
  test('an attach handle that was left behind keeps the ownership', () => {
    const rig = new Rig();
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
    expect(attachGroupHandle(rig.domain('U'), rig.group, { domain: undefined })).toBeUndefined();
    groupReleaseDmaOwner(rig.group);
    expect(rig.warnings).toEqual(['release-unowned']);
  });
  test('releasing what nobody owns is warned', () => {
    const rig = new Rig();
    const before = stateDigest(rig.core);
    groupReleaseDmaOwner(rig.group);
    deviceReleaseDmaOwner(rig.a);
    expect(rig.warnings).toEqual(['release-unowned', 'release-unowned']);
    expect(stateDigest(rig.core).replace(/warnings.*/, '')).toBe(before.replace(/warnings.*/, ''));
  });
});

describe('blocking the group', () => {
  test('a group with a device being reset cannot be claimed, which is EBUSY, and nobody owns it', () => {
    const rig = new Rig();
    expect(resetPrepare(rig.a)).toBeUndefined();
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBe(EBUSY);
    expect(rig.group.owner).toBeUndefined();
  });
  test('a group that firmware wants mapped cannot be blocked, which is EINVAL with a message', () => {
    const region = { start: 0x1000n, length: 0x1000n, prot: 3, type: IOMMU_RESV_DIRECT };
    const rig = new Rig({
      members: [{ name: 'A' }, { name: 'B', knobs: { resvRegions: [region] } }],
    });
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBe(EINVAL);
    expect(rig.log.take()).toEqual(['attach(K,A,D)', 'attach(D,A,K)']);
    expect(rig.warnings).toEqual(['require-direct']);
    expect(rig.group.ownerCnt).toBe(0);
  });
  test('without a static blocked domain an empty paging domain blocks', () => {
    const rig = new Rig({ driver: { blocked: false } });
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
    expect(rig.group.blockingDomain?.type).toBe(1);
    expect(rig.group.domain).toBe(rig.group.blockingDomain);
  });
  test('the errno of a driver that cannot block is the answer, and nobody owns the group', () => {
    const rig = new Rig();
    rig.mock.knobsOf(rig.a).failAttach.push({ errno: EIO });
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBe(EIO);
    expect(rig.on).toBe('D');
    expect(groupDmaOwnerClaimed(rig.group)).toBe(false);
  });
  test('a fake group cannot be blocked, for there is no IOMMU, which is ENODEV', () => {
    const rig = new Rig();
    const group = must(groupAlloc(rig.core));
    expect(groupAddDevice(group, new Device(rig.core, { name: 'X', bus: 'pci' }))).toBeUndefined();
    expect(groupClaimDmaOwner(group, OWNER)).toBe(ENODEV);
  });
});
