/** What is known of the addresses of a domain, against a plain model: one entry for each page. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { U64_MAX } from '../../base/u64.ts';
import { addressRows, widthsOf, type Missed } from './address-rows.ts';
import { AddressStory, sizeText } from './address-story.ts';
import { reservedRanges, type ReservedFact, type ReservedRange } from './reserved.ts';

const PAGE = 4096n;
const page = fc.nat(40);

test('at every moment what is told is what a page table would hold', () => {
  const step = fc.record({ map: fc.boolean(), first: page, pages: fc.integer({ min: 1, max: 8 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const story = new AddressStory();
      const table = new Map<number, bigint>();
      const moments = steps.map(({ map, first, pages }, seq) => {
        const range = Array.from({ length: pages }, (_, n) => first + n);
        const [iova, last] = [BigInt(first) * PAGE, BigInt(first + pages) * PAGE - 1n];
        const isFree = range.every((each) => !table.has(each));
        if (map && isFree) {
          story.map(seq, { iova, last, pa: BigInt(seq) << 32n, prot: 3 });
          for (const each of range) {
            table.set(each, (BigInt(seq) << 32n) + BigInt(each - first) * PAGE);
          }
        } else if (!map) {
          story.unmap(seq, iova, last);
          for (const each of range) table.delete(each);
        }
        return new Map(table);
      });
      for (const [seq, expected] of moments.entries()) {
        const told = story
          .at(seq)
          .flatMap(({ iova, last, pa }) =>
            Array.from({ length: Number((last - iova + 1n) / PAGE) }, (_, n): [number, bigint] => [
              Number(iova / PAGE) + n,
              pa! + BigInt(n) * PAGE,
            ]),
          );
        expect(new Map(told)).toEqual(expected);
      }
    }),
  );
});

describe('rows of addresses', () => {
  const story = new AddressStory();
  story.map(1, { iova: 0x1000n, last: 0x1fffn, pa: 0n, prot: 3 });
  story.map(2, { iova: 0x4000n, last: 0x7fffn, pa: 0n, prot: 1 });
  const shown = (...given: [misses: Missed[], reserved?: ReservedRange[]]): string[] =>
    addressRows(story.at(9), ...given).map(
      ({ kind, iova, last }) => `${kind} ${iova.toString(16)} ${last.toString(16)}`,
    );

  test('mappings and holes take up all addresses', () => {
    expect(shown([])).toEqual([
      'hole 0 fff',
      'mapping 1000 1fff',
      'hole 2000 3fff',
      'mapping 4000 7fff',
      `hole 8000 ${U64_MAX.toString(16)}`,
    ]);
  });
  test('a miss parts its hole, and stands behind the mapping that forbade it', () => {
    const misses = [
      { seq: 8, iova: 0x4010n },
      { seq: 7, iova: 0x3000n },
      { seq: 6, iova: 0x3000n },
    ];
    expect(shown(misses).slice(2, 8)).toEqual([
      'hole 2000 2fff',
      'fault 3000 3000',
      'fault 3000 3000',
      'hole 3000 3fff',
      'mapping 4000 7fff',
      'fault 4010 4010',
    ]);
  });
  test('what is reserved is told where nothing is mapped, and a miss parts it too', () => {
    const reserved = [
      { iova: 0x1800n, last: 0x2fffn, what: 'direct' },
      { iova: 0xfee0_0000n, last: 0xfeef_ffffn, what: 'msi' },
    ];
    expect(shown([{ seq: 5, iova: 0xfee0_1000n }], reserved)).toEqual([
      'hole 0 fff',
      'mapping 1000 1fff',
      'reserved 2000 2fff',
      'hole 3000 3fff',
      'mapping 4000 7fff',
      'hole 8000 fedfffff',
      'reserved fee00000 fee00fff',
      'fault fee01000 fee01000',
      'reserved fee01000 feefffff',
      'hole fef00000 ffffffffffffffff',
    ]);
  });
  test('widths add up to one, and a miss has none', () => {
    const rows = addressRows(story.at(9), [{ seq: 7, iova: 0x3000n }]);
    const widths = widthsOf(rows);
    expect(widths.reduce((a, b) => a + b)).toBeCloseTo(1);
    expect(widths[rows.findIndex(({ kind }) => kind === 'fault')]).toBe(0);
  });
});

test('all addresses stand in the rows once, whatever is mapped, missed and reserved', () => {
  const story = new AddressStory();
  story.map(1, { iova: 0x1000n, last: 0x1fffn, pa: 0n, prot: 3 });
  const mappings = story.at(1);
  const range = fc.tuple(fc.bigInt(0n, 0x9000n), fc.bigInt(0n, 0x4000n));
  fc.assert(
    fc.property(fc.array(range), fc.array(fc.bigInt(0n, 0x9000n)), (ranges, missed) => {
      const facts = ranges.map(([first, more]): ReservedFact => {
        const [from, to] = [first, first + more].map((at) => `0x${at.toString(16)}`);
        return { device: 'a', first: from!, last: to!, what: 'reserved' };
      });
      const reserved = reservedRanges(facts, () => true);
      const misses = missed.map((iova, seq) => ({ seq, iova }));
      const rows = addressRows(mappings, misses, reserved);
      let next = 0n;
      for (const { kind, iova, last } of rows) {
        if (kind === 'fault') continue;
        expect(iova).toBe(next);
        next = last + 1n;
        const isReserved = (at: bigint): boolean =>
          facts.some(({ first, last }) => BigInt(first) <= at && at <= BigInt(last));
        if (kind !== 'mapping')
          expect([iova, last].map(isReserved)).toEqual(Array(2).fill(kind === 'reserved'));
      }
      expect(next).toBe(U64_MAX + 1n);
      expect(rows.filter(({ kind }) => kind === 'fault')).toHaveLength(missed.length);
    }),
  );
});

test('a mapping that is unmapped in part goes on with its own physical address', () => {
  const story = new AddressStory();
  story.map(1, { iova: 0x1000n, last: 0x3fffn, pa: 0x8000n, prot: 3 });
  story.unmap(2, 0x2000n, 0x2fffn);
  expect(story.at(2)).toMatchObject([
    { iova: 0x1000n, last: 0x1fffn, pa: 0x8000n, from: 1 },
    { iova: 0x3000n, last: 0x3fffn, pa: 0xa000n, from: 1 },
  ]);
  expect(story.find(0x3000n)?.pa).toBe(0xa000n);
});

test.each([
  [1n, '1 byte'],
  [4096n, '4 KiB'],
  [0x1800n, '6 KiB'],
  [0x600n, '1.5 KiB'],
  [1n << 64n, '16 EiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(sizeText(bytes)).toBe(text);
});
