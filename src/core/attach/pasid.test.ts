/** PASID attach, replace and detach: the order of checks and what fails where (core.md 5). */
import { describe, expect, test } from 'vitest';
import { Rig } from '../../testing/core/rig.ts';
import { createMockDriver } from '../../drivers/mock/index.ts';
import { EBUSY, EINVAL, EIO, ENODEV, ENOENT, ENOMEM, EOPNOTSUPP } from '../../base/errno.ts';
import { attachHandleGet } from './attach.ts';
import type { AttachHandle } from '../contract/domain.ts';
import {
  allocGlobalPasid,
  attachDevicePasid,
  detachDevicePasid,
  freeGlobalPasid,
  IOMMU_PASID_INVALID,
  replaceDevicePasid,
} from './pasid.ts';

const newHandle = (): AttachHandle => ({ domain: undefined });
const WITH_AND_WITHOUT = [{ traits: [] }, { traits: ['test-dev'] }] as const;

describe.each(WITH_AND_WITHOUT)('PASID attach $traits', ({ traits }) => {
  const rigOf = () => new Rig({ traits });

  test('a PASID of a device in no group is ENODEV', () => {
    const rig = rigOf();
    const u = rig.domain('U');
    rig.mock.removeDevice(rig.b);
    expect(attachDevicePasid(u, rig.b, 5)).toBe(ENODEV);
    expect(replaceDevicePasid(u, rig.b, 5, newHandle())).toBe(ENODEV);
    detachDevicePasid(u, rig.b, 5);
  });
  test('a domain without set_dev_pasid is EOPNOTSUPP', () => {
    const rig = new Rig({ traits, driver: { pasid: false } });
    expect(attachDevicePasid(rig.domain('U'), rig.a, 5)).toBe(EOPNOTSUPP);
  });
  test('a driver without a blocked domain is EOPNOTSUPP', () => {
    const rig = new Rig({ traits, driver: { blocked: false } });
    expect(attachDevicePasid(rig.domain('U'), rig.a, 5)).toBe(EOPNOTSUPP);
  });
  test('a blocked domain that takes no PASID off is EOPNOTSUPP', () => {
    const rig = new Rig({ traits, driver: { blockedPasid: false } });
    expect(attachDevicePasid(rig.domain('U'), rig.a, 5)).toBe(EOPNOTSUPP);
  });
  test('a domain of another driver is EINVAL, without a callback', () => {
    const rig = rigOf();
    const other = createMockDriver(rig.core, { name: 'other' });
    const u = rig.domain('U');
    u.owner = other.ops;
    expect(attachDevicePasid(u, rig.a, 5)).toBe(EINVAL);
    expect(replaceDevicePasid(u, rig.a, 5, newHandle())).toBe(EINVAL);
    expect(rig.log.take()).toEqual([]);
  });
  test('PASID 0 is EINVAL', () => {
    const rig = rigOf();
    expect(attachDevicePasid(rig.domain('U'), rig.a, 0)).toBe(EINVAL);
    expect(replaceDevicePasid(rig.domain('U'), rig.a, 0, newHandle())).toBe(EINVAL);
  });
});

describe.each(WITH_AND_WITHOUT)('PASID attach to members and slots $traits', ({ traits }) => {
  const rigOf = () => new Rig({ traits });

  test('a PASID out of range for any member that has PASIDs is EINVAL', () => {
    const rig = new Rig({ traits, members: [{ name: 'A' }, { name: 'B', pasidBits: 3 }] });
    const u = rig.domain('U');
    expect(attachDevicePasid(u, rig.a, 8)).toBe(EINVAL);
    expect(attachDevicePasid(u, rig.a, 7)).toBeUndefined();
  });
  test('a slot in use is EBUSY, and the handle already names the domain', () => {
    const rig = rigOf();
    const u = rig.domain('U');
    const handle = newHandle();
    expect(attachDevicePasid(u, rig.a, 5)).toBeUndefined();
    rig.log.take();
    expect(attachDevicePasid(u, rig.a, 5, handle)).toBe(EBUSY);
    expect(rig.log.take().filter((line) => line.startsWith('set'))).toEqual([]);
    expect(handle.domain).toBe(u);
  });
  test('members without PASIDs are passed by', () => {
    const rig = new Rig({ traits, members: [{ name: 'A' }, { name: 'B', pasidBits: 0 }] });
    const u = rig.domain('U');
    expect(attachDevicePasid(u, rig.a, 5)).toBeUndefined();
    detachDevicePasid(u, rig.a, 5);
    expect(rig.log.take().filter((line) => line.includes(',B,'))).toEqual([]);
  });
  test('a bare attach has no handle to be found', () => {
    const rig = rigOf();
    expect(attachDevicePasid(rig.domain('U'), rig.a, 5)).toBeUndefined();
    expect(attachHandleGet(rig.group, 5, 0)).toBe(ENOENT);
  });
});

