/** Against an array of bytes: what an overlay has, and what the disk below it keeps. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EIO, ENOSPC } from '../../base/errno.ts';
import { blockOf, type BlockBacking } from '../host-services.ts';
import { OverlayDisk } from './overlay-disk.ts';

const SECTORS = 40;
const bytesBelow = () => Uint8Array.from({ length: SECTORS * 512 }, (_, n) => (n >> 9) + 1);

function readOf(disk: BlockBacking): Uint8Array {
  const into = new Uint8Array(Number(disk.length));
  disk.read(0n, into, (rc) => expect(rc).toBeUndefined());
  return into;
}

test('it behaves like a copy, and the disk below stays as it is', () => {
  const work = fc.record({
    first: fc.nat(SECTORS - 1),
    count: fc.integer({ min: 1, max: 12 }),
    fill: fc.option(fc.integer({ min: 50, max: 255 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(work, { maxLength: 30 }), (works) => {
      const below = bytesBelow();
      const disk = new OverlayDisk(blockOf(below));
      const model = below.slice();
      for (const { first, count, fill } of works) {
        const length = 512 * Math.min(count, SECTORS - first);
        const at = 512 * first;
        const done = (rc: unknown): void => expect(rc).toBeUndefined();
        if (fill === undefined) disk.zero(BigInt(at), BigInt(length), done);
        else disk.write(BigInt(at), new Uint8Array(length).fill(fill), done);
        model.fill(fill ?? 0, at, at + length);
      }
      expect(Buffer.compare(readOf(disk), model)).toBe(0);
      expect(Buffer.compare(below, bytesBelow())).toBe(0);
    }),
  );
});
test('work beyond the end, or not of whole sectors, is an error', () => {
  const disk = new OverlayDisk(blockOf(bytesBelow()));
  disk.write(BigInt(512 * SECTORS), new Uint8Array(512), (rc) => expect(rc).toBe(EIO));
  disk.write(5n, new Uint8Array(512), (rc) => expect(rc).toBe(EIO));
  disk.read(0n, new Uint8Array(5), (rc) => expect(rc).toBe(EIO));
  disk.zero(0n, 7n, (rc) => expect(rc).toBe(EIO));
  expect.assertions(4);
});
test('no more memory is taken than it may have, and what is there can be replaced', () => {
  const disk = new OverlayDisk(blockOf(bytesBelow()), 1);
  disk.write(0n, new Uint8Array(4096), (rc) => expect(rc).toBeUndefined());
  disk.write(4096n, new Uint8Array(512), (rc) => expect(rc).toBe(ENOSPC));
  disk.write(512n, new Uint8Array(512), (rc) => expect(rc).toBeUndefined());
  expect.assertions(3);
});
