/** IntervalMap against an array searched from end to end. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IntervalMap, type GapRequest } from './interval-map.ts';

interface Range {
  start: bigint;
  last: bigint;
}
const hi = (x: bigint): number => Number(x >> 32n);
const lo = (x: bigint): number => Number(x & 0xffff_ffffn);
const MAX = 0xffff_ffff_ffff_ffffn;

class Model {
  ranges: Range[] = [];
  insert(range: Range): boolean {
    if (this.ranges.some((r) => r.start <= range.last && range.start <= r.last)) return false;
    this.ranges.push(range);
    this.ranges.sort((a, b) => (a.start < b.start ? -1 : 1));
    return true;
  }
  find(key: bigint): Range | undefined {
    return this.ranges.find((r) => r.start <= key && key <= r.last);
  }
  seek(key: bigint): Range | undefined {
    return this.ranges.find((r) => r.last >= key);
  }
  gap(first: bigint, last: bigint, length: bigint, align: bigint, offset: bigint) {
    let from = first;
    for (const r of [...this.ranges, { start: MAX + 1n, last: MAX + 1n }]) {
      if (r.last < first) continue;
      const end = r.start - 1n < last ? r.start - 1n : last;
      if (from <= end) {
        const start = (((from + align - 1n) / align) * align) | offset;
        if (start < end && end - start >= length - 1n) return start;
      }
      if (r.last + 1n > from) from = r.last + 1n;
      if (from > last) return undefined;
    }
    return undefined;
  }
}

function request(
  first: bigint,
  last: bigint,
  length: bigint,
  lg2: number,
  offset: number,
): GapRequest {
  const span = length - 1n;
  return {
    firstHi: hi(first),
    firstLo: lo(first),
    lastHi: hi(last),
    lastLo: lo(last),
    spanHi: hi(span),
    spanLo: lo(span),
    alignLg2: lg2,
    offset,
  };
}
function insert(map: IntervalMap<Range>, r: Range): boolean {
  return map.insert(hi(r.start), lo(r.start), hi(r.last), lo(r.last), r);
}

/** Starts on a small grid at three places of the 64-bit space, so that things meet. */
const place = fc
  .tuple(
    fc.constantFrom(0n, 0xffff_f000n, 0xffff_ffff_fff0_0000n),
    fc.integer({ min: 0, max: 255 }),
  )
  .map(([base, n]) => base + BigInt(n) * 0x1000n);
const range = fc
  .tuple(place, fc.constantFrom(1n, 0xfffn, 0x1000n, 0x3000n))
  .map(([start, length]) => ({
    start,
    last: start + length - 1n > MAX ? MAX : start + length - 1n,
  }));
const step = fc.oneof(
  { weight: 6, arbitrary: range.map((r) => ({ kind: 'insert' as const, r })) },
  { weight: 3, arbitrary: fc.nat().map((n) => ({ kind: 'erase' as const, n })) },
  { weight: 1, arbitrary: place.map((key) => ({ kind: 'find' as const, key })) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('gap' as const),
      first: place,
      last: place,
      length: fc.constantFrom(1n, 2n, 0x800n, 0x1000n, 0x2000n, 0x5000n, 0x1_0000_0000n),
      lg2: fc.constantFrom(0, 11, 12, 13, 14, 21),
      offset: fc.constantFrom(0, 0x800),
    }),
  },
);

/** Two pages every four, so that no hole of two pages is aligned to four; every ninth hole is larger. */
const HOLES = Array.from({ length: 80 }, (_, n) => {
  const start = BigInt(n * 4 + 2) * 0x1000n + (n % 9 === 0 ? 0x1000n : 0n);
  return { start, last: start + 0x1fffn - (n % 9 === 0 ? 0x1000n : 0n) };
});

