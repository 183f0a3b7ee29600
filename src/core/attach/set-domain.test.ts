/** The corners of setting a domain that no flow reaches by itself (core.md 4.1, 11.1). */
import { describe, expect, test } from 'vitest';
import { Rig } from '../../testing/core/rig.ts';
import { EINVAL, EIO, ENODEV } from '../../base/errno.ts';
import { attachGroup, deferredAttach, detachGroup, driverGetDomainForDev } from './attach.ts';
import { Device } from '../contract/device.ts';
import { getDevIommu } from '../probe/fwspec.ts';
import { groupClaimDmaOwner, groupReleaseDmaOwner } from '../group/ownership.ts';
import { resetDone, resetPrepare } from '../group/reset.ts';
import { groupSetDomain, groupSetDomainNofail } from './set-domain.ts';

describe('setting a group', () => {
  test('setting a group to no domain is EINVAL, and warned, in both modes', () => {
    const rig = new Rig();
    using _ = rig.group.mutex.hold();
    expect(groupSetDomain(rig.group, undefined)).toBe(EINVAL);
    expect(groupSetDomainNofail(rig.group, undefined)).toBe(EINVAL);
    expect(rig.warnings).toEqual(['set-domain-null', 'set-domain-null', 'nofail-failed']);
  });
  test('setting a group without its mutex is a mistake of the caller', () => {
    const rig = new Rig();
    expect(() => groupSetDomain(rig.group, rig.group.defaultDomain)).toThrow(/not held/);
  });
});

describe('rolling back and going on', () => {
  test('a rollback that fails is warned; the group stays on the old domain', () => {
    const rig = new Rig();
    expect(groupClaimDmaOwner(rig.group, {})).toBeUndefined();
    const u = rig.domain('U');
    const blocked = rig.mock.ops.blockedDomain!;
    rig.mock.knobsOf(rig.b).failAttach.push({ errno: EIO, domain: u });
    rig.mock.knobsOf(rig.a).failAttach.push({ errno: EIO, domain: blocked });
    expect(attachGroup(u, rig.group)).toBe(EIO);
    expect(rig.warnings).toEqual(['rollback-failed']);
    expect(rig.on).toBe('K');
  });
  test('a rollback goes over the members before the failing one only', () => {
    const members = [{ name: 'A' }, { name: 'B' }, { name: 'C' }, { name: 'E' }];
    const rig = new Rig({ members });
    rig.mock.knobsOf(rig.devices[2]!).failAttach.push({ errno: EIO });
    expect(attachGroup(rig.domain('U'), rig.group)).toBe(EIO);
    expect(rig.log.take()).toEqual([
      'attach(U,A,D)',
      'attach(U,B,D)',
      'attach(U,C,D)=EIO',
      'attach(D,A,U)',
      'attach(D,B,U)',
    ]);
  });
  test('what must succeed reports the last error and goes on to the end', () => {
    const members = [{ name: 'A' }, { name: 'B' }, { name: 'C' }];
    const rig = new Rig({ members });
    const u = rig.domain('U');
    expect(attachGroup(u, rig.group)).toBeUndefined();
    rig.log.take();
    rig.mock.knobsOf(rig.a).failAttach.push({ errno: EIO });
    rig.mock.knobsOf(rig.b).failAttach.push({ errno: EINVAL });
    using _ = rig.group.mutex.hold();
    expect(groupSetDomainNofail(rig.group, rig.group.defaultDomain)).toBe(EINVAL);
    expect(rig.log.take()).toEqual(['attach(D,A,U)=EIO', 'attach(D,B,U)=EINVAL', 'attach(D,C,U)']);
    expect(rig.on).toBe('D');
  });
  test('a device that firmware wants mapped is not even blocked by what must succeed, and that is warned', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(groupClaimDmaOwner(rig.group, {})).toBeUndefined();
    expect(attachGroup(u, rig.group)).toBeUndefined();
    rig.a.iommu!.requireDirect = true;
    rig.log.take();
    detachGroup(u, rig.group);
    expect(rig.log.take()).toEqual(['attach(K,B,U)']);
    expect(rig.warnings).toEqual(['require-direct', 'nofail-failed']);
    groupReleaseDmaOwner(rig.group);
    expect(rig.on).toBe('D');
  });
});

describe('a device that is not in its own group', () => {
  const lost = () => {
    const rig = new Rig();
    rig.group.devices.splice(0, 1);
    return rig;
  };
  test('a device that is not in its own group cannot be attached late, which is ENODEV and warned', () => {
    const rig = lost();
    rig.a.iommu!.attachDeferred = true;
    expect(deferredAttach(rig.a, rig.group.defaultDomain!)).toBe(ENODEV);
    expect(rig.warnings).toEqual(['member-missing']);
  });
  test('a device that is not in its own group cannot be reset, which is ENODEV and warned both times', () => {
    const rig = lost();
    expect(resetPrepare(rig.a)).toBe(ENODEV);
    resetDone(rig.a);
    expect(rig.warnings).toEqual(['reset-unbalanced', 'reset-unbalanced']);
  });
  test('a device that is not in its own group is on nothing, and that is warned', () => {
    const rig = lost();
    using _ = rig.group.mutex.hold();
    expect(driverGetDomainForDev(rig.a)).toBeUndefined();
    expect(rig.warnings).toEqual(['member-missing']);
  });
  test('a late attach without any group is ENODEV', () => {
    const rig = new Rig();
    const dev = new Device(rig.core, { name: 'X', bus: 'pci' });
    getDevIommu(dev).attachDeferred = true;
    expect(deferredAttach(dev, rig.group.defaultDomain!)).toBe(ENODEV);
  });
});

describe('states that only a mistake can reach are warned', () => {
  test('a default domain without a domain is warned', () => {
    const rig = new Rig();
    rig.group.domain = undefined;
    rig.mock.addDevice({ config: { name: 'C', bus: 'pci' } });
    expect(rig.warnings).toEqual(['default-without-domain']);
  });
  test('a blocking domain that got lost, and a count that got out of step, are warned', () => {
    const rig = new Rig();
    expect(resetPrepare(rig.a)).toBeUndefined();
    rig.group.recoveryCnt = 0;
    resetDone(rig.a);
    expect(rig.warnings).toEqual(['reset-unbalanced']);
    expect(resetPrepare(rig.a)).toBeUndefined();
    rig.group.blockingDomain = undefined;
    resetDone(rig.a);
    expect(rig.warnings).toEqual(['reset-unbalanced', 'reset-unbalanced']);
  });
});
