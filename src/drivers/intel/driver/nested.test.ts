import { describe, expect, it } from 'vitest';
import { userData } from '../../../testing/drivers/mock-data.ts';
import { intelRig, ownedDevice, RW, words64 } from '../../../testing/drivers/intel-rig.ts';
import { must } from '../../../testing/base/must.ts';
import { Bug } from '../../../base/bug.ts';
import { EFAULT, EINVAL, EOPNOTSUPP, type Status } from '../../../base/errno.ts';
import type { PhysicalMemory } from '../../../base/physical-memory.ts';
import { refuse } from '../../../base/refuse.ts';
import { attachGroup, detachGroup } from '../../../core/attach/attach.ts';
import {
  domainFree,
  nestedDomainAlloc,
  pagingDomainAllocFlags,
} from '../../../core/map/domain-alloc.ts';
import type { Domain, UserArray } from '../../../core/contract/domain.ts';
import { iommuMap, iommuUnmap } from '../../../core/map/map.ts';
import { IOMMU_HWPT_ALLOC_NEST_PARENT } from '../../../core/contract/driver.ts';
import type { IntelUnitConfig } from './driver.ts';
import { toIntelDevice } from './domain.ts';

/** Guest pages live outside the RAM arena, in frames from here on. */
const GUEST = 0x10_0000;
const P_RW_U = 7n;

/** Pinned pages of a guest, by frame. */
class GuestPages implements PhysicalMemory {
  readonly frames = new Map<number, Uint8Array>();
  read(pfn: number, offset: number, into: Uint8Array) {
    const page = this.frames.get(pfn);
    if (!page) return refuse(EFAULT, 'no such page');
    into.set(page.subarray(offset, offset + into.length));
    return undefined;
  }
  write(pfn: number, offset: number, from: Uint8Array) {
    const page = this.frames.get(pfn);
    if (!page) return refuse(EFAULT, 'no such page');
    page.set(from, offset);
    return undefined;
  }
  addPin(): void {
    throw new Bug('not used');
  }
  unpin(): void {
    throw new Bug('not used');
  }
  pins(): number {
    return 1;
  }
  isCompound(): boolean {
    return false;
  }
  put(pfn: number, index: number, entry: bigint): void {
    const page = this.frames.get(pfn) ?? new Uint8Array(4096);
    this.frames.set(pfn, page);
    new DataView(page.buffer).setBigUint64(index * 8, entry, true);
  }
  get(pfn: number, index: number): bigint {
    return new DataView(this.frames.get(pfn)!.buffer).getBigUint64(index * 8, true);
  }
}

function s1(fields: { flags?: bigint; addr?: bigint; width?: number; reserved?: number } = {}) {
  const view = new DataView(new ArrayBuffer(24));
  view.setBigUint64(0, fields.flags ?? 0n, true);
  view.setBigUint64(8, fields.addr ?? 0x1000n, true);
  view.setUint32(16, fields.width ?? 48, true);
  view.setUint32(20, fields.reserved ?? 0, true);
  return userData(1, new Uint8Array(view.buffer));
}

/** A guest with its tables at guest pages 1…4 (top first), mapping granule 0x10 to guest page 9. */
function guest(config: IntelUnitConfig = {}, data = s1()) {
  const memory = new GuestPages();
  const rig = intelRig({ ...config, memory });
  const dev = ownedDevice(rig);
  const parent = must(pagingDomainAllocFlags(dev, IOMMU_HWPT_ALLOC_NEST_PARENT));
  // Guest page n is host frame GUEST + n.
  expect(iommuMap(parent, 0n, BigInt(GUEST) << 12n, 0x10_000n, RW)).toBeUndefined();
  for (let n = 1; n <= 3; n++) memory.put(GUEST + n, 0, (BigInt(n + 1) << 12n) | P_RW_U);
  memory.put(GUEST + 4, 0x10, (9n << 12n) | P_RW_U);
  const nested = must(nestedDomainAlloc(dev, parent, 0, data));
  expect(attachGroup(nested, dev.iommuGroup!)).toBeUndefined();
  return { memory, rig, dev, parent, nested };
}

