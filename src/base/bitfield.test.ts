import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { layout } from './bitfield.ts';
import { mask } from './u64.ts';

const entry = layout('entry', 128, {
  present: [0, 0],
  address: [12, 63],
  odd: [70, 75],
  cross: [90, 100],
});

function wordsOf(value: bigint): Int32Array {
  return new Int32Array(4).map((_, n) => Number((value >> BigInt(32 * n)) & 0xffff_ffffn) | 0);
}
function valueOf(words: Int32Array): bigint {
  return words.reduce((sum, word, n) => sum | (BigInt(word >>> 0) << BigInt(32 * n)), 0n);
}

describe('a declared field', () => {
  test.for(['present', 'address', 'odd', 'cross'] as const)(
    '%s reads and writes its own bits only',
    (name) => {
      const { low, high } = entry[name];
      fc.assert(
        fc.property(
          fc.bigInt(0n, mask(127, 0)),
          fc.bigInt(0n, mask(high - low, 0)),
          (before, value) => {
            const words = wordsOf(before);
            const m = mask(high, low);
            expect(BigInt(entry[name].get(words, 0))).toBe((before & m) >> BigInt(low));
            entry[name].set(words, 0, Number(value));
            expect(valueOf(words)).toBe((before & ~m) | (value << BigInt(low)));
          },
        ),
      );
    },
  );
  test('a field that overlaps another or does not fit is a bug at load time', () => {
    expect(() => layout('bad', 64, { a: [0, 3], b: [3, 4] })).toThrow('bit 3 is declared twice');
    expect(() => layout('bad', 64, { a: [0, 64] })).toThrow('do not fit');
    expect(() => layout('bad', 128, { a: [0, 52] })).toThrow('do not fit');
  });
});
