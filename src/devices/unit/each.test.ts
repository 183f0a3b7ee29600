import { expect, test } from 'vitest';
import { FakePort } from '../../testing/devices/fake-port.ts';
import { cutPieces, piecesLength, readEach, writeEach } from './each.ts';

const BEYOND = 0x1_0000n;

test('what is not refused is read in one transfer', () => {
  const port = new FakePort();
  port.memory.set([1, 2, 3, 4, 5]);
  const lists = [
    [{ at: 0n, length: 1 }],
    [],
    [
      { at: 3n, length: 2 },
      { at: 1n, length: 1 },
    ],
  ];
  expect(readEach(port.dma, lists).map((bytes) => [...bytes!])).toEqual([[1], [], [4, 5, 2]]);
  expect(port.touched).toEqual(['read 0', 'read 3', 'read 1']);
  expect(readEach(port.dma, [])).toEqual([]);
});
test('what is refused is lost alone', () => {
  const port = new FakePort();
  port.memory.set([1, 2, 3]);
  const lists = [
    [{ at: 0n, length: 1 }],
    [
      { at: 1n, length: 1 },
      { at: BEYOND, length: 1 },
    ],
  ];
  const read = readEach(port.dma, [...lists, [{ at: BEYOND, length: 4 }], [{ at: 2n, length: 1 }]]);
  expect(read.map((bytes) => bytes && [...bytes])).toEqual([[1], undefined, undefined, [3]]);
});
test('and so it is with writing', () => {
  const port = new FakePort();
  const one = (at: bigint, value: number) => ({
    pieces: [{ at, length: 1 }],
    bytes: Uint8Array.of(value),
  });
  const list = [one(4n, 1), one(BEYOND, 2), one(5n, 3), one(BEYOND, 4)];
  expect(writeEach(port.dma, list)).toEqual([true, false, true, false]);
  expect([...port.memory.subarray(4, 7)]).toEqual([1, 3, 0]);
});
test.for([
  [0, 6, '1+2 100+4'],
  [1, 2, '2+1 100+1'],
  [2, 9, '100+4'],
  [6, 1, ''],
  [0, 0, ''],
] as const)('from byte %i on, %i bytes are %s', ([start, length, expected]) => {
  const pieces = [
    { at: 1n, length: 2 },
    { at: 100n, length: 4 },
  ];
  const cut = cutPieces(pieces, start, length);
  expect(cut.map((piece) => `${piece.at}+${piece.length}`).join(' ')).toBe(expected);
  expect(piecesLength(pieces)).toBe(6);
});
