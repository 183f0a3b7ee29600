import { expect, test } from 'vitest';
import { EIO, ENOSPC } from '../../base/errno.ts';
import type { BlockBacking } from '../host-services.ts';
import { DISK_CHUNK, MemoryDisk } from './memory-disk.ts';

const SIZE = 4 * DISK_CHUNK;

function readOf(disk: BlockBacking, at: number, length: number): Uint8Array {
  const into = new Uint8Array(length).fill(0xee);
  disk.read(BigInt(at), into, (rc) => expect(rc).toBeUndefined());
  return into;
}
function write(disk: BlockBacking, at: number, from: Uint8Array): void {
  disk.write(BigInt(at), from, (rc) => expect(rc).toBeUndefined());
}

test('it behaves like as many bytes', () => {
  const disk = new MemoryDisk(BigInt(SIZE));
  const bytes = new Uint8Array(SIZE);
  const pattern = Uint8Array.from({ length: DISK_CHUNK + 20 }, (_, n) => n % 251);
  for (const at of [5, DISK_CHUNK - 10, 2 * DISK_CHUNK]) {
    write(disk, at, pattern);
    bytes.set(pattern, at);
  }
  for (const [at, length] of [
    [100, 50],
    [DISK_CHUNK - 1, DISK_CHUNK + 3],
  ] as const) {
    disk.zero(BigInt(at), BigInt(length), (rc) => expect(rc).toBeUndefined());
    bytes.fill(0, at, at + length);
  }
  expect(Buffer.compare(readOf(disk, 0, SIZE), bytes)).toBe(0);
});
test('it has room for what was written, however large it is', () => {
  const disk = new MemoryDisk(1n << 50n);
  write(disk, 2 ** 49, Uint8Array.of(1));
  expect([...disk.state().keys()]).toEqual([2 ** 49 / DISK_CHUNK]);
  disk.zero(0n, 1n << 50n, (rc) => expect(rc).toBeUndefined());
  expect(disk.state().size).toBe(0);
});
test('its state is a copy', () => {
  const disk = new MemoryDisk(BigInt(SIZE));
  write(disk, 0, Uint8Array.of(1));
  const state = disk.state();
  write(disk, 0, Uint8Array.of(2));
  const other = new MemoryDisk(BigInt(SIZE));
  other.restore(state);
  write(other, 1, Uint8Array.of(3));
  expect([...readOf(other, 0, 2), state.get(0)![0], state.get(0)![1]]).toEqual([1, 3, 1, 0]);
});
test.for([
  ['read', -1n, 1],
  ['read', BigInt(SIZE), 1],
  ['write', BigInt(SIZE - 1), 2],
  ['zero', BigInt(SIZE - 1), 2],
] as const)('%s of what is not on it fails, and changes nothing', ([what, at, length]) => {
  const disk = new MemoryDisk(BigInt(SIZE));
  const bytes = new Uint8Array(length).fill(7);
  const answers: unknown[] = [];
  if (what === 'zero') disk.zero(at, BigInt(length), (rc) => answers.push(rc));
  else disk[what](at, bytes, (rc) => answers.push(rc));
  expect(answers).toEqual([EIO]);
  expect([disk.state().size, bytes[0]]).toEqual([0, 7]);
});

test('no more memory is taken than it may have', () => {
  const disk = new MemoryDisk(1n << 40n, 2);
  write(disk, 0, Uint8Array.of(1));
  write(disk, DISK_CHUNK, Uint8Array.of(1));
  disk.write(1n << 30n, Uint8Array.of(1), (rc) => expect(rc).toBe(ENOSPC));
  write(disk, 5, Uint8Array.of(1));
});
