import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { amdv1, freeGathered, newGather, riscv64, vtdss } from '../index.ts';
import type { PageTable } from '../page-table.ts';
import { newTable } from '../../testing/pt/rig.ts';

const vtd = () => newTable(vtdss, { vaLg2: 39, oaLg2: 52 });

describe('unmap never splits a leaf', () => {
  test.each([
    ['2 MiB', vtdss, 512],
    ['64 KiB of 16 items', amdv1, 16],
    ['4 MiB of 2 items', amdv1, 1024],
  ] as const)('unmap never splits a leaf of %s', (_name, format, size) => {
    const { pt } = newTable(format, { vaLg2: 39, oaLg2: 52, topLevel: 2 });
    expect(pt.map(size, 4 * size, size, 3)).toBe(undefined);
    // Starting inside: nothing.
    expect(pt.unmap(size + 1, size - 1, newGather())).toBe(0);
    expect(pt.unmap(size + 1, 1, newGather())).toBe(0);
    expect(pt.unmap(size + 1, 1, undefined)).toBe(0);
    expect(pt.lookup(size + 1)).toBe(4 * size + 1);
    // Ending inside: the whole leaf.
    const gather = newGather();
    expect(pt.unmap(size, 1, gather)).toBe(size);
    expect([gather.start, gather.end]).toEqual([size, 2 * size - 1]);
    expect(pt.lookup(2 * size - 1)).toBe(-1);
  });
});

test('an unmap stops at a hole, and what was removed before is told', () => {
  const { pt } = vtd();
  expect(pt.map(10, 1, 3, 3)).toBe(undefined);
  expect(pt.map(20, 1, 1, 3)).toBe(undefined);
  expect(pt.unmap(10, 20, newGather())).toBe(3);
  expect(pt.lookup(20)).toBe(1);
  expect(pt.unmap(10, 20, newGather())).toBe(0);
  expect(pt.unmap(0x4000, 5, newGather())).toBe(0);
});

test('an unmap of length 0, outside the table, or of a range that wraps removes nothing', () => {
  const { pt } = vtd();
  expect(pt.map(2 ** 27 - 1, 1, 1, 3)).toBe(undefined);
  expect(pt.unmap(2 ** 27 - 1, 0, newGather())).toBe(0);
  expect(pt.unmap(2 ** 27 - 1, 2, newGather())).toBe(0);
  expect(pt.unmap(2 ** 27, 1, newGather())).toBe(0);
  expect(pt.unmap(2 ** 52 - 1, 2, newGather())).toBe(0);
  expect(pt.lookup(2 ** 27 - 1)).toBe(1);
});

interface Run {
  readonly from: number;
  readonly count: number;
}
/** Two tables, of which one is unmapped range by range, the other page by page, answer alike and leave nothing. */
function goesAsItsPages(
  mapped: readonly (Run & { readonly prot: number })[],
  removals: readonly Run[],
): void {
  const [fast, slow] = [vtd(), vtd()];
  for (const { pt } of [fast, slow]) for (const run of mapped) mapFree(pt, run);
  for (const { from, count } of removals) {
    let one = 0;
    while (one < count && slow.pt.unmap(from + one, 1, undefined) === 1) one++;
    expect(fast.pt.unmap(from, count, undefined)).toBe(one);
    const seen = ({ pt }: typeof fast): string =>
      Array.from({ length: 4096 }, (_, n) => pt.lookup(n)).join();
    expect(seen(fast)).toBe(seen(slow));
    // One by one no table is covered; what is left of them differs, what they give back does not.
    expect(fast.ram.used <= slow.ram.used).toBe(true);
  }
  for (const { pt, ram } of [fast, slow]) {
    pt.destroy();
    expect(ram.used).toBe(0);
    const frame = Number(ram.alloc());
    const words = ram.words.subarray(frame * 1024, (frame + 1) * 1024);
    expect(words.every((word) => word === 0)).toBe(true);
  }
}
/** Pages that nothing is mapped at. */
function mapFree(pt: PageTable, { from, count, prot }: Run & { readonly prot: number }): void {
  for (let n = from; n < from + count; n++) {
    if (pt.lookup(n) < 0) expect(pt.map(n, 2 * n + 1, 1, prot)).toBe(undefined);
  }
}

