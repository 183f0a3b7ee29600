/** Group calls for aux domains by lookup, as posted in v4 and v5: core.md 8.5 and its rows of 12.3. */
import { describe, expect, test } from 'vitest';
import { enableAux, joinGroup, newMdev } from '../../testing/core/mdev-rig.ts';
import { must } from '../../testing/base/must.ts';
import { EBUSY, ENODEV, ENOMEM } from '../../base/errno.ts';
import { getDomainForDev } from '../attach/attach.ts';
import { attachSubdevGroup, auxGetDomainForDev, auxGetPasid, detachSubdevGroup } from './aux.ts';
import { mdevCreate, mdevGetIommuDevice, mdevRemove, mdevSetIommuDevice } from './mdev.ts';

const lookup = mdevGetIommuDevice;

describe('the lookup form of v4 and v5', () => {
  test('the lookup form of v4 and v5 attaches as an aux domain where AUX is enabled', () => {
    const { rig, group, mdev, phys, u } = newMdev();
    expect(attachSubdevGroup(u, group, lookup)).toBeUndefined();
    expect(rig.log.take()).toEqual(['set(U,A,1,–)']);
    expect(group.domain).toBe(u);
    expect(auxGetDomainForDev(mdev)).toBe(u);
    expect(auxGetPasid(u, phys)).toBe(1);
    detachSubdevGroup(u, group, lookup);
    expect(rig.log.take()).toEqual(['set(K,A,1,U)']);
    expect([group.domain, auxGetDomainForDev(mdev)]).toEqual([undefined, undefined]);
  });
  test('the lookup form of v4 and v5 attaches the whole device where AUX is off: a virtual function', () => {
    const { rig, group, mdev } = newMdev();
    expect(mdevSetIommuDevice(mdev, rig.b)).toBeUndefined();
    const u = rig.domain('U', rig.b);
    expect(attachSubdevGroup(u, group, lookup)).toBeUndefined();
    expect(getDomainForDev(rig.b)).toBe(u);
    expect(auxGetDomainForDev(mdev)).toBeUndefined();
    detachSubdevGroup(u, group, lookup);
    expect(getDomainForDev(rig.b)).toBe(rig.b.iommuGroup?.defaultDomain);
  });
  test('the lookup form of v4 and v5 detaches as it attached, whatever AUX is since', () => {
    const { rig, group, mdev } = newMdev();
    expect(mdevSetIommuDevice(mdev, rig.b)).toBeUndefined();
    const u = rig.domain('U', rig.b);
    expect(attachSubdevGroup(u, group, lookup)).toBeUndefined();
    enableAux(rig.b);
    detachSubdevGroup(u, group, lookup);
    expect(getDomainForDev(rig.b)).toBe(rig.b.iommuGroup?.defaultDomain);
    expect(rig.warnings).toEqual([]);
  });
  test('the lookup form of v4 and v5 refuses a group that has a domain, and one without members', () => {
    const { rig, group, mdev, u } = newMdev();
    expect(attachSubdevGroup(u, group, lookup)).toBeUndefined();
    expect(attachSubdevGroup(u, group, lookup)).toBe(EBUSY);
    detachSubdevGroup(u, group, lookup);
    group.refs++;
    mdevRemove(mdev);
    expect(attachSubdevGroup(u, group, lookup)).toBe(ENODEV);
    expect(rig.warnings).toEqual([]);
  });
});

describe('the lookup form with several members', () => {
  test('the lookup form with several members attaches every member, of different parents', () => {
    const { rig, group, u } = newMdev();
    enableAux(rig.b);
    const other = must(mdevCreate(rig.b, 'mdev1'));
    expect(mdevSetIommuDevice(other, rig.b)).toBeUndefined();
    joinGroup(other, group);
    expect(attachSubdevGroup(u, group, lookup)).toBeUndefined();
    expect(rig.log.take()).toEqual(['set(U,A,1,–)', 'set(U,B,1,–)']);
  });
  test('the lookup form with several members undoes all of them when one fails, also those never attached', () => {
    const { rig, group, u } = newMdev();
    enableAux(rig.b);
    const other = must(mdevCreate(rig.b, 'mdev1'));
    expect(mdevSetIommuDevice(other, rig.b)).toBeUndefined();
    joinGroup(other, group);
    rig.mock.knobsOf(rig.b).failPasid.push({ errno: ENOMEM });
    expect(attachSubdevGroup(u, group, lookup)).toBe(ENOMEM);
    expect(rig.log.take()).toEqual(['set(U,A,1,–)', 'set(U,B,1,–)=ENOMEM', 'set(K,A,1,U)']);
    expect(group.domain).toBeUndefined();
    expect(rig.core.globalPasids.size).toBe(0);
    expect(rig.warnings).toEqual([]);
  });
  test('the lookup form with several members refuses a member with nothing behind it; a detach passes over it', () => {
    const { rig, group, mdev, u } = newMdev();
    const orphan = must(mdevCreate(rig.a, 'mdev1'));
    joinGroup(orphan, group);
    expect(attachSubdevGroup(u, group, lookup)).toBe(ENODEV);
    expect(group.domain).toBeUndefined();
    expect(mdevSetIommuDevice(orphan, rig.a)).toBeUndefined();
    expect(attachSubdevGroup(u, group, lookup)).toBeUndefined();
    rig.log.take();
    expect(mdevSetIommuDevice(orphan, undefined)).toBeUndefined();
    detachSubdevGroup(u, group, lookup);
    expect([group.domain, auxGetDomainForDev(mdev)]).toEqual([undefined, undefined]);
    detachSubdevGroup(u, group, lookup);
    expect(rig.warnings).toEqual([]);
  });
});
