/** Automatic placement against iommufd.md 3.3 said again in bigint, hole by hole. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EINVAL, ENOSPC, EOVERFLOW } from '../../base/errno.ts';
import { IntervalMap } from '../../base/interval-map.ts';
import { U64_MAX } from '../../base/u64.ts';
import { hiWord, loWord } from '../../base/word-pair.ts';
import { findPlace, Placement } from './iova-alloc.ts';
import type { IovaRange } from '../../base/iova-range.ts';
import { holesOf, IovaRules, mergeRanges } from './reserved.ts';

interface Asked {
  readonly hint: bigint;
  readonly length: bigint;
}
interface World {
  readonly areas: readonly IovaRange[];
  readonly reserved: readonly IovaRange[];
  readonly allowed: readonly IovaRange[];
}

function placement({ hint, length }: Asked): Placement {
  const place = new Placement();
  place.hint.value = hint;
  place.span.value = length - 1n;
  return place;
}
function alignOf({ hint, length }: Asked): bigint {
  let align = 1n;
  while (align < length) align *= 2n;
  const lowest = hint & -hint;
  if (hint !== 0n && lowest < align) align = lowest;
  return align > 0x20_0000n ? 0x20_0000n : align;
}
/** Undefined: nothing fits. */
function model(world: World, asked: Asked): bigint | undefined {
  const align = alignOf(asked);
  const startIn = (first: bigint, last: bigint): bigint | undefined => {
    const start = ((first + align - 1n) & -align) | (asked.hint & 0xfffn);
    return start > U64_MAX || start >= last || last - start < asked.length - 1n ? undefined : start;
  };
  const whole = { start: 4096n, last: U64_MAX - 4096n };
  const taken = mergeRanges([...world.areas, ...world.reserved]);
  for (const allowed of world.allowed.length > 0 ? mergeRanges(world.allowed) : [whole]) {
    const first = allowed.start > whole.start ? allowed.start : whole.start;
    const last = allowed.last < whole.last ? allowed.last : whole.last;
    const from = first > last ? undefined : startIn(first, last);
    if (from === undefined) continue;
    for (const hole of holesOf(taken, from, last)) {
      const start = startIn(hole.start, hole.last);
      if (start !== undefined) return start;
    }
  }
  return undefined;
}

class Table {
  readonly areas = new IntervalMap<object>();
  readonly rules = new IovaRules();
  readonly held: IovaRange[] = [];
  add(range: IovaRange): boolean {
    const { start, last } = range;
    const [hi, lo, lastHi, lastLo] = [hiWord(start), loWord(start), hiWord(last), loWord(last)];
    if (!this.areas.insert(hi, lo, lastHi, lastLo, range)) return false;
    this.held.push(range);
    return true;
  }
  remove(n: number): void {
    const [range] = this.held.splice(n % this.held.length, 1);
    if (range) this.areas.erase(hiWord(range.start), loWord(range.start));
  }
  alloc(asked: Asked): bigint | undefined {
    const place = placement(asked);
    const rc = findPlace(this.areas, this.rules.allowedWindows(), place, 1);
    if (!rc) return place.iova.value;
    expect(rc).toBe(ENOSPC);
    return undefined;
  }
}

/** Around the first page, the 32-bit border and the end, in units from a byte to 2 MiB. */
const place = fc
  .tuple(
    fc.constantFrom(0n, 0xffff_0000n, 0x1_0000_0000n, U64_MAX - 0xff_ffffn),
    fc.constantFrom(0, 3, 9, 11, 12, 13, 16, 21),
    fc.integer({ min: 0, max: 40 }),
  )
  .map(([base, lg2, n]) => {
    const at = base + (BigInt(n) << BigInt(lg2));
    return at > U64_MAX ? U64_MAX : at;
  });
const range = fc
  .tuple(place, place)
  .map(([a, b]) => (a < b ? { start: a, last: b } : { start: b, last: a }));