function invalidation(
  ...entries: { addr?: bigint; npages?: bigint; flags?: number; reserved?: number }[]
) {
  const array: UserArray = {
    type: 0,
    entryLength: 24,
    entryCount: entries.length,
    entry(index) {
      const view = new DataView(new ArrayBuffer(24));
      const entry = entries[index]!;
      view.setBigUint64(0, entry.addr ?? 0n, true);
      view.setBigUint64(8, entry.npages ?? 1n, true);
      view.setUint32(16, entry.flags ?? 0, true);
      view.setUint32(20, entry.reserved ?? 0, true);
      return new Uint8Array(view.buffer);
    },
  };
  return array;
}

function invalidate(nested: Domain, array: UserArray): { done: number; status: Status } {
  return nested.ops.cacheInvalidateUser!(nested, array);
}

const FAULTS: [string, number, number, (memory: GuestPages) => void][] = [
  ['0x71: the guest maps nothing', 0x71, 0x11, () => undefined],
  [
    '0x85: the guest maps read-only',
    0x85,
    0x10,
    (m: GuestPages) => m.put(GUEST + 4, 0x10, (9n << 12n) | 5n),
  ],
  [
    '0x79: the parent maps nothing for the page',
    0x79,
    0x10,
    (m: GuestPages) => m.put(GUEST + 4, 0x10, (0x99n << 12n) | P_RW_U),
  ],
  [
    '0x75: the parent maps nothing for a table',
    0x75,
    0x10,
    (m: GuestPages) => m.put(GUEST + 3, 0, (0x99n << 12n) | P_RW_U),
  ],
  [
    '0x74: a table above the second stage',
    0x74,
    0x10,
    (m: GuestPages) => m.put(GUEST + 3, 0, (1n << 50n) | P_RW_U),
  ],
  [
    '0x70: a table in a frame that is not there',
    0x70,
    0x10,
    (m: GuestPages) => void m.frames.delete(GUEST + 4),
  ],
  [
    '0x73: the top table is not there',
    0x73,
    0x10,
    (m: GuestPages) => void m.frames.delete(GUEST + 1),
  ],
];

describe('a nested domain', () => {
  it('a nested domain translates by the guest table, then by the parent', () => {
    const { rig, dev, memory } = guest();
    expect(rig.dma(dev, 0x10)).toBe(GUEST + 9);
    // Accessed is set in the tables and the leaf, dirty only by a write.
    expect(memory.get(GUEST + 1, 0)).toBe((2n << 12n) | P_RW_U | 0x20n);
    expect(memory.get(GUEST + 4, 0x10)).toBe((9n << 12n) | P_RW_U | 0x20n);
    expect(rig.dma(dev, 0x10, true)).toBe(GUEST + 9);
    expect(memory.get(GUEST + 4, 0x10)).toBe((9n << 12n) | P_RW_U | 0x60n);
  });

  it('a nested domain writes PGTT 3, both roots, and the domain id of the parent', () => {
    const { rig, dev, parent } = guest();
    const at = toIntelDevice(dev).pasidTable!.find(0)!;
    const top = BigInt(parent.pt!.topPfn) << 12n;
    const words = words64(rig.ram, at, 3);
    expect(words[0]).toBe(top | (3n << 6n) | (2n << 2n) | 1n);
    expect(words[2]).toBe(0x1000n);
  });

  it.each(FAULTS)('a nested domain reports fault %s', (_name, code, iovaG, spoil) => {
    const { rig, dev, memory } = guest();
    spoil(memory);
    expect(rig.dma(dev, iovaG, true)).toBe(-1);
    expect(rig.faults()).toMatchObject([{ code }]);
  });

  it('a nested domain follows an unmap of the parent at once', () => {
    const { rig, dev, parent } = guest();
    expect(rig.dma(dev, 0x10)).toBe(GUEST + 9);
    expect(iommuUnmap(parent, 0x9000n, 0x1000n)).toBeGreaterThan(0n);
    expect(rig.dma(dev, 0x10)).toBe(-1);
  });

  it('a nested domain and its parent give everything back', () => {
    const { rig, dev, nested, parent } = guest();
    const used = rig.ram.used;
    detachGroup(nested, dev.iommuGroup!);
    domainFree(nested);
    const frames = parent.pt!.frames;
    domainFree(parent);
    expect(rig.ram.used).toBe(used - frames);
    expect(rig.handle.instance.domainIds.size).toBe(0);
  });
});

