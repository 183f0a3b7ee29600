/** Shared address spaces: core.md 10.1. */
import { describe, expect, test } from 'vitest';
import { must } from '../../testing/base/must.ts';
import { Rig, type RigOptions } from '../../testing/core/rig.ts';
import { EBUSY, EINVAL, ENODEV, ENOMEM, ENOSPC, EOPNOTSUPP, EOVERFLOW } from '../../base/errno.ts';
import { Device } from '../contract/device.ts';
import { IOMMU_DOMAIN_SVA, type Domain, type DomainOps } from '../contract/domain.ts';
import { newDomain } from '../map/domain-alloc.ts';
import type { SvaMm } from '../contract/driver.ts';
import { reportDeviceFault } from '../contract/iopf.ts';
import {
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
  IOMMU_PAGE_RESP_INVALID,
  IOMMU_PAGE_RESP_SUCCESS,
} from '../contract/iopf-queue.ts';
import { attachDevicePasid } from '../attach/pasid.ts';
import { mmPasidDrop, svaBindDevice, svaGetPasid, svaUnbindDevice } from './sva.ts';

interface TestMm extends SvaMm {
  alive: boolean;
  usable: boolean;
  readonly faults: bigint[];
}
function newMm(id = 1): TestMm {
  const faults: bigint[] = [];
  return {
    id,
    alive: true,
    usable: true,
    faults,
    handleFault(addr, perm) {
      faults.push(addr);
      return addr < 0x10_0000n && perm === 1;
    },
  };
}

/** A driver that can share address spaces; `made` are its domains in order. */
function setup(options: RigOptions = {}): { rig: Rig; made: Domain[]; freed: Domain[] } {
  const rig = new Rig({ ...options, driver: { group: 'own' } });
  const made: Domain[] = [];
  const freed: Domain[] = [];
  rig.mock.ops.domainAllocSva = (dev) => {
    const ops: DomainOps = { ...rig.mock.ops.defaultDomainOps, free: (gone) => freed.push(gone) };
    const domain = newDomain(dev.core, { kind: 'sva', type: IOMMU_DOMAIN_SVA, ops });
    made.push(domain);
    return domain;
  };
  return { rig, made, freed };
}

describe('binding', () => {
  test('a bind attaches the address space under its PASID, and counts further ones', () => {
    const { rig, made } = setup();
    const mm = newMm();
    const handle = must(svaBindDevice(rig.a, mm));
    expect([svaGetPasid(handle), made.length, made[0]?.type]).toEqual([1, 1, IOMMU_DOMAIN_SVA]);
    expect(svaBindDevice(rig.a, mm)).toBe(handle);
    expect(handle.users).toBe(2);
    expect(made.length).toBe(1);
  });
  test('a bind shares the domain and the PASID with other devices', () => {
    const { rig, made } = setup();
    const mm = newMm();
    const [a, b] = [must(svaBindDevice(rig.a, mm)), must(svaBindDevice(rig.b, mm))];
    expect([svaGetPasid(a), svaGetPasid(b), made.length]).toEqual([1, 1, 1]);
    expect(a.domain).toBe(b.domain);
  });
  test('a bind makes another domain for a device that refuses the first', () => {
    const { rig, made } = setup();
    const mm = newMm();
    must(svaBindDevice(rig.a, mm));
    rig.mock.knobsOf(rig.b).failPasid.push({ errno: EINVAL });
    const b = must(svaBindDevice(rig.b, mm));
    expect(made.length).toBe(2);
    expect([b.domain, svaGetPasid(b)]).toEqual([made[1], 1]);
  });
  test('a bind gives each address space its own PASID', () => {
    const { rig } = setup();
    const pasids = [newMm(1), newMm(2)].map((mm) => svaGetPasid(must(svaBindDevice(rig.a, mm))));
    expect(pasids).toEqual([1, 2]);
  });
});