const small = fc
  .tuple(place, fc.constantFrom(1n, 8n, 0x800n, 0x1000n, 0x2000n, 0x3001n))
  .map(([start, n]) => ({ start, last: start + n - 1n > U64_MAX ? U64_MAX : start + n - 1n }));
const asked = fc.record({
  hint: fc.oneof(
    fc.integer({ min: 0, max: 21 }).chain((lg2) => fc.nat(99).map((n) => BigInt(n) << BigInt(lg2))),
    fc.constantFrom(0n, 0x7f00_0000_0800n, 0x7f00_0000_0c00n, 0x5_0000_0000n, 0x7f00_0020_0000n),
  ),
  length: fc.oneof(
    fc.integer({ min: 0, max: 22 }).map((lg2) => 1n << BigInt(lg2)),
    fc.constantFrom(3n, 0x801n, 0x1800n, 0x3000n, 0x1_0000_0000n, 1n << 62n),
  ),
});
const step = fc.oneof(
  { weight: 3, arbitrary: asked.map((what) => ({ what })) },
  { weight: 1, arbitrary: small.map((at) => ({ at })) },
  { weight: 1, arbitrary: fc.nat().map((gone) => ({ gone })) },
);

test('a place is the first that fits of every allowed span and every hole', () => {
  fc.assert(
    fc.property(
      fc.array(range, { maxLength: 3 }),
      fc.array(range, { maxLength: 3 }),
      fc.array(small, { maxLength: 60, size: 'max' }),
      fc.array(step, { maxLength: 120, size: 'max' }),
      (reserved, allowed, first, steps) => {
        const table = new Table();
        for (const r of reserved) table.rules.reserve(r, undefined);
        table.rules.setAllowed(allowed);
        for (const r of first) table.add(r);
        for (const s of steps) {
          if ('at' in s) table.add(s.at);
          else if ('gone' in s) table.remove(s.gone);
          else {
            const start = table.alloc(s.what);
            expect(start).toBe(model({ areas: table.held, reserved, allowed }, s.what));
            if (start !== undefined) table.add({ start, last: start + s.what.length - 1n });
          }
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('among many holes of the wrong alignment the aligned one is found, for every alignment', () => {
  for (let lg2 = 0; lg2 <= 21; lg2++) {
    const step = 1n << BigInt(lg2);
    const table = new Table();
    // Holes of one step, each beginning half a step (or, of bytes, nowhere) too late; one is whole.
    const half = step > 1n ? step / 2n : 1n;
    const base = 0x4000_0000n;
    table.add({ start: 0n, last: base + half - 1n });
    for (let n = 0n; n < 1000n; n++) {
      const start = base + half + n * 2n * step + step;
      table.add({ start, last: start + step - 1n });
    }
    const what = { hint: 0n, length: step > 1n ? step : 2n };
    const held = { areas: table.held, reserved: [], allowed: [] };
    expect(table.alloc(what)).toBe(model(held, what));
    table.remove(700);
    expect(table.alloc(what)).toBe(model(held, what));
  }
});

test('lengths that no place is looked for, and an alignment that cannot be had, are refused', () => {
  const table = new Table();
  const alloc = (hint: bigint, length: bigint, alignment: number) =>
    findPlace(table.areas, table.rules.allowedWindows(), placement({ hint, length }), alignment);
  expect(alloc(0n, U64_MAX / 2n, 1)).toBe(EOVERFLOW);
  expect(alloc(0n, U64_MAX / 2n - 1n, 1)).toBeUndefined();
  expect(alloc(0x800n, 0x1000n, 4096)).toBe(EINVAL);
  expect(alloc(0x1000n, 0x1000n, 4096)).toBeUndefined();
  table.add({ start: 0n, last: U64_MAX });
  expect(alloc(0x1000n, 0x1000n, 4096)).toBe(ENOSPC);
});
