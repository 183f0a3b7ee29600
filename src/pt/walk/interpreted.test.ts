import { describe, expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import { must } from '../../testing/base/must.ts';
import {
  amdv1,
  createPageTable,
  InterpretedWalker,
  IOMMU_PRIV,
  IOMMU_READ,
  IOMMU_WRITE,
  isErrno,
  MemoryReader,
  newGather,
  newWalkResult,
  PLAIN_WALK,
  riscv64,
  trackingWalk,
  vtdss,
  WALK_AT_MARK,
  WALK_AT_OUTPUT,
  WALK_AT_TABLE,
  WALK_DENIED,
  WALK_DONE,
  WALK_EMPTY,
  WALK_PRIVILEGED,
  WALK_RESERVED,
  WALK_UNREADABLE,
  x86_64,
  type PtConfig,
  type PtFormat,
  type WalkPolicy,
  type WalkStep,
} from '../index.ts';
import { newTable } from '../../testing/pt/rig.ts';
import { riscv64x4 } from '../../testing/pt/wide-format.ts';

function make(format: PtFormat, config: PtConfig) {
  const { pt, ram } = newTable(format, config);
  const reader = new MemoryReader(ram);
  const noted: WalkStep[] = [];
  const note = (step: WalkStep) => void noted.push(step);
  const plain = new InterpretedWalker({ format, reader, policy: PLAIN_WALK, note });
  const tracking = new InterpretedWalker({ format, reader, policy: trackingWalk(format) });
  const out = newWalkResult();
  const found = { out, code: WALK_DONE };
  const walk = (iovaG: number, write = false, setDirty = false) => {
    const walker = setDirty ? tracking : plain;
    const root = { pfn: pt.topPfn, topLevel: pt.topLevel };
    found.code = walker.walk(root, iovaG, write ? IOMMU_WRITE : IOMMU_READ, out);
    return found.code === WALK_DONE ? out.outG : -1;
  };
  return { ram, pt, found, noted, walk };
}

test('a permitted write makes the leaf dirty when the unit tracks; reads and refused writes do not', () => {
  const { pt, walk } = make(vtdss, { vaLg2: 39, oaLg2: 52 });
  expect(pt.map(1, 11, 1, 3)).toBe(undefined);
  expect(pt.map(2, 12, 1, 1)).toBe(undefined);
  const dirty = () => {
    const found: number[] = [];
    expect(pt.readDirty(0, 10, false, newGather(), (at) => found.push(at))).toBe(undefined);
    return found;
  };
  expect([walk(1, false, true), walk(1, true, false), walk(2, true, true)]).toEqual([11, 11, -1]);
  expect(dirty()).toEqual([]);
  expect(walk(1, true, true)).toBe(11);
  expect(dirty()).toEqual([1]);
});

test('rights are ANDed down the walk', () => {
  const { ram, pt, found, noted, walk } = make(vtdss, { vaLg2: 39, oaLg2: 52 });
  expect(pt.map(1, 11, 1, 3)).toBe(undefined);
  expect(walk(1, true)).toBe(11);
  // Take the write bit out of the top entry.
  ram.words[pt.topPfn * 1024]! &= ~2;
  expect([walk(1, false), walk(1, true)]).toEqual([11, -1]);
  expect([found.code, found.out.level, noted.at(-1)?.entryPa]).toEqual([
    WALK_DENIED,
    2,
    BigInt(pt.topPfn) << 12n,
  ]);
});

test('the leaf alone decides for RISC-V', () => {
  const { pt, found, walk } = make(riscv64, {
    vaLg2: 39,
    oaLg2: 56,
    features: ['sign-extend', 'svnapot-64k'],
  });
  expect(pt.map(16, 32, 16, 1)).toBe(undefined);
  expect([walk(21), walk(21, true)]).toEqual([37, -1]);
  expect([found.code, found.out.level]).toEqual([WALK_DENIED, 0]);
  expect(walk(17)).toBe(33);
  expect(found.out.sizeLg2).toBe(4);
});

test('a run of items counts as one page of its size', () => {
  const { pt, found, walk } = make(amdv1, { vaLg2: 39, oaLg2: 52, topLevel: 2 });
  expect(pt.map(1024, 4096, 1024, 3)).toBe(undefined);
  expect(walk(1024 + 777, true)).toBe(4096 + 777);
  expect([found.code, found.out.sizeLg2, found.out.prot]).toEqual([WALK_DONE, 10, 3]);
});

test('a table pointer out of RAM is a bus error', () => {
  const { ram, pt, found, walk } = make(vtdss, { vaLg2: 39, oaLg2: 52 });
  ram.words[pt.topPfn * 1024] = 0x7fff_f003;
  expect(walk(0)).toBe(-1);
  expect([found.code, found.out.level]).toEqual([WALK_UNREADABLE, 1]);
  ram.words[pt.topPfn * 1024] = 0;
  expect(walk(0)).toBe(-1);
  expect(found.code).toBe(WALK_EMPTY);
});

describe('the policy of a unit', () => {
  const RIGHTS = IOMMU_READ | IOMMU_WRITE;
  /** One page and one leaf of 2 MiB, in an x86-64 table. */
  function walked(policy: Partial<WalkPolicy>) {
    const { ram, pt } = newTable(x86_64, { vaLg2: 48, oaLg2: 52, features: ['sign-extend'] });
    expect(pt.map(1, 11, 1, RIGHTS)).toBe(undefined);
    expect(pt.map(512, 1024, 512, RIGHTS)).toBe(undefined);
    const reader = new MemoryReader(ram);
    const all = { ...PLAIN_WALK, ...policy };
    const walker = new InterpretedWalker({ format: x86_64, reader, policy: all });
    const out = newWalkResult();
    const walk = (iovaG: number, access: number) =>
      walker.walk({ pfn: pt.topPfn, topLevel: 3 }, iovaG, access, out);
    /** Clear bits in the item of a level on the way to page 1. */
    const clear = (level: number, bits: number) => {
      const steps = pt.walk(4096n);
      if (isErrno(steps)) throw new Bug(steps.name);
      ram.words[Number(steps[3 - level]!.entryPa / 4n)]! &= ~bits;
    };
    return { pt, ram, out, walk, clear };
  }

  test('a leaf of a size the unit does not know is refused', () => {
    const { walk, out } = walked({ leafLevels: 0b1 });
    expect([walk(1, IOMMU_READ), walk(513, IOMMU_READ), out.level]).toEqual([
      WALK_DONE,
      WALK_RESERVED,
      1,
    ]);
  });

  test('bits that must be zero are looked at in every item', () => {
    const { walk } = walked({ reserved: (_level, leaf) => ({ lo: leaf ? 0 : 1 << 2, hi: 0 }) });
    expect(walk(1, IOMMU_READ)).toBe(WALK_RESERVED);
  });

  test('a page for privileged requesters is closed to others', () => {
    const { walk, clear } = walked({ user: { lo: 1 << 2, hi: 0 } });
    expect(walk(1, IOMMU_READ)).toBe(WALK_DONE);
    clear(2, 1 << 2);
    expect([walk(1, IOMMU_READ), walk(1, IOMMU_READ | IOMMU_PRIV)]).toEqual([
      WALK_PRIVILEGED,
      WALK_DONE,
    ]);
  });

  test('rights are looked at on the way, or last', () => {
    const policy = { leafLevels: 0b1 };
    const early = walked(policy);
    const late = walked({ ...policy, rights: 'leaf' });
    for (const { clear } of [early, late]) clear(3, 1 << 1);
    expect(early.walk(513, IOMMU_WRITE)).toBe(WALK_DENIED);
    expect(late.walk(513, IOMMU_WRITE)).toBe(WALK_RESERVED);
  });

  test('a unit that tracks sets its marks, and a clean leaf is not cached as writable', () => {
    const dirty = { lo: 1 << 6, hi: 0 };
    const { walk, out, clear } = walked({ marks: { leaf: { lo: 1 << 5, hi: 0 }, dirty } });
    clear(0, dirty.lo);
    expect([walk(1, IOMMU_READ), out.prot]).toEqual([WALK_DONE, IOMMU_READ]);
    expect([walk(1, IOMMU_WRITE), out.prot]).toEqual([WALK_DONE, RIGHTS]);
    expect([walk(1, IOMMU_READ), out.prot]).toEqual([WALK_DONE, RIGHTS]);
  });
});

describe('two stages', () => {
  const RIGHTS = IOMMU_READ | IOMMU_WRITE;
  /** A guest's table at the guest frame it has in the host; the host maps frames 1 to 1, the page 11 to 77. */
  function nested(tablesProt = RIGHTS) {
    const { pt: guest, ram } = newTable(x86_64, {
      vaLg2: 48,
      oaLg2: 52,
      features: ['sign-extend'],
    });
    const host = must(createPageTable(vtdss, ram, { vaLg2: 39, oaLg2: 52 }));
    expect(guest.map(1, 11, 1, RIGHTS)).toBe(undefined);
    const steps = must(guest.walk(4096n));
    for (const { entryPa } of steps) {
      const frame = Number(entryPa >> 12n);
      expect(host.map(frame, frame, 1, tablesProt)).toBe(undefined);
    }
    const reader = new MemoryReader(ram);
    const second = new InterpretedWalker({ format: vtdss, reader, policy: PLAIN_WALK });
    const dirty = { lo: 1 << 6, hi: 0 };
    const policy = { ...PLAIN_WALK, marks: { dirty } };
    const walker = new InterpretedWalker({ format: x86_64, reader, policy, host: second });
    const out = newWalkResult();
    const root = {
      pfn: guest.topPfn,
      topLevel: 3,
      host: { pfn: host.topPfn, topLevel: host.topLevel },
    };
    ram.words[Number(steps[3]!.entryPa / 4n)]! &= ~dirty.lo;
    return { host, out, walk: (access: number) => walker.walk(root, 1, access, out), steps };
  }

  test('the output of one is the input of the other, with the rights of both', () => {
    const { host, out, walk } = nested();
    expect(host.map(11, 77, 1, IOMMU_READ)).toBe(undefined);
    expect(walk(IOMMU_READ)).toBe(WALK_DONE);
    expect(out).toMatchObject({ outG: 77, prot: IOMMU_READ, sizeLg2: 0 });
    expect(walk(IOMMU_WRITE)).toBe(WALK_AT_OUTPUT | WALK_DENIED);
  });

  test('a table the host does not map, or may not be marked, is told apart', () => {
    const { walk } = nested(IOMMU_READ);
    expect(walk(IOMMU_WRITE)).toBe(WALK_AT_MARK | WALK_DENIED);
    const { host, steps, walk: again, out } = nested();
    expect(host.unmap(Number(steps[1]!.entryPa >> 12n), 1, undefined)).toBe(1);
    expect([again(IOMMU_READ), out.level]).toEqual([WALK_AT_TABLE | WALK_EMPTY, 0]);
  });
});

const RW = IOMMU_READ | IOMMU_WRITE;
test.each([
  ['the frame of the item', IOMMU_READ, RW, WALK_AT_MARK | WALK_DENIED],
  ['another frame of the table', RW, IOMMU_READ, WALK_DONE],
] as const)(
  'nested, an item in a table of several frames, %s read-only',
  (_what, itemProt, prot, code) => {
    // The root has four frames of 512 items; the one for this page is in the third.
    const page = 1024 * 2 ** 18;
    const { pt: guest, ram } = newTable(riscv64x4, { vaLg2: 41, oaLg2: 56 });
    const host = must(createPageTable(vtdss, ram, { vaLg2: 39, oaLg2: 52 }));
    expect(guest.map(page, 11, 1, RW)).toBe(undefined);
    const [top, ...below] = must(guest.walk(BigInt(page) << 12n));
    const itemFrame = Number(top!.entryPa >> 12n);
    expect(itemFrame).toBe(guest.topPfn + 2);
    const shared = below.map(({ entryPa }) => Number(entryPa >> 12n));
    for (const frame of [...shared, 11]) expect(host.map(frame, frame, 1, RW)).toBe(undefined);
    expect(host.map(itemFrame, itemFrame, 1, itemProt)).toBe(undefined);
    expect(host.map(guest.topPfn, guest.topPfn, 1, prot)).toBe(undefined);
    const reader = new MemoryReader(ram);
    const walker = new InterpretedWalker({
      ...{ format: riscv64x4, reader },
      policy: { ...PLAIN_WALK, marks: { table: { lo: 1 << 8, hi: 0 } } },
      host: new InterpretedWalker({ format: vtdss, reader, policy: PLAIN_WALK }),
    });
    const root = {
      ...{ pfn: guest.topPfn, topLevel: guest.topLevel },
      host: { pfn: host.topPfn, topLevel: host.topLevel },
    };
    expect(walker.walk(root, page, IOMMU_READ, newWalkResult())).toBe(code);
  },
);
