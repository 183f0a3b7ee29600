import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { EINVAL } from './errno.ts';
import { Bug } from './bug.ts';
import { decodePlain, encodePlain } from './plain-values.ts';

const VALUES: readonly unknown[] = [
  undefined,
  null,
  true,
  -0.5,
  NaN,
  0n,
  -(1n << 70n),
  'ü€',
  Uint8Array.of(1, 2),
  Float64Array.of(1.5),
  BigInt64Array.of(-1n),
  new Map<unknown, unknown>([[3, new Set(['a'])]]),
  { a: [1, { b: undefined }], 'odd key': [] },
];

describe('plain values as bytes', () => {
  test.for(VALUES.map((value) => [value]))('%o comes back', ([value]) => {
    expect(decodePlain(encodePlain(value))).toStrictEqual({ value });
  });
  test('whatever can be cloned comes back', () => {
    const leaf = fc.oneof(fc.double(), fc.bigInt(), fc.string(), fc.boolean(), fc.uint8Array());
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        leaf,
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.dictionary(
          fc.string().filter((key) => key !== '__proto__'),
          tie('tree'),
          { noNullPrototype: true, maxKeys: 4 },
        ),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        expect(decodePlain(encodePlain(value))).toStrictEqual({ value });
      }),
    );
  });
  test('of any length come back', () => {
    const value = Array.from({ length: 5000 }, (_, n) => [n, BigInt(n), `${n}`, Uint8Array.of(n)]);
    expect(decodePlain(encodePlain(value))).toStrictEqual({ value });
  });
  test('an array is a copy that is not tied to the bytes', () => {
    const bytes = encodePlain(Uint8Array.of(7));
    const got = decodePlain(bytes) as { value: Uint8Array };
    bytes.fill(0);
    expect(got.value).toEqual(Uint8Array.of(7));
  });
});

describe('bytes that are no plain value', () => {
  test.for<[string, number[]]>([
    ['nothing', []],
    ['no tag', [200]],
    ['half a number', [4, 0, 0]],
    ['a length beyond the end', [6, 9, 0, 0, 0, 65]],
    ['more values than bytes', [8, 255, 255, 255, 255]],
    ['half a dword', [7, 5, 3, 0, 0, 0, 1, 2, 3]],
    ['an unknown kind of array', [7, 99, 0, 0, 0, 0]],
    ['letters for digits', [5, 1, 0, 0, 0, 0x7a]],
    ['a key that is no name', [9, 1, 0, 0, 0, 1, 1]],
    ['two values', [1, 1]],
    ['lists in lists without end', Array.from({ length: 100 }, () => [8, 1, 0, 0, 0]).flat()],
  ])('%s: EINVAL', ([, bytes]) => {
    expect(decodePlain(Uint8Array.from(bytes))).toBe(EINVAL);
  });
  test('no bytes are an exception', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void decodePlain(bytes)));
  });
  test('what cannot be cloned is a Bug', () => {
    const loop: unknown[] = [];
    loop.push(loop);
    for (const value of [
      () => 1,
      Symbol('s'),
      new Date(),
      loop,
      new DataView(new ArrayBuffer(1)),
    ]) {
      expect(() => encodePlain(value)).toThrow(Bug);
    }
  });
});
