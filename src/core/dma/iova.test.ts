/** The IOVA allocator against a naive model, and the rules of core.md 10.3. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IovaDomain, MAGAZINE_SIZE } from './iova.ts';

const LIMIT = 0x3fff;

function roundUp(size: number): number {
  return 2 ** Math.ceil(Math.log2(size));
}

describe('allocation', () => {
  test('an allocation of IOVA goes from the limit downwards', () => {
    const iovad = new IovaDomain(12, 1);
    expect(iovad.alloc(1, LIMIT)).toBe(0x3fff);
    expect(iovad.alloc(1, LIMIT)).toBe(0x3ffe);
    expect(iovad.alloc(4, LIMIT)).toBe(0x3ff8);
    expect(iovad.alloc(1, LIMIT)).toBe(0x3ff7);
  });
  test('an allocation of IOVA is aligned to the next power of two of the size', () => {
    const iovad = new IovaDomain(12, 1);
    expect(iovad.alloc(1, LIMIT)).toBe(0x3fff);
    expect(iovad.alloc(33, LIMIT) % 64).toBe(0);
    expect(iovad.alloc(64, LIMIT) % 64).toBe(0);
  });
  test('an allocation of IOVA begins below where the last one ended, then once more from the limit', () => {
    const iovad = new IovaDomain(12, 1);
    expect(iovad.alloc(1, 127)).toBe(127);
    expect(iovad.alloc(64, 127)).toBe(-1);
    expect(iovad.alloc(32, 127)).toBe(64);
    // Nothing is free below 64 that is aligned and not 0 but 32; after it only the gap above is left.
    expect(iovad.alloc(32, 127)).toBe(32);
    expect(iovad.alloc(31, 127)).toBe(96);
  });
  test('an allocation of IOVA finds what was freed above', () => {
    const iovad = new IovaDomain(12, 1);
    const pfns = Array.from({ length: 8 }, () => iovad.alloc(1, LIMIT));
    iovad.free(pfns[2]!);
    expect(iovad.alloc(1, LIMIT)).toBe(pfns[2]);
  });
  test('an allocation of IOVA never gives out what lies below the start, nor 0', () => {
    const iovad = new IovaDomain(12, 1);
    const all = Array.from({ length: 16 }, () => iovad.alloc(1, 7));
    expect(all).toEqual([7, 6, 5, 4, 3, 2, 1, -1, -1, -1, -1, -1, -1, -1, -1, -1]);
  });
  test('an allocation of IOVA passes over reserved ranges, also when they overlap', () => {
    const iovad = new IovaDomain(12, 1);
    iovad.reserve(4, 6);
    iovad.reserve(5, 10);
    iovad.reserve(14, 100);
    const all = Array.from({ length: 9 }, () => iovad.alloc(1, 15));
    expect(all).toEqual([13, 12, 11, 3, 2, 1, -1, -1, -1]);
  });
  test('a size that failed below 4 GiB is not tried again until something there is freed', () => {
    const iovad = new IovaDomain(28, 1);
    // Sixteen granules of 256 MiB below 4 GiB; 0 is never given out.
    const held = iovad.alloc(8, 15);
    expect(held).toBe(8);
    expect(iovad.alloc(8, 15)).toBe(-1);
    iovad.free(held);
    expect(iovad.alloc(8, 15)).toBe(8);
  });
  test('freeing what is not allocated is a bug', () => {
    expect(() => new IovaDomain(12, 1).free(5)).toThrow('not allocated');
  });
});

describe('the caches', () => {
  test('the caches of IOVA give small ranges back without touching the list', () => {
    const iovad = new IovaDomain(12, 1);
    const pfn = iovad.allocFast(3, LIMIT, true);
    iovad.freeFast(pfn, 3);
    expect(iovad.rangeCount).toBe(1);
    expect(iovad.allocFast(4, LIMIT, true)).toBe(pfn);
    expect(iovad.rangeCount).toBe(1);
  });
  test('the caches of IOVA do not hold ranges above 32 granules', () => {
    const iovad = new IovaDomain(12, 1);
    iovad.freeFast(iovad.allocFast(33, LIMIT, true), 33);
    expect(iovad.rangeCount).toBe(0);
  });
  test('the caches of IOVA give nothing above the limit asked for', () => {
    const iovad = new IovaDomain(12, 1);
    const high = iovad.allocFast(1, LIMIT, true);
    iovad.freeFast(high, 1);
    expect(iovad.allocFast(1, 100, true)).toBe(100);
    expect(iovad.allocFast(1, LIMIT, true)).toBe(high);
  });
  test('the caches of IOVA are emptied when there is no other room, and only if asked', () => {
    const iovad = new IovaDomain(12, 1);
    const ones = Array.from({ length: 7 }, () => iovad.allocFast(1, 7, true));
    for (const pfn of ones) iovad.freeFast(pfn, 1);
    expect(iovad.allocFast(4, 7, false)).toBe(-1);
    expect(iovad.allocFast(4, 7, true)).toBe(4);
  });
  test('the caches of IOVA hold many magazines and overflow into the list', () => {
    const iovad = new IovaDomain(12, 1);
    const count = MAGAZINE_SIZE * 40;
    const pfns = Array.from({ length: count }, () => iovad.allocFast(1, LIMIT, true));
    expect(new Set(pfns).size).toBe(count);
    for (const pfn of pfns) iovad.freeFast(pfn, 1);
    expect(iovad.rangeCount).toBeLessThan(count);
    iovad.flushRcaches();
    expect(iovad.rangeCount).toBe(0);
  });
});

const command = fc.record({
  free: fc.boolean(),
  size: fc.integer({ min: 1, max: 48 }),
  limit: fc.constantFrom(200, 511),
  pick: fc.nat(),
});
const reserved = fc.array(fc.tuple(fc.nat(511), fc.nat(40)), { maxLength: 4 });

// The model knows only which granules are taken; it says whether an answer is allowed, and whether refusing is.
describe('against a model of granules', () => {
  test('ranges never overlap, are aligned, within limits, and only refused when nothing fits', () => {
    fc.assert(
      fc.property(reserved, fc.array(command, { maxLength: 80 }), (regions, commands) => {
        const iovad = new IovaDomain(12, 3);
        const taken = new Set([0, 1, 2]);
        const live: { pfn: number; size: number }[] = [];
        for (const [lo, length] of regions) {
          iovad.reserve(lo, lo + length);
          for (let n = lo; n <= lo + length; n++) taken.add(n);
        }
        const fits = (pfn: number, size: number): boolean =>
          Array.from({ length: size }, (_, n) => pfn + n).every((n) => !taken.has(n));
        for (const { free, size, limit, pick } of commands) {
          if (free && live.length > 0) {
            const [range] = live.splice(pick % live.length, 1);
            iovad.free(range!.pfn);
            for (let n = 0; n < range!.size; n++) taken.delete(range!.pfn + n);
            continue;
          }
          const align = roundUp(size);
          const pfn = iovad.alloc(size, limit);
          if (pfn < 0) {
            for (let at = 0; at + size - 1 <= limit; at += align)
              expect(fits(at, size)).toBe(false);
            continue;
          }
          expect(pfn % align).toBe(0);
          expect(pfn + size - 1).toBeLessThanOrEqual(limit);
          expect(fits(pfn, size)).toBe(true);
          for (let n = 0; n < size; n++) taken.add(pfn + n);
          live.push({ pfn, size });
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('in order', () => {
  test('without frees every range is the highest that fits below the last', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 30 }), (sizes) => {
        const iovad = new IovaDomain(12, 1);
        let low = 512;
        for (const size of sizes) {
          const align = roundUp(size);
          const expected = Math.floor((low - size) / align) * align;
          if (expected < 1) return;
          expect(iovad.alloc(size, 511)).toBe(expected);
          low = expected;
        }
      }),
    );
  });
  test('fast allocations of any mix never overlap', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 120 }), (commands) => {
        const iovad = new IovaDomain(12, 1);
        const taken = new Set<number>();
        const live: { pfn: number; size: number }[] = [];
        for (const { free, size, pick } of commands) {
          if (free && live.length > 0) {
            const [range] = live.splice(pick % live.length, 1);
            iovad.freeFast(range!.pfn, range!.size);
            for (let n = 0; n < range!.size; n++) taken.delete(range!.pfn + n);
            continue;
          }
          const pfn = iovad.allocFast(size, 1023, true);
          if (pfn < 0) continue;
          for (let n = pfn; n < pfn + size; n++) {
            expect(taken.has(n)).toBe(false);
            taken.add(n);
          }
          live.push({ pfn, size });
        }
      }),
      { numRuns: 300 },
    );
  });
});
