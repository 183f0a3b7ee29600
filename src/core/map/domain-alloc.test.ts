/** Making and freeing domains, and reading their dirty bits: core.md 3.3, 3.7, 10.2. */
import { describe, expect, test } from 'vitest';
import { must } from '../../testing/base/must.ts';
import { Rig } from '../../testing/core/rig.ts';
import { EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EOVERFLOW, ERANGE } from '../../base/errno.ts';
import { attachDevicePasid } from '../attach/pasid.ts';
import { attachGroup } from '../attach/attach.ts';
import { Device } from '../contract/device.ts';
import { DirtyBitmap, IOMMU_DIRTY_NO_CLEAR, readAndClearDirty, setDirtyTracking } from './dirty.ts';
import {
  IOMMU_DOMAIN_NESTED,
  IOMMU_DOMAIN_UNMANAGED,
  type Domain,
  type UserData,
} from '../contract/domain.ts';
import {
  domainFree,
  nestedDomainAlloc,
  newDomain,
  pagingDomainAlloc,
  pagingDomainAllocFlags,
  reducePageSizes,
  svaDomainAlloc,
} from './domain-alloc.ts';
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_PASID,
  type IommuOps,
} from '../contract/driver.ts';
import { iommuMap } from './map.ts';

const DATA: UserData = { type: 0, length: 0, copy: () => new Uint8Array(0) };
const MM = { id: 1, alive: true, usable: true, handleFault: () => true };

/** What the driver was asked for. */
function listen(rig: Rig): string[] {
  const ops: string[] = [];
  rig.core.env.trace.listen(({ event }) => {
    if (event.kind === 'driver') ops.push(event.op);
  });
  return ops;
}
function paging(rig: Rig): Domain {
  return newDomain(rig.core, { kind: 'paging', type: 0, ops: {}, pgsizeBitmap: 0x1000n });
}

describe('a paging domain', () => {
  test('a paging domain is unmanaged and belongs to the driver of the device', () => {
    const rig = new Rig();
    const domain = must(pagingDomainAlloc(rig.a));
    expect([domain.type, domain.owner]).toEqual([IOMMU_DOMAIN_UNMANAGED, rig.mock.ops]);
  });
  test('a paging domain is asked for by the plain call without flags, by the other with flags or data', () => {
    const rig = new Rig();
    const asked = listen(rig);
    rig.mock.ops.domainAllocPaging = () => paging(rig);
    must(pagingDomainAlloc(rig.a));
    must(pagingDomainAllocFlags(rig.a, IOMMU_HWPT_ALLOC_PASID));
    expect(asked).toEqual(['domain_alloc_paging', 'domain_alloc_paging_flags']);
    expect(pagingDomainAllocFlags(rig.a, 0, { ...DATA, type: 0x7777 })).toBe(EOPNOTSUPP);
    expect(asked[2]).toBe('domain_alloc_paging_flags');
  });
  test('a paging domain is ENODEV without an IOMMU, EOPNOTSUPP without an operation', () => {
    const rig = new Rig();
    const lone = new Device(rig.core, { name: 'L', bus: 'pci' });
    expect(pagingDomainAlloc(lone)).toBe(ENODEV);
    delete rig.mock.ops.domainAllocPagingFlags;
    expect(pagingDomainAlloc(rig.a)).toBe(EOPNOTSUPP);
  });
  test('a paging domain is ENOMEM when the driver answers with nothing, and its errno otherwise', () => {
    const rig = new Rig();
    const broken: Partial<Record<keyof IommuOps, unknown>> = rig.mock.ops;
    broken.domainAllocPaging = () => undefined;
    expect(pagingDomainAlloc(rig.a)).toBe(ENOMEM);
    rig.mock.ops.domainAllocPaging = () => [EINVAL][0]!;
    expect(pagingDomainAlloc(rig.a)).toBe(EINVAL);
  });
  test('a paging domain can lose page sizes but gain none', () => {
    const domain = new Rig().domain('U');
    reducePageSizes(domain, 0x1000n);
    expect([domain.pgsizeBitmap, domain.pt?.pgsizeBitmap]).toEqual([0x1000n, 0x1000n]);
    expect(() => reducePageSizes(domain, 0x3000n)).toThrow('only be taken away');
  });
});

describe('a nested domain', () => {
  test('a nested domain is refused: ENODEV, EOPNOTSUPP, EINVAL in that order', () => {
    const rig = new Rig();
    const other = new Rig();
    const lone = new Device(rig.core, { name: 'L', bus: 'pci' });
    const parent = rig.domain('P');
    expect(nestedDomainAlloc(lone, parent, 0, DATA)).toBe(ENODEV);
    expect(nestedDomainAlloc(rig.a, other.domain('P'), 0, DATA)).toBe(EINVAL);
    expect(nestedDomainAlloc(rig.a, rig.mock.ops.blockedDomain!, 0, DATA)).toBe(EINVAL);
    delete rig.mock.ops.domainAllocNested;
    expect(nestedDomainAlloc(rig.a, other.domain('P'), 0, DATA)).toBe(EOPNOTSUPP);
  });
  test('a nested domain is of type NESTED and of the same owner', () => {
    const rig = new Rig();
    rig.mock.ops.domainAllocNested = () => paging(rig);
    const domain = must(nestedDomainAlloc(rig.a, rig.domain('P'), 0, DATA));
    expect([domain.type, domain.owner]).toEqual([IOMMU_DOMAIN_NESTED, rig.mock.ops]);
    rig.mock.ops.domainAllocNested = () => [EINVAL][0]!;
    expect(nestedDomainAlloc(rig.a, rig.domain('P'), 0, DATA)).toBe(EINVAL);
  });
});

