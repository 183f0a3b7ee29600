import { expect, test } from 'vitest';
import { FakePort } from '../../testing/devices/fake-port.ts';
import { REGISTER_WORK } from '../port.ts';
import { writeEach } from './each.ts';
import { LongTransfer } from './long-transfer.ts';

function port(): FakePort {
  const made = new FakePort({ memory: 0x1000 });
  for (let n = 0; n < 0x1000; n++) made.memory[n] = n * 7 + (n >> 8);
  return made;
}
/** The second is refused in its middle. */
const LISTS = [
  [
    { at: 0x100n, length: 40 },
    { at: 0x300n, length: 9 },
  ],
  [{ at: 0xff0n, length: 64 }],
  [],
  [{ at: 0x500n, length: 100 }],
];

test.for([1, 8, 24, 1000])('in parts of %i it reads what one transfer reads', (work) => {
  const [{ dma, memory }, whole] = [port(), LongTransfer.reading(port().dma, LISTS).finish()];
  const parts = LongTransfer.reading(dma, LISTS);
  for (let n = 0; !parts.isOver && n < 100; n++) parts.go(work);
  expect(parts.ends).toEqual([true, false, true, true]);
  expect(parts.read).toEqual(whole.read);
  expect(parts.read[0]).toEqual(
    Uint8Array.of(...memory.subarray(0x100, 0x128), ...memory.subarray(0x300, 0x309)),
  );
});
test.for([8, 24, 1000])('in parts of %i it writes what writeEach() writes', (work) => {
  const [slow, made] = [port(), port()];
  const list = LISTS.map((pieces, n) => ({
    pieces,
    bytes: new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0)).fill(n + 1),
  }));
  const ends = writeEach(slow.dma, list);
  const parts = LongTransfer.writing(made.dma, list);
  for (let n = 0; !parts.isOver && n < 100; n++) parts.go(work);
  expect(parts.ends).toEqual(ends);
  expect(made.memory).toEqual(slow.memory);
});
test('of registers it does as many accesses as the work is for', () => {
  const made = port();
  made.isDear = true;
  const parts = LongTransfer.reading(made.dma, [[{ at: 0n, length: 0x100 }]]);
  parts.go(3 * REGISTER_WORK);
  expect([made.dma.work, made.dma.moved]).toEqual([3 * REGISTER_WORK, 24]);
});
test('saved in its middle it goes on from there', () => {
  const made = port();
  const old = LongTransfer.reading(made.dma, LISTS);
  old.go(24);
  const fresh = LongTransfer.restored(made.dma, structuredClone(old.state()));
  expect(fresh.finish().read).toEqual(old.finish().read);
});
