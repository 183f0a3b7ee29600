/** Memory of in-process programs: words are what bytes are, and an area that is gone is not found again. */
import { expect, test } from 'vitest';
import { EFAULT } from '../../base/errno.ts';
import { must } from '../../testing/base/must.ts';
import { ProgramMemory, SharedObject } from './program-memory.ts';

const PATTERN = Uint8Array.from({ length: 4096 }, (_, n) => (n * 37) & 0xff);

/** Read and write the same place as bytes and as words. */
function compare(memory: ProgramMemory, addr: bigint): void {
  const bytes = new Uint8Array(40);
  const words = new Uint32Array(10);
  expect(memory.read(addr, bytes)).toBeUndefined();
  expect(memory.readWords(Number(addr), words)).toBeUndefined();
  expect(new Uint8Array(words.buffer)).toEqual(bytes);
  words.reverse();
  expect(memory.writeWords(Number(addr), words)).toBeUndefined();
  expect(memory.read(addr, bytes)).toBeUndefined();
  expect(bytes).toEqual(new Uint8Array(words.buffer));
}

test('words are read and written at any address, also across neighbouring mappings', () => {
  const memory = new ProgramMemory();
  const address = must(memory.map(4096, { address: 0x10_0000n }));
  must(memory.map(4096, { address: 0x10_1000n }));
  must(memory.mapShared(new SharedObject('memfd', 4096), 0, 4096, { address: 0x10_2000n }));
  for (const at of [0n, 1n, 2n, 3n, 4n, 4056n, 4060n, 8150n, 8192n, 8200n]) {
    expect(memory.write(address, PATTERN)).toBeUndefined();
    compare(memory, address + at);
  }
});

test('words beyond a mapping, in one without the right, or at no address are EFAULT', () => {
  const memory = new ProgramMemory();
  const address = Number(must(memory.map(4096, { readable: false, address: 0x10_0000n })));
  const readOnly = Number(must(memory.map(4096, { writable: false, address: 0x20_0000n })));
  const words = new Uint32Array(4);
  expect(memory.readWords(address, words)).toBe(EFAULT);
  expect(memory.writeWords(address, words)).toBeUndefined();
  expect(memory.writeWords(address + 4084, words)).toBe(EFAULT);
  expect(memory.readWords(readOnly, words)).toBeUndefined();
  expect(memory.writeWords(readOnly, words)).toBe(EFAULT);
  for (const at of [0, 2 ** 47, 2 ** 64]) expect(memory.readWords(at, words)).toBe(EFAULT);
});

test('a mapping is found among many, and not after it is gone', () => {
  const memory = new ProgramMemory();
  const places = Array.from({ length: 100 }, (_, n) => BigInt(0x100 + ((n * 37) % 100) * 2) << 12n);
  for (const address of places) must(memory.map(4096, { address }));
  const words = new Uint32Array(1);
  for (const address of places) {
    expect(memory.writeWords(Number(address), Uint32Array.of(Number(address)))).toBeUndefined();
  }
  for (const address of places) {
    expect(memory.readWords(Number(address), words)).toBeUndefined();
    expect(words[0]).toBe(Number(address));
    expect(memory.unmap(address, 4096)).toBeUndefined();
    expect(memory.readWords(Number(address), words)).toBe(EFAULT);
  }
  const last = must(memory.map(4096));
  expect(memory.readWords(Number(last), words)).toBeUndefined();
  memory.exit();
  expect(memory.readWords(Number(last), words)).toBe(EFAULT);
});