test('an SVA domain needs an IOMMU and a driver that can', () => {
  const rig = new Rig();
  expect(svaDomainAlloc(new Device(rig.core, { name: 'L', bus: 'pci' }), MM)).toBe(ENODEV);
  expect(svaDomainAlloc(rig.a, MM)).toBe(EOPNOTSUPP);
  rig.mock.ops.domainAllocSva = () => [ENOMEM][0]!;
  expect(svaDomainAlloc(rig.a, MM)).toBe(ENOMEM);
});

describe('freeing a domain', () => {
  test('freeing a domain gives its tables back', () => {
    const rig = new Rig();
    const used = rig.core.ram.used;
    const domain = must(pagingDomainAlloc(rig.a));
    expect(iommuMap(domain, 0x110_0000n, 0n, 0x1000n, 3)).toBeUndefined();
    domainFree(domain);
    expect(rig.core.ram.used).toBe(used);
  });
  test('freeing a domain is a bug while a group or a PASID is attached to it', () => {
    const rig = new Rig();
    const [u, v] = [rig.domain('U'), rig.domain('V')];
    expect(attachGroup(u, rig.group)).toBeUndefined();
    expect(attachDevicePasid(v, rig.a, 5)).toBeUndefined();
    expect(() => domainFree(u)).toThrow('attached to it');
    expect(() => domainFree(v)).toThrow('PASID is attached');
  });
  test('freeing a domain is a bug while a group falls back to it', () => {
    const rig = new Rig();
    const [u, d] = [rig.domain('U'), rig.domain('D')];
    expect(attachGroup(u, rig.group)).toBeUndefined();
    rig.group.defaultDomain = d;
    expect(() => domainFree(d)).toThrow('default domain of group');
  });
});

describe('dirty pages', () => {
  function tracked(): { rig: Rig; domain: Domain } {
    const rig = new Rig();
    const domain = must(pagingDomainAllocFlags(rig.a, IOMMU_HWPT_ALLOC_DIRTY_TRACKING));
    expect(setDirtyTracking(domain, true)).toBeUndefined();
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x8000n, 3)).toBeUndefined();
    return { rig, domain };
  }
  const range = { iova: 0x110_0000n, length: 0x8000n };
  const none = (): void => undefined;

  test('dirty pages are reported once, or as long as they are not cleared', () => {
    const { domain } = tracked();
    expect(domain.pt?.markDirty(0x110_3000 / 2048)).toBe(true);
    const dirtyNow = (flags: number): number => {
      const bitmap = new DirtyBitmap(range.iova, range.length, 12);
      expect(readAndClearDirty(domain, range, flags, bitmap.record)).toBeUndefined();
      expect(bitmap.has(0x120_0000n)).toBe(false);
      return [...bitmap.bytes].reduce((sum, byte) => sum + byte, 0);
    };
    expect(dirtyNow(IOMMU_DIRTY_NO_CLEAR)).toBe(1 << 3);
    expect(dirtyNow(0)).toBe(1 << 3);
    expect(dirtyNow(0)).toBe(0);
  });
  test('dirty pages need a domain that tracks, else EOPNOTSUPP', () => {
    const rig = new Rig();
    const plain = rig.domain('U');
    expect(setDirtyTracking(plain, true)).toBe(EOPNOTSUPP);
    expect(readAndClearDirty(plain, range, 0, none)).toBe(EOPNOTSUPP);
  });
  test.for([
    ['of nothing', { iova: 0x110_0000n, length: 0n }, EINVAL],
    ['that wraps', { iova: 0xffff_ffff_ffff_f000n, length: 0x2000n }, EOVERFLOW],
    ['outside of the table', { iova: 1n << 40n, length: 0x1000n }, ERANGE],
  ] as const)('dirty pages in a range %s are refused', ([, bad, errno]) => {
    const { domain } = tracked();
    expect(readAndClearDirty(domain, bad, 0, none)).toBe(errno);
  });
  test('dirty pages beyond the bitmap are cut', () => {
    const bitmap = new DirtyBitmap(0x4000n, 0x4000n, 12);
    bitmap.record(0x2000n, 0x3000n);
    bitmap.record(0x7000n, 0x10_0000n);
    expect([...bitmap.bytes]).toEqual([0b1001]);
    expect([bitmap.has(0x4000n), bitmap.has(0x5000n), bitmap.has(0x3000n)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
