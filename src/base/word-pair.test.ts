// Two words against a bigint.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { U64_MAX } from './u64.ts';
import { lessPair, pageOf, registerOf, sumWraps, U64Register } from './word-pair.ts';

const near = fc
  .tuple(
    fc.constantFrom(0n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 1n << 32n, 1n << 63n, U64_MAX),
    fc.bigInt({ min: -2n, max: 2n }),
  )
  .map(([base, by]) => BigInt.asUintN(64, base + by));
const u64 = fc.oneof(near, fc.bigInt({ min: 0n, max: U64_MAX }));

test('a sum is that modulo 2^64, and says when it wraps', () => {
  fc.assert(
    fc.property(u64, u64, (a, b) => {
      const sum = registerOf(a);
      expect(sum.plus(registerOf(b))).toBe(a + b > U64_MAX);
      expect(sum.value).toBe(BigInt.asUintN(64, a + b));
      expect(sumWraps(registerOf(a), registerOf(b))).toBe(a + b > U64_MAX);
    }),
  );
});

test('one more and one less wrap at the ends', () => {
  fc.assert(
    fc.property(u64, (a) => {
      const next = registerOf(a);
      expect(next.increment()).toBe(a === U64_MAX);
      expect(next.value).toBe(BigInt.asUintN(64, a + 1n));
      const before = registerOf(a);
      expect(before.decrement()).toBe(a === 0n);
      expect(before.value).toBe(BigInt.asUintN(64, a - 1n));
    }),
  );
});

test('the order of pairs is the order of their numbers', () => {
  fc.assert(
    fc.property(u64, u64, (a, b) => {
      const [x, y] = [registerOf(a), registerOf(b)];
      expect(lessPair(x.hi, x.lo, y.hi, y.lo)).toBe(a < b);
      expect(pageOf(x)).toBe(Number(a >> 12n));
    }),
  );
});

test('a field of a struct comes back as it was', () => {
  fc.assert(
    fc.property(u64, (a) => {
      const words = new Uint32Array(4);
      registerOf(a).store(words, 1);
      expect(new U64Register().load(words, 1).value).toBe(a);
      expect([words[0], words[3]]).toEqual([0, 0]);
    }),
  );
});
