/** IntervalMap against an array searched from end to end. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { GapRequest } from './interval-gap.ts';
import { IntervalMap } from './interval-map.ts';
import { U64Register } from './word-pair.ts';

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
    found: new U64Register(),
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
          const asked = request(s.first, s.last, s.length, s.lg2, s.offset);
          expect(map.findGap(asked) ? asked.found.value : undefined).toBe(want);
        }
        expect(map.size).toBe(model.ranges.length);
      }
      expect([...map.values()]).toEqual(model.ranges);
    }),
    { numRuns: 150, endOnFailure: true },
  );
});

/** Places of the 53-bit space as numbers, for models of thousands of ranges. */
class Places {
  readonly starts: number[] = [];
  readonly lasts: number[] = [];
  readonly map = new IntervalMap<object>();
  /** Repeatable: 0 … below - 1. */
  random: (below: number) => number;
  constructor(seed: number) {
    let state = seed >>> 0;
    this.random = (below) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
  }
  add(start: number, last: number): void {
    const at = this.starts.findIndex((s) => s > start);
    this.starts.splice(at < 0 ? this.starts.length : at, 0, start);
    this.lasts.splice(at < 0 ? this.lasts.length : at, 0, last);
    const [hi1, lo1, hi2, lo2] = [start / 2 ** 32, start, last / 2 ** 32, last];
    expect(this.map.insert(hi1 >>> 0, lo1 >>> 0, hi2 >>> 0, lo2 >>> 0, {})).toBe(true);
  }
  remove(at: number): void {
    const start = this.starts[at]!;
    this.starts.splice(at, 1);
    this.lasts.splice(at, 1);
    this.map.erase((start / 2 ** 32) >>> 0, start >>> 0);
  }
  /** From end to end. */
  search(length: number, lg2: number, offset: number, first: number): number | undefined {
    const step = 2 ** lg2;
    let from = first;
    for (let n = 0; n <= this.starts.length; n++) {
      if ((this.lasts[n] ?? Infinity) < first) continue;
      const last = (this.starts[n] ?? 2 ** 53) - 1;
      const aligned = Math.ceil(from / step) * step;
      const start = aligned - (aligned % 4096) + ((aligned % 4096) | offset);
      if (start < last && last - start >= length - 1) return start;
      if (this.lasts[n] !== undefined && this.lasts[n]! >= from) from = this.lasts[n]! + 1;
    }
    return undefined;
  }
  find(length: number, lg2: number, offset: number, first: number): number | undefined {
    const { map } = this;
    const want = request(BigInt(first), 2n ** 53n - 1n, BigInt(length), lg2, offset);
    return map.findGap(want) ? Number(want.found.value) : undefined;
  }
}

test('at every alignment and offset the first hole that fits is found, whatever was asked before', () => {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(0, 4, 9, 12), (seed, unitLg2) => {
      const places = new Places(seed);
      const { random } = places;
      // Two thousand ranges with holes of one to eight units between them: three levels of nodes.
      for (let n = 0, at = 2 ** 32 - 2 ** 21; n < 2000; n++) {
        at += random(9) * 2 ** unitLg2;
        const length = (1 + random(4)) * 2 ** unitLg2;
        places.add(at, at + length - 1);
        at += length;
      }
      for (let n = 0; n < 400; n++) {
        if (random(3) === 0 && places.starts.length > 0) {
          places.remove(random(places.starts.length));
          continue;
        }
        const lg2 = random(22);
        const offset = random(2) === 0 || lg2 > 11 ? 0 : random(2 ** (12 - lg2)) * 2 ** lg2;
        const length = 1 + random(10 * 2 ** unitLg2);
        const first = random(4) === 0 ? 2 ** 32 + random(2 ** (unitLg2 + 12)) : 4096;
        const found = places.find(length, lg2, offset, first);
        expect(found).toBe(places.search(length, lg2, offset, first));
        if (found !== undefined && random(2) === 0) places.add(found, found + length - 1);
      }
    }),
    { numRuns: 60 },
  );
});

test('a hole made in front of everything is found at every alignment asked before', () => {
  const places = new Places(1);
  for (let n = 1000; n > 0; n--) {
    places.add(n * 0x2_0000, n * 0x2_0000 + 0xffff);
    for (const lg2 of [12, 13, 16]) {
      expect(places.find(0x1_0000, lg2, 0, 0x2_0000)).toBe(
        places.search(0x1_0000, lg2, 0, 0x2_0000),
      );
    }
  }
  for (let n = 1000; n > 1; n--) {
    places.remove(0);
    for (const lg2 of [12, 13, 16]) {
      const first = places.starts[0]!;
      expect(places.find(0x1_0000, lg2, 0, first)).toBe(places.search(0x1_0000, lg2, 0, first));
    }
  }
});

test.for([1, -1])('a hole that grows by %d page over whole leaves is found', (step) => {
  const places = new Places(1);
  for (let n = 0; n < 2000; n++) places.add(0x1000 + n * 0x1000, 0x1fff + n * 0x1000);
  for (let n = 1; n <= 150; n++) {
    places.remove(step > 0 ? 1000 : 1000 - n);
    const hole = step > 0 ? 1000 : 1000 - n;
    expect(places.find(n * 0x1000, 12, 0, 0x1000)).toBe(0x1000 + hole * 0x1000);
  }
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
        const asked = request(0x1_0000_0000n, MAX, 0x1000n, 12, 0);
        expect(map.findGap(asked)).toBe(true);
        const start = asked.found.value;
        expect(start).toBe(0x1_0000_1000n + BigInt(n) * 0x2000n);
        expect(insert(map, { start, last: start + 0xfffn })).toBe(true);
      }
      for (const r of all) map.erase(hi(r.start), lo(r.start));
      expect(map.size).toBe(9_999);
    }),
    { numRuns: 3 },
  );
});

test('a map that was emptied is used again', () => {
  const map = new IntervalMap<Range>();
  for (const base of [0n, 0x1_0000_0000n]) {
    const all = Array.from({ length: 5000 }, (_, n) => {
      const start = base + BigInt((n * 7919) % 5000) * 0x1000n;
      return { start, last: start + 0xfffn };
    });
    for (const r of all) expect(insert(map, r)).toBe(true);
    for (const r of all) expect(map.find(hi(r.last), lo(r.last))).toBe(r);
    for (const r of all) expect(map.erase(hi(r.start), lo(r.start))).toBe(r);
    expect(map.size).toBe(0);
    expect([...map.values()]).toEqual([]);
  }
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