describe('tables', () => {
  test('covered tables wait on the freelist of the gather until they are freed', () => {
    const { pt, ram } = vtd();
    expect(pt.map(0, 1, 1536, 3)).toBe(undefined);
    expect(ram.used).toBe(5);
    const gather = newGather();
    expect(pt.unmap(0, 1024 + 5, gather)).toBe(1024 + 5);
    expect(gather.freelist.length).toBe(2);
    expect([ram.used, pt.frames]).toEqual([5, 3]);
    freeGathered(gather, ram);
    expect([ram.used, gather.freelist.length]).toEqual([3, 0]);
    expect(pt.lookup(1024 + 5)).toBe(1024 + 6);
  });

  test('covered tables are freed at once without a gather', () => {
    const { pt, ram } = vtd();
    expect(pt.map(0, 1, 2 ** 18, 3)).toBe(undefined);
    expect(pt.unmap(0, 2 ** 18, undefined)).toBe(2 ** 18);
    expect([ram.used, pt.frames]).toEqual([1, 1]);
  });

  test('a table with a hole stays, although the range covers it', () => {
    const { pt, ram } = vtd();
    expect(pt.map(0, 1, 511, 3)).toBe(undefined);
    expect(pt.unmap(0, 512, undefined)).toBe(511);
    expect(ram.used).toBe(3);
  });

  test('pages go on being mapped after the last table used was freed', () => {
    const { pt, ram } = vtd();
    expect(pt.map(0, 1, 512, 3)).toBe(undefined);
    expect(pt.unmap(0, 512, undefined)).toBe(512);
    const other = ram.alloc();
    expect(pt.map(3, 9, 1, 3)).toBe(undefined);
    expect(pt.lookup(3)).toBe(9);
    const words = ram.words.slice(Number(other) * 1024, Number(other) * 1024 + 1024);
    expect(words.every((word) => word === 0)).toBe(true);
  });

  test('a table that goes as it is leaves what it leaves when its pages go one by one', () => {
    const prot = fc.constantFrom(1, 2, 3);
    const run = fc.record({ from: fc.nat({ max: 2047 }), count: fc.nat({ max: 1100 }), prot });
    const runs = fc.array(run, { maxLength: 8 });
    const removed = fc.record({
      from: fc.nat({ max: 2047 }),
      count: fc.integer({ min: 1, max: 2048 }),
    });
    fc.assert(fc.property(runs, fc.array(removed, { maxLength: 4 }), goesAsItsPages), {
      numRuns: 40,
    });
  });

  test('destroying gives every frame back, tables of unmapped pages too', () => {
    const { pt, ram } = vtd();
    expect(pt.map(0, 1, 3000, 3)).toBe(undefined);
    expect(pt.map(2 ** 26, 512, 512, 3)).toBe(undefined);
    expect(pt.unmap(5, 1, undefined)).toBe(1);
    pt.destroy();
    expect(ram.used).toBe(0);
    expect(() => pt.destroy()).toThrow('once');
  });
});

describe('the gather', () => {
  test('a queued gather records no range, only tables', () => {
    const { pt } = vtd();
    expect(pt.map(0, 1, 513, 3)).toBe(undefined);
    const gather = newGather(true);
    expect(pt.unmap(512, 1, gather)).toBe(1);
    expect(pt.unmap(0, 512, gather)).toBe(512);
    expect([gather.start, gather.end, gather.freelist.length]).toEqual([Infinity, 0, 1]);
  });

  test('removing nothing at IOVA 0 asks for a flush of everything; elsewhere for none', () => {
    const { pt } = vtd();
    const all = newGather();
    expect(pt.unmap(0, 1, all)).toBe(0);
    expect([all.start, all.end]).toEqual([0, 2 ** 52 - 1]);
    const none = newGather();
    expect(pt.unmap(7, 1, none)).toBe(0);
    expect(none.start > none.end).toBe(true);
  });

  test('hardware that wants no gaps is synced before a distant range', () => {
    const synced: [number, number][] = [];
    const { pt } = newTable(amdv1, {
      vaLg2: 39,
      oaLg2: 52,
      topLevel: 2,
      features: ['flush-range-no-gaps'],
      iotlbSync: (gather) => void synced.push([gather.start, gather.end]),
    });
    for (const at of [5, 6, 100]) expect(pt.map(at, at, 1, 3)).toBe(undefined);
    const gather = newGather();
    for (const at of [5, 6, 100]) expect(pt.unmap(at, 1, gather)).toBe(1);
    expect(synced).toEqual([[5, 6]]);
    expect([gather.start, gather.end]).toEqual([100, 100]);
  });

  test('a detailed gather tells the levels of leaves and freed tables', () => {
    const features = ['sign-extend', 'detailed-gather'] as const;
    const { pt } = newTable(riscv64, { vaLg2: 39, oaLg2: 56, features });
    expect(pt.map(0, 512, 1024, 3)).toBe(undefined);
    expect(pt.map(1024, 1, 512, 3)).toBe(undefined);
    const large = newGather();
    expect(pt.unmap(0, 1024, large)).toBe(1024);
    expect([large.leafLevels, large.tableLevels]).toEqual([0b10, 0]);
    const small = newGather();
    expect(pt.unmap(1024, 1, small)).toBe(1);
    expect([small.leafLevels, small.tableLevels]).toEqual([1, 0]);
    expect(pt.map(1024, 1, 1, 3)).toBe(undefined);
    expect(pt.unmap(1024, 512, small)).toBe(512);
    expect([small.leafLevels, small.tableLevels]).toEqual([1, 0b10]);
  });
});
