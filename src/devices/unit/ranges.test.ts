/** Against a set of numbers. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NumberRanges, type NumberRange } from './ranges.ts';

const numbersOf = (ranges: readonly NumberRange[]): number[] =>
  ranges.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, n) => start + n));

test('ranges behave like a set of numbers, and do not touch each other', () => {
  const range = fc
    .tuple(fc.nat(30), fc.integer({ min: 1, max: 10 }))
    .map(([start, length]) => ({ start, end: start + length }));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), range)), range, (changes, asked) => {
      const ranges = new NumberRanges();
      const model = new Set<number>();
      for (const [adds, change] of changes) {
        if (adds) ranges.add(change);
        else ranges.remove(change);
        for (const n of numbersOf([change])) {
          if (adds) model.add(n);
          else model.delete(n);
        }
      }
      const sorted = [...model].sort((a, b) => a - b);
      expect(numbersOf(ranges.state())).toEqual(sorted);
      const inside = sorted.filter((n) => n >= asked.start && n < asked.end);
      expect(numbersOf(ranges.within(asked))).toEqual(inside);
      expect([ranges.touches(asked), ranges.isEmpty]).toEqual([
        inside.length > 0,
        model.size === 0,
      ]);
      const gaps = ranges.state().map(({ start }, n, all) => start - (all[n - 1]?.end ?? -1));
      expect(gaps.every((gap) => gap > 0)).toBe(true);
    }),
  );
});
test('a state is a copy that brings everything back', () => {
  const ranges = new NumberRanges();
  ranges.add({ start: 1, end: 5 });
  const state = ranges.state();
  ranges.clear();
  expect(ranges.isEmpty).toBe(true);
  ranges.restore(state);
  expect(ranges.state()).toEqual([{ start: 1, end: 5 }]);
});