describe.each(WITH_AND_WITHOUT)('PASID replace $traits', ({ traits }) => {
  const rigOf = () => new Rig({ traits });

  test('a replace needs a handle, else EINVAL', () => {
    const rig = rigOf();
    expect(replaceDevicePasid(rig.domain('U'), rig.a, 5, undefined)).toBe(EINVAL);
  });
  test('a replace of nothing is EINVAL', () => {
    const rig = rigOf();
    expect(replaceDevicePasid(rig.domain('U'), rig.a, 5, newHandle())).toBe(EINVAL);
  });
  test('a replace with the very same handle is EINVAL, and warned', () => {
    const rig = rigOf();
    const u = rig.domain('U');
    const handle = newHandle();
    expect(attachDevicePasid(u, rig.a, 5, handle)).toBeUndefined();
    expect(replaceDevicePasid(u, rig.a, 5, handle)).toBe(EINVAL);
    expect(rig.warnings).toEqual(['pasid-handle-reuse']);
  });
  test('a replace with the same domain and another handle calls no driver', () => {
    const rig = rigOf();
    const u = rig.domain('U');
    const next = newHandle();
    expect(attachDevicePasid(u, rig.a, 5, newHandle())).toBeUndefined();
    rig.log.take();
    expect(replaceDevicePasid(u, rig.a, 5, next)).toBeUndefined();
    expect(rig.log.take()).toEqual([]);
    expect(attachHandleGet(rig.group, 5, 0)).toBe(next);
  });
  test('a rollback of a replace that fails too removes the PASID, and is warned', () => {
    const rig = rigOf();
    const [u, u2] = [rig.domain('U'), rig.domain('U2')];
    expect(attachDevicePasid(u, rig.a, 5, newHandle())).toBeUndefined();
    rig.mock.knobsOf(rig.b).failPasid.push({ errno: ENOMEM, domain: u2 });
    rig.mock.knobsOf(rig.a).failPasid.push({ errno: EIO, domain: u });
    rig.log.take();
    expect(replaceDevicePasid(u2, rig.a, 5, newHandle())).toBe(ENOMEM);
    expect(rig.log.take().filter((line) => line.startsWith('set'))).toEqual([
      'set(U2,A,5,U)',
      'set(U2,B,5,U)=ENOMEM',
      'set(U,A,5,U2)=EIO',
      'set(K,A,5,U2)',
    ]);
    expect(rig.warnings).toEqual(['rollback-failed']);
  });
});

describe('PASID attach, order of checks', () => {
  test('without test_dev EOPNOTSUPP comes before the owner, with it after', () => {
    for (const [traits, errno] of [
      [[], EOPNOTSUPP],
      [['test-dev'], EINVAL],
    ] as const) {
      const rig = new Rig({ traits, driver: { pasid: false } });
      const u = rig.domain('U');
      u.owner = createMockDriver(rig.core, { name: 'other' }).ops;
      expect(attachDevicePasid(u, rig.a, 5)).toBe(errno);
    }
  });
  test('a replace wants a blocked domain only with test_dev', () => {
    for (const [traits, result] of [
      [[], undefined],
      [['test-dev'], EOPNOTSUPP],
    ] as const) {
      const rig = new Rig({ traits });
      const [u, u2] = [rig.domain('U'), rig.domain('U2')];
      expect(attachDevicePasid(u, rig.a, 5, newHandle())).toBeUndefined();
      Object.assign(rig.mock.ops, { blockedDomain: undefined });
      expect(replaceDevicePasid(u2, rig.a, 5, newHandle())).toBe(result);
    }
  });
});

describe('a removal that fails', () => {
  test('a removal that fails is warned, and the slot is free', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(attachDevicePasid(u, rig.a, 5)).toBeUndefined();
    rig.mock.ops.blockedDomain!.ops = { setDevPasid: () => EIO };
    detachDevicePasid(u, rig.a, 5);
    expect(rig.warnings).toEqual(['pasid-remove-failed', 'pasid-remove-failed']);
    expect(rig.group.pasidArray.size).toBe(0);
  });
  test('a removal that fails for want of a blocked domain is warned too', () => {
    const rig = new Rig({ members: [{ name: 'A' }] });
    const u = rig.domain('U');
    expect(attachDevicePasid(u, rig.a, 5)).toBeUndefined();
    Object.assign(rig.mock.ops, { blockedDomain: undefined });
    detachDevicePasid(u, rig.a, 5);
    expect(rig.warnings).toEqual(['pasid-remove-failed']);
  });
});

describe('global PASIDs', () => {
  test('a global PASID is the lowest free one below the limit of the device', () => {
    const rig = new Rig({
      members: [
        { name: 'A', pasidBits: 2 },
        { name: 'B', pasidBits: 0 },
      ],
    });
    expect([1, 2, 3].map(() => allocGlobalPasid(rig.a))).toEqual([1, 2, 3]);
    expect(allocGlobalPasid(rig.a)).toBe(IOMMU_PASID_INVALID);
    expect(allocGlobalPasid(rig.b)).toBe(IOMMU_PASID_INVALID);
    freeGlobalPasid(rig.core, 2);
    expect(allocGlobalPasid(rig.a)).toBe(2);
  });
  test('freeing the invalid PASID is warned', () => {
    const rig = new Rig();
    freeGlobalPasid(rig.core, IOMMU_PASID_INVALID);
    expect(rig.warnings).toEqual(['pasid-free-invalid']);
  });
});
