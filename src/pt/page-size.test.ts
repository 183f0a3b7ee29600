import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { floorLg2, pageSizes, pickPageCount, pickPageSize, trailingZeros } from './page-size.ts';

const K = 1024n;
const M = K * K;
const G = M * K;
const NORMAL = (4n * K) | (2n * M) | G;

/** Every (size, count) the loop over a range would ask a driver for. */
function calls(iova: bigint, pa: bigint, size: bigint, bitmap: bigint): [bigint, number][] {
  const sizes = pageSizes(bitmap, 12);
  const out: [bigint, number][] = [];
  for (let done = 0, length = Number(size >> 12n); done < length;) {
    const at = Number(iova >> 12n) + done;
    const to = Number(pa >> 12n) + done;
    const lg2 = pickPageSize(sizes, at, to, length - done);
    const count = pickPageCount(sizes, lg2, at, to, length - done);
    out.push([1n << BigInt(lg2 + 12), count]);
    done += count * 2 ** lg2;
  }
  return out;
}

describe('the vectors of core.md 3.4', () => {
  // prettier-ignore
  test.each<[bigint, bigint, bigint, bigint, [bigint, number][]]>([
    [0x1000n, 0x1000n, 0x3000n, NORMAL, [[4n * K, 3]]],
    [0x200000n, 0x400000n, 0x200000n, NORMAL, [[2n * M, 1]]],
    [0x1ff000n, 0x3ff000n, 0x402000n, NORMAL, [[4n * K, 1], [2n * M, 2], [4n * K, 1]]],
    [0x1ff000n, 0x3fe000n, 0x402000n, NORMAL, [[4n * K, 1026]]],
    [0x1ff000n, 0x3ff000n, 0x200000n, NORMAL, [[4n * K, 512]]],
    [0x200000n, 0x400000n, 0x3ff000n, NORMAL, [[2n * M, 1], [4n * K, 511]]],
    [0n, 0x1000n, 0x400000n, NORMAL, [[4n * K, 1024]]],
    [0n, 0n, G, NORMAL, [[G, 1]]],
    [G - 2n * M, 2n * G - 2n * M, G + 4n * M, NORMAL, [[2n * M, 1], [G, 1], [2n * M, 1]]],
    [0xf000n, 0x1f000n, 0x32000n, 4n * K | (64n * K) | (2n * M), [[4n * K, 1], [64n * K, 3], [4n * K, 1]]],
  ])('iova %x, pa %x, size %x take the page sizes of the vector', (iova, pa, size, bitmap, expected) => {
    expect(calls(iova, pa, size, bitmap)).toEqual(expected);
  });
});

test('no size is picked for a length or an alignment below the smallest page', () => {
  const sizes = pageSizes(4n * K, 11);
  expect(pickPageSize(sizes, 0, 0, 1)).toBe(-1);
  expect(pickPageSize(sizes, 1, 0, 8)).toBe(-1);
  expect(pickPageSize(sizes, 2, 1, 8)).toBe(-1);
  expect(pickPageSize(sizes, 2, 4, 0)).toBe(-1);
  expect(pickPageSize(sizes, 2, 4, 2)).toBe(1);
});

test('a page size below the granule is a bug of the driver', () => {
  expect(() => pageSizes(0x800n, 12)).toThrow('smaller than the granule');
});

test('counting bits agrees with bigint arithmetic up to 2^53', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      fc.nat(52),
      (value, shift) => {
        const shifted = value - (value % 2 ** shift) || value;
        const binary = shifted.toString(2);
        expect(floorLg2(shifted)).toBe(binary.length - 1);
        expect(trailingZeros(shifted)).toBe(binary.length - 1 - binary.lastIndexOf('1'));
      },
    ),
  );
  expect(trailingZeros(0)).toBe(63);
});

test('the sequence of leaves is that of a greedy choice, whatever the sizes', () => {
  const exponents = fc.uniqueArray(fc.integer({ min: 12, max: 36 }), { maxLength: 8 });
  const granules = fc.integer({ min: 0, max: 2 ** 24 });
  fc.assert(
    fc.property(exponents, granules, granules, fc.nat(5000), (more, iovaG, paG, length) => {
      const all = [...new Set([12, ...more])].sort((a, b) => b - a);
      const bitmap = all.reduce((map, n) => map | (1n << BigInt(n)), 0n);
      const [iova, pa, size] = [iovaG, paG, length].map((n) => BigInt(n) << 12n) as [
        bigint,
        bigint,
        bigint,
      ];
      const greedy: bigint[] = [];
      for (let done = 0n; done < size;) {
        const page = all
          .map((n) => 1n << BigInt(n))
          .find((p) => (iova + done) % p === 0n && (pa + done) % p === 0n && p <= size - done)!;
        greedy.push(page);
        done += page;
      }
      const ours = calls(iova, pa, size, bitmap).flatMap(([page, n]) =>
        Array<bigint>(n).fill(page),
      );
      expect(ours).toEqual(greedy);
    }),
  );
});
