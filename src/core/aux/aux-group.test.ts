/** Mediated devices and the group calls for aux domains as posted in v3: core.md 8.3, 8.4 and their rows of 12.3. */
import { describe, expect, test } from 'vitest';
import { joinGroup, newMdev, type MdevRig } from '../../testing/core/mdev-rig.ts';
import { must } from '../../testing/base/must.ts';
import { EBUSY, EINVAL, ENODEV, ENOMEM, EPERM, isErrno } from '../../base/errno.ts';
import { attachGroup, detachGroup, getDomainForDev } from '../attach/attach.ts';
import { devDisableFeature, IOMMU_DEV_FEAT_AUX } from '../attach/aux-feature.ts';
import { auxAttachGroup, auxDetachGroup, auxGetDomainForDev, auxGetPasid } from './aux.ts';
import type { Device } from '../contract/device.ts';
import { IOMMU_DOMAIN_DMA } from '../contract/domain.ts';
import { groupForEachDev } from '../group/group-ops.ts';
import {
  mdevAttachDomain,
  mdevCreate,
  mdevDetachDomain,
  mdevGetIommuDevice,
  mdevGroupIommuDevice,
  mdevParentDev,
  mdevRemove,
  mdevSetIommuDevice,
} from './mdev.ts';

describe('a mediated device', () => {
  test('a mediated device is alone in a group without domains, and knows its parent and IOMMU device', () => {
    const { rig, mdev, group, phys } = newMdev();
    expect(group.devices.map((member) => member.dev)).toEqual([mdev]);
    expect([group.domain, group.defaultDomain]).toEqual([undefined, undefined]);
    expect(mdevParentDev(mdev)).toBe(phys);
    expect(mdevGetIommuDevice(mdev)).toBe(phys);
    expect(mdevSetIommuDevice(rig.b, phys)).toBe(EINVAL);
    const groups = rig.core.groups.size;
    mdevRemove(mdev);
    expect(rig.core.groups.size).toBe(groups - 1);
    expect(mdevGetIommuDevice(mdev)).toBeUndefined();
  });
  test('a mediated device has no one device behind its group when a member has none, or they differ', () => {
    const { rig, mdev, group, phys } = newMdev();
    expect(mdevGroupIommuDevice(group)).toBe(phys);
    const other = must(mdevCreate(rig.b, 'mdev1'));
    joinGroup(other, group);
    expect(mdevGroupIommuDevice(group)).toBeUndefined();
    expect(mdevSetIommuDevice(other, rig.b)).toBeUndefined();
    expect(mdevGroupIommuDevice(group)).toBeUndefined();
    expect(mdevSetIommuDevice(other, phys)).toBeUndefined();
    expect(mdevGroupIommuDevice(group)).toBe(mdevGetIommuDevice(mdev));
  });
  test('a mediated device is without a domain after the plain attach: the problem the group calls solve', () => {
    const { mdev, u, phys } = newMdev();
    expect(mdevAttachDomain(u, mdev)).toBeUndefined();
    expect(auxGetPasid(u, phys)).toBe(1);
    expect(getDomainForDev(mdev)).toBeUndefined();
    expect(auxGetDomainForDev(mdev)).toBeUndefined();
    mdevDetachDomain(u, mdev);
    expect(auxGetPasid(u, phys)).toBe(EINVAL);
  });
  test('a mediated device takes the whole device behind it where AUX is off, and nothing where nothing is behind', () => {
    const { rig, mdev } = newMdev();
    const u = rig.domain('U', rig.b);
    expect(mdevSetIommuDevice(mdev, undefined)).toBeUndefined();
    expect(mdevAttachDomain(u, mdev)).toBe(EINVAL);
    mdevDetachDomain(u, mdev);
    expect(mdevSetIommuDevice(mdev, rig.b)).toBeUndefined();
    expect(mdevAttachDomain(u, mdev)).toBeUndefined();
    expect(getDomainForDev(rig.b)).toBe(u);
    mdevDetachDomain(u, mdev);
    expect(getDomainForDev(rig.b)).toBe(rig.b.iommuGroup?.defaultDomain);
  });
});