describe('invalidation of a nested domain', () => {
  it('a nested domain is stale until the guest says so, then not', () => {
    const { rig, dev, memory, nested } = guest();
    expect(rig.dma(dev, 0x10)).toBe(GUEST + 9);
    memory.put(GUEST + 4, 0x10, (0xan << 12n) | P_RW_U);
    expect(rig.dma(dev, 0x10)).toBe(GUEST + 9);
    expect(invalidate(nested, invalidation({ addr: 0x11_000n }))).toEqual({
      done: 1,
      status: undefined,
    });
    expect(rig.dma(dev, 0x10)).toBe(GUEST + 9);
    expect(invalidate(nested, invalidation({ addr: 0x10_000n, flags: 1 })).done).toBe(1);
    expect(rig.dma(dev, 0x10)).toBe(GUEST + 0xa);
    memory.put(GUEST + 4, 0x10, (0xbn << 12n) | P_RW_U);
    expect(invalidate(nested, invalidation({ npages: 2n ** 64n - 1n })).done).toBe(1);
    expect(rig.dma(dev, 0x10)).toBe(GUEST + 0xb);
  });

  it.each([
    ['an unknown flag', EOPNOTSUPP, { flags: 2 }],
    ['a reserved field', EOPNOTSUPP, { reserved: 1 }],
    ['an address inside a page', EINVAL, { addr: 0x10n }],
    ['all pages from an address', EINVAL, { addr: 0x1000n, npages: 2n ** 64n - 1n }],
  ] as const)('invalidation refuses %s and tells how many were done', (_name, status, entry) => {
    const { nested } = guest();
    expect(invalidate(nested, invalidation({}, entry))).toEqual({ done: 1, status });
  });

  it('invalidation of another type is EINVAL, and nothing is done', () => {
    const { nested } = guest();
    expect(invalidate(nested, { ...invalidation({}), type: 1 })).toEqual({
      done: 0,
      status: EINVAL,
    });
  });
});

describe('allocation of nested domains', () => {
  it.each([
    ['EOPNOTSUPP: an unknown flag', {}, 4, s1(), EOPNOTSUPP],
    ['EINVAL: data of another type', {}, 0, { ...s1(), type: 2 }, EINVAL],
    ['EINVAL: data too short', {}, 0, userData(1, new Uint8Array(16)), EINVAL],
    ['EOPNOTSUPP: an unknown S1 flag', {}, 0, s1({ flags: 8n }), EOPNOTSUPP],
    ['EOPNOTSUPP: a reserved field', {}, 0, s1({ reserved: 1 }), EOPNOTSUPP],
  ] as const)('a nested domain is allocated: %s', (_name, config, flags, data, expected) => {
    const rig = intelRig(config);
    const dev = ownedDevice(rig);
    const parent = must(pagingDomainAllocFlags(dev, IOMMU_HWPT_ALLOC_NEST_PARENT));
    expect(nestedDomainAlloc(dev, parent, flags, data)).toBe(expected);
  });

  it('a nested domain is EOPNOTSUPP on a unit that cannot nest, and EINVAL on a parent that is none', () => {
    const plain = intelRig({ nested: false });
    const dev = ownedDevice(plain);
    const domain = must(pagingDomainAllocFlags(dev, 2));
    expect(nestedDomainAlloc(dev, domain, 0, s1())).toBe(EOPNOTSUPP);
    const rig = intelRig();
    const other = ownedDevice(rig);
    expect(nestedDomainAlloc(other, must(pagingDomainAllocFlags(other, 0)), 0, s1())).toBe(EINVAL);
  });

  it.each([
    ['a width that is none', {}, s1({ width: 39 })],
    ['57 bits on a unit with four levels', {}, s1({ width: 57 })],
    ['supervisor requests', {}, s1({ flags: 1n })],
    ['the extended accessed flag', {}, s1({ flags: 2n })],
  ] as const)('attach refuses %s with EINVAL', (_name, config, data) => {
    const rig = intelRig(config);
    const dev = ownedDevice(rig);
    const parent = must(pagingDomainAllocFlags(dev, IOMMU_HWPT_ALLOC_NEST_PARENT));
    const nested = must(nestedDomainAlloc(dev, parent, 0, data));
    expect(attachGroup(nested, dev.iommuGroup!)).toBe(EINVAL);
    domainFree(nested);
    domainFree(parent);
  });

  it('a nest parent maps nothing read-only', () => {
    const rig = intelRig();
    const dev = ownedDevice(rig);
    const parent = must(pagingDomainAllocFlags(dev, IOMMU_HWPT_ALLOC_NEST_PARENT));
    expect(iommuMap(parent, 0n, 0x1000n, 0x1000n, 1)).toBe(EINVAL);
  });
});
