import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lastAtOrBelow } from './binary-search.ts';

test('the last element at or below a value, as looking at each of them finds it', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20)), fc.integer({ min: -1, max: 21 }), (list, value) => {
      const sorted = list.sort((a, b) => a - b);
      const slow = sorted.filter((each) => each <= value).length - 1;
      expect(lastAtOrBelow(sorted, value, (each) => each)).toBe(slow);
    }),
  );
});
