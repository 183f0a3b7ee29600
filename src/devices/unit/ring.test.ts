import { expect, test } from 'vitest';
import { FakePort } from '../../testing/devices/fake-port.ts';
import { fetchBytes, fetchEntries, ringPieces, storeEntry, type DescriptorRing } from './ring.ts';

const RING: DescriptorRing = { base: 0x1000n, entries: 8, entrySize: 16 };

test.for<[first: number, count: number, pieces: [bigint, number][]]>([
  [0, 8, [[0x1000n, 128]]],
  [6, 1, [[0x1060n, 16]]],
  [
    6,
    5,
    [
      [0x1060n, 32],
      [0x1000n, 48],
    ],
  ],
])('%i and %i more are these pieces', ([first, count, pieces]) => {
  expect(ringPieces(RING, first, count)).toEqual(pieces.map(([at, length]) => ({ at, length })));
});

test('a fetch is one transfer, and gives the entries in their order', () => {
  const port = new FakePort();
  for (let n = 0; n < 8; n++) {
    expect(storeEntry(port.dma, RING, n, new Uint8Array(16).fill(n))).toBeUndefined();
  }
  port.touched.length = 0;
  expect(fetchEntries(port.dma, RING, 6, 4).map(([first]) => first)).toEqual([6, 7, 0, 1]);
  expect(port.touched).toEqual(['read 1060', 'read 1000']);
});

test('the bytes of a fetch are its entries, one after the other', () => {
  const port = new FakePort({ memory: 0x1000 });
  for (let n = 0; n < 0x1000; n++) port.memory[n] = n * 7;
  for (const [base, first, count] of [
    [0x100n, 6, 4],
    [0xfc8n, 0, 8],
    [0xf8cn, 7, 1],
    [0x2000n, 0, 3],
    [0x100n, 0, 0],
  ] as const) {
    const ring = { ...RING, base };
    const entries = fetchEntries(port.dma, ring, first, count);
    const bytes = fetchBytes(port.dma, ring, first, count);
    expect([...bytes]).toEqual(entries.flatMap((entry) => [...entry]));
  }
});

test('entries before one that is refused come back', () => {
  const port = new FakePort({ memory: 0x1000 });
  const ring = { ...RING, base: 0xff0n };
  expect(fetchEntries(port.dma, ring, 7, 2)).toEqual([]);
  expect(fetchEntries(port.dma, ring, 0, 0)).toEqual([]);
  port.touched.length = 0;
  expect(fetchEntries(port.dma, { ...ring, entries: 1 }, 0, 1)).toHaveLength(1);
  expect(fetchEntries(port.dma, { ...ring, base: 0xfe8n }, 0, 2)).toHaveLength(1);
});