test.for([
  ['does what a sorted list does', []],
  ['does it among many holes of the wrong alignment too', HOLES],
] as const)('an interval map %s', ([, first]) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600, size: 'max' }), (steps) => {
      const map = new IntervalMap<Range>();
      const model = new Model();
      for (const r of first) expect(insert(map, r)).toBe(model.insert(r));
      for (const s of steps) {
        if (s.kind === 'insert') expect(insert(map, s.r)).toBe(model.insert(s.r));
        else if (s.kind === 'find') {
          expect(map.find(hi(s.key), lo(s.key))).toBe(model.find(s.key));
          expect(map.seek(hi(s.key), lo(s.key))).toBe(model.seek(s.key));
        } else if (s.kind === 'erase') {
          const r = model.ranges[s.n % Math.max(1, model.ranges.length)];
          if (!r) continue;
          model.ranges.splice(model.ranges.indexOf(r), 1);
          expect(map.erase(hi(r.start), lo(r.start))).toBe(r);
        } else {
          const want = model.gap(s.first, s.last, s.length, 1n << BigInt(s.lg2), BigInt(s.offset));
          const found = map.findGap(request(s.first, s.last, s.length, s.lg2, s.offset));
          expect(found ? (BigInt(map.foundHi) << 32n) | BigInt(map.foundLo) : undefined).toBe(want);
        }
        expect(map.size).toBe(model.ranges.length);
      }
      expect([...map.values()]).toEqual(model.ranges);
    }),
    { numRuns: 150, endOnFailure: true },
  );
});

test('ten thousand ranges in any order come out sorted, and every hole between them is found again', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const map = new IntervalMap<Range>();
      const all = Array.from({ length: 10_000 }, (_, n) => {
        const start = 0x1_0000_0000n + BigInt((n * 7919 + (seed >>> 0)) % 10_000) * 0x2000n;
        return { start, last: start + 0xfffn };
      });
      for (const r of all) expect(insert(map, r)).toBe(true);
      const sorted = [...all].sort((a, b) => (a.start < b.start ? -1 : 1));
      expect([...map.values()]).toEqual(sorted);
      // Close every hole: each search gives the lowest, which is the one after the last closed.
      for (let n = 0; n < 9_999; n++) {
        expect(map.findGap(request(0x1_0000_0000n, MAX, 0x1000n, 12, 0))).toBe(true);
        const start = (BigInt(map.foundHi) << 32n) | BigInt(map.foundLo);
        expect(start).toBe(0x1_0000_1000n + BigInt(n) * 0x2000n);
        expect(insert(map, { start, last: start + 0xfffn })).toBe(true);
      }
      for (const r of all) map.erase(hi(r.start), lo(r.start));
      expect(map.size).toBe(9_999);
    }),
    { numRuns: 3 },
  );
});

test('the whole 64-bit space is one range', () => {
  const map = new IntervalMap<Range>();
  const all = { start: 0n, last: MAX };
  expect(insert(map, all)).toBe(true);
  expect(insert(map, { start: MAX, last: MAX })).toBe(false);
  expect(map.find(0xffff_ffff, 0xffff_ffff)).toBe(all);
  expect(map.findGap(request(0n, MAX, 1n, 0, 0))).toBe(false);
});

test('erasing what does not start there is a Bug', () => {
  const map = new IntervalMap<Range>();
  insert(map, { start: 0x1000n, last: 0x1fffn });
  expect(() => map.erase(0, 0x1001)).toThrow('no range starts');
});

test('a range that reaches into a leaf whose first range is gone is met there', () => {
  const map = new IntervalMap<Range>();
  const all = Array.from({ length: 200 }, (_, n) => {
    const start = BigInt(n) * 0x1000n;
    return { start, last: start + 0xfffn };
  });
  for (const r of all) insert(map, r);
  // Whatever leaf border lies in the middle, a long range now crosses it.
  for (let n = 50; n < 150; n++) {
    if (n % 40 !== 0) map.erase(0, n * 0x1000);
  }
  const long = { start: 0x51000n, last: 0x77fffn };
  expect(insert(map, long)).toBe(true);
  for (let at = long.start; at <= long.last; at += 0x1000n) {
    expect(map.find(hi(at), lo(at))).toBe(long);
    expect(map.seek(hi(at), lo(at))).toBe(long);
    expect(insert(map, { start: at, last: at })).toBe(false);
    expect(map.findGap(request(at, 0x77fffn, 0x10n, 0, 0))).toBe(false);
  }
});