describe('the group calls of v3', () => {
  test('the group calls of v3 attach once, and set the domain and the flag of the group', () => {
    const { rig, group, mdev, phys, u } = newMdev();
    expect(auxAttachGroup(u, group, phys)).toBeUndefined();
    expect(rig.log.take()).toEqual(['set(U,A,1,–)']);
    expect([group.domain, group.auxDomainAttached]).toEqual([u, true]);
    expect(auxGetDomainForDev(mdev)).toBe(u);
    expect(getDomainForDev(mdev)).toBe(u);
  });
  test('the group calls of v3 detach and leave the group without a domain', () => {
    const { rig, group, mdev, phys, u } = newMdev();
    expect(auxAttachGroup(u, group, phys)).toBeUndefined();
    rig.log.take();
    auxDetachGroup(u, group, phys);
    expect(rig.log.take()).toEqual(['set(K,A,1,U)']);
    expect([group.domain, group.auxDomainAttached]).toEqual([undefined, false]);
    expect([auxGetDomainForDev(mdev), getDomainForDev(mdev)]).toEqual([undefined, undefined]);
  });
  test('the group calls of v3 refuse a group that has a domain, without a driver call', () => {
    const { rig, group, phys, u } = newMdev();
    expect(auxAttachGroup(u, group, phys)).toBeUndefined();
    rig.log.take();
    expect(auxAttachGroup(rig.domain('V'), group, phys)).toBe(EBUSY);
    expect(auxAttachGroup(u, group, phys)).toBe(EBUSY);
    expect(rig.log.take()).toEqual([]);
    expect(group.domain).toBe(u);
  });
  test.for([
    [
      'ENODEV when AUX is off',
      (r: MdevRig) => devDisableFeature(r.phys, IOMMU_DEV_FEAT_AUX),
      ENODEV,
    ],
    [
      'EPERM for a domain of another kind',
      (r: MdevRig): unknown => (r.u.type = IOMMU_DOMAIN_DMA),
      EPERM,
    ],
    [
      "the driver's ENOMEM",
      (r: MdevRig) => r.rig.mock.knobsOf(r.phys).failPasid.push({ errno: ENOMEM }),
      ENOMEM,
    ],
  ] as const)(
    'the group calls of v3 return %s and leave the group as it was',
    ([, before, errno]) => {
      const r = newMdev();
      before(r);
      expect(auxAttachGroup(r.u, r.group, r.phys)).toBe(errno);
      expect([r.group.domain, r.group.auxDomainAttached]).toEqual([undefined, false]);
      expect(auxGetDomainForDev(r.mdev)).toBeUndefined();
    },
  );
});

describe('the detach of v3', () => {
  test('the detach of v3 warns and changes nothing for another domain, a normal group, and a second time', () => {
    const { rig, group, phys, u } = newMdev();
    expect(auxAttachGroup(u, group, phys)).toBeUndefined();
    rig.log.take();
    auxDetachGroup(rig.domain('V'), group, phys);
    expect(group.domain).toBe(u);
    auxDetachGroup(u, rig.b.iommuGroup!, phys);
    expect(rig.log.take()).toEqual([]);
    auxDetachGroup(u, group, phys);
    auxDetachGroup(u, group, phys);
    expect(rig.warnings).toEqual(Array(3).fill('aux-detach-mismatch'));
  });
});

describe('around the group calls of v3', () => {
  test('the group calls of v3 are the only source of an aux domain: no group, a normal attach, after detach give none', () => {
    const { rig, mdev } = newMdev();
    const u = rig.domain('U', rig.b);
    expect(auxGetDomainForDev(rig.b)).toBeUndefined();
    expect(attachGroup(u, rig.b.iommuGroup!)).toBeUndefined();
    expect(auxGetDomainForDev(rig.b)).toBeUndefined();
    detachGroup(u, rig.b.iommuGroup!);
    mdevRemove(mdev);
    expect(auxGetDomainForDev(mdev)).toBeUndefined();
  });
  test('the group calls of v3 make one attach however many members the group has', () => {
    const { rig, group, phys, u } = newMdev();
    joinGroup(must(mdevCreate(phys, 'mdev1')), group);
    expect(auxAttachGroup(u, group, phys)).toBeUndefined();
    expect(rig.log.take()).toEqual(['set(U,A,1,–)']);
    expect(group.devices.map(({ dev }) => auxGetDomainForDev(dev))).toEqual([u, u]);
  });
  test('the group calls of v3 deadlock inside for_each_dev, the lock problem of v2', () => {
    const { group, phys, u } = newMdev();
    expect(() => groupForEachDev(group, () => auxAttachGroup(u, group, phys))).toThrow(
      'taken twice',
    );
  });
  test('the group calls of v3 let a parent driver find the PASID, the same for all subdevices of a domain', () => {
    const { rig, group, mdev, phys, u } = newMdev();
    const second = must(mdevCreate(phys, 'mdev1'));
    const third = must(mdevCreate(phys, 'mdev2'));
    const v = rig.domain('V');
    expect(auxAttachGroup(u, group, phys)).toBeUndefined();
    expect(auxAttachGroup(u, second.iommuGroup!, phys)).toBeUndefined();
    expect(auxAttachGroup(v, third.iommuGroup!, phys)).toBeUndefined();
    const pasidOf = (dev: Device): number => {
      const domain = auxGetDomainForDev(dev);
      return domain ? must(auxGetPasid(domain, phys)) : -1;
    };
    expect([mdev, second, third].map(pasidOf)).toEqual([1, 1, 2]);
    auxDetachGroup(u, group, phys);
    expect(pasidOf(second)).toBe(1);
    expect(isErrno(auxGetPasid(u, phys))).toBe(false);
  });
});