describe('binding is refused', () => {
  test('a bind is ENODEV for a device in no group', () => {
    const { rig } = setup();
    const lone = new Device(rig.core, { name: 'L', bus: 'pci' });
    expect(svaBindDevice(lone, newMm())).toBe(ENODEV);
  });
  test('a bind is EBUSY for an address space that cannot be shared', () => {
    const { rig } = setup();
    expect(svaBindDevice(rig.a, { ...newMm(), usable: false })).toBe(EBUSY);
  });
  test('a bind is ENOSPC for a device without PASIDs, EOVERFLOW when the address space has one already', () => {
    const { rig } = setup({ members: [{ name: 'A' }, { name: 'B', pasidBits: 0 }] });
    expect(svaBindDevice(rig.b, newMm(1))).toBe(ENOSPC);
    const mm = newMm(2);
    must(svaBindDevice(rig.a, mm));
    expect(svaBindDevice(rig.b, mm)).toBe(EOVERFLOW);
  });
  test('a bind is EOPNOTSUPP by a driver that cannot, and nothing is left', () => {
    const { rig } = setup();
    delete rig.mock.ops.domainAllocSva;
    expect(svaBindDevice(rig.a, newMm())).toBe(EOPNOTSUPP);
    expect(rig.a.iommuGroup?.pasidArray.size).toBe(0);
  });
  test('a bind has the errno of the attach, and the new domain is freed', () => {
    const { rig, made, freed } = setup();
    rig.mock.knobsOf(rig.a).failPasid.push({ errno: ENOMEM });
    expect(svaBindDevice(rig.a, newMm())).toBe(ENOMEM);
    expect(freed).toEqual(made);
  });
  test('a bind is EBUSY when the PASID is taken by another kind of domain, or by another address space', () => {
    const { rig } = setup();
    const mm = newMm(1);
    must(svaBindDevice(rig.a, mm));
    const u = rig.domain('U', rig.b);
    expect(attachDevicePasid(u, rig.b, 1, { domain: undefined })).toBeUndefined();
    expect(svaBindDevice(rig.b, mm)).toBe(EBUSY);
    const entry = rig.a.iommuGroup!.pasidArray.get(1)!;
    entry.handle = { domain: entry.domain };
    expect(svaBindDevice(rig.a, mm)).toBe(EBUSY);
  });
});

describe('unbinding', () => {
  test('an unbind detaches with the last user, frees the domain with the last device, the PASID with the address space', () => {
    const { rig, freed } = setup();
    const mm = newMm();
    const handle = must(svaBindDevice(rig.a, mm));
    must(svaBindDevice(rig.a, mm));
    const other = must(svaBindDevice(rig.b, mm));
    svaUnbindDevice(handle);
    expect(rig.a.iommuGroup?.pasidArray.has(1)).toBe(true);
    svaUnbindDevice(handle);
    expect([rig.a.iommuGroup?.pasidArray.has(1), freed.length]).toEqual([false, 0]);
    mmPasidDrop(rig.core, mm);
    expect(rig.core.globalPasids.size).toBe(1);
    svaUnbindDevice(other);
    expect([freed.length, rig.core.globalPasids.size]).toEqual([1, 0]);
    expect(() => svaUnbindDevice(other)).toThrow('without a bond');
  });
  test('an unbind keeps the PASID while the address space lives', () => {
    const { rig } = setup();
    const mm = newMm();
    svaUnbindDevice(must(svaBindDevice(rig.a, mm)));
    expect(rig.core.globalPasids.size).toBe(1);
    mmPasidDrop(rig.core, mm);
    mmPasidDrop(rig.core, mm);
    expect(rig.core.globalPasids.size).toBe(0);
  });
});

describe('page faults of an address space', () => {
  const LAST = IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE;
  const PASID = IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
  test.for([
    ['are resolved', [0x1000n, 0x2000n], PASID, true, IOMMU_PAGE_RESP_SUCCESS, 2],
    [
      'stop at the first bad address',
      [0x1000n, 0x20_0000n, 0x2000n],
      PASID,
      true,
      IOMMU_PAGE_RESP_INVALID,
      2,
    ],
    ['are refused when it is dead', [0x1000n], PASID, false, IOMMU_PAGE_RESP_INVALID, 0],
  ] as const)(
    'a page fault of an address space is answered: %s',
    ([, addrs, flags, alive, code, asked]) => {
      const { rig } = setup();
      const codes: number[] = [];
      rig.mock.ops.pageResponse = (...[, , response]) => codes.push(response.code);
      const mm = newMm();
      must(svaBindDevice(rig.a, mm));
      mm.alive = alive;
      addrs.forEach((addr, n) => {
        const last = n === addrs.length - 1 ? LAST : 0;
        const fault = { flags: flags | last, pasid: 1, grpid: 3, perm: 1, addr };
        expect(reportDeviceFault(rig.a, fault)).toBeUndefined();
      });
      expect(codes).toEqual([]);
      rig.core.env.clock.advance(0);
      expect(codes).toEqual([code]);
      expect(mm.faults.length).toBe(asked);
    },
  );
});
