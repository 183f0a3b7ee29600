/** A ring of pinned pages, on a host that has io_uring: what it moves, and what it is good for to others. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { mapMemory, setPointer, syscall, viewOf } from './ffi.ts';
import { bufferUpdate, IoUring, REGISTER_BUFFERS_UPDATE, RingPipe } from './io-uring.ts';
import { HOST_ERRNO, NR } from './numbers.ts';

const PAGE = 4096;
const LENGTH = 512 * PAGE;
const SLOT = 3;

/** A ring with one buffer of ours, or undefined where the host has none. */
function setup() {
  const pipe = RingPipe.open();
  if (typeof pipe === 'number') throw new Error(`no pipe (errno ${-pipe})`);
  onTestFinished(() => pipe.close());
  const ring = IoUring.open(pipe);
  if (typeof ring === 'number') return undefined;
  onTestFinished(() => ring.close());
  const at = mapMemory(LENGTH, 'for a test');
  const iov = Buffer.alloc(16);
  iov.writeBigUInt64LE(BigInt(at), 0);
  iov.writeBigUInt64LE(BigInt(LENGTH), 8);
  const update = bufferUpdate(SLOT, 0n);
  setPointer(update, 8, iov);
  const register = (what: number, ...args: (number | Buffer)[]): number =>
    syscall(NR.io_uring_register, ring.fd, what, ...args);
  expect(register(REGISTER_BUFFERS_UPDATE, update, update.length)).toBe(1);
  return { pipe, ring, register, at: BigInt(at), memory: viewOf(at, LENGTH) };
}
const probed = RingPipe.open();
const isThere = typeof probed !== 'number' && typeof IoUring.open(probed) !== 'number';
const it = isThere ? test : test.skip;

describe('a ring of pinned pages', () => {
  it('bytes of a buffer are read and written, whatever their place and length', () => {
    const { ring, at, memory } = setup()!;
    memory.fill(7);
    const bytes = Buffer.alloc(LENGTH - 5);
    expect(ring.read(SLOT, at + 5n, bytes)).toBe(true);
    expect(bytes.equals(Buffer.alloc(bytes.length, 7))).toBe(true);
    expect(ring.write(SLOT, at + 5n, bytes.fill(9))).toBe(true);
    expect(memory.subarray(5).equals(bytes)).toBe(true);
    expect(memory[4]).toBe(7);
  });
  it('what is no place of the buffer is not reached, and leaves nothing for the next', () => {
    const { ring, at, pipe, memory } = setup()!;
    memory.fill(7);
    const bytes = Buffer.alloc(8);
    for (let n = 0; n < 100; n++) {
      expect(ring.read(SLOT, at + BigInt(LENGTH), bytes)).toBe(false);
      expect(ring.write(SLOT, at + BigInt(LENGTH - 4), bytes)).toBe(false);
      expect(ring.write(SLOT + 1, at, bytes)).toBe(false);
    }
    expect(pipe.isEmpty).toBe(true);
    expect(ring.read(SLOT, at, bytes)).toBe(true);
    expect(bytes).toEqual(Buffer.alloc(8, 7));
  });
  it('a buffer that was let go of is not reached', () => {
    const { ring, at } = setup()!;
    ring.unregister(SLOT);
    expect(ring.read(SLOT, at, Buffer.alloc(1))).toBe(false);
  });
  it.for([0, 0x800_0000, 0x1000_0000])('nobody maps its queues by its descriptor (%i)', (queue) => {
    const { ring } = setup()!;
    expect(syscall(NR.mmap, 0, PAGE, 3, 1, ring.fd, queue)).toBeLessThan(0);
  });
  it('whoever has its descriptor registers buffers with it and nothing else', () => {
    const { register } = setup()!;
    const others = [...Array(32).keys()].filter((what) => what !== REGISTER_BUFFERS_UPDATE);
    const answers = others.map((what) => register(what, 0, 0));
    const refused = [-HOST_ERRNO.EACCES, -HOST_ERRNO.EINVAL];
    expect(answers.filter((rc) => !refused.includes(rc))).toEqual([]);
    expect(answers.slice(0, 9)).toEqual(Array(9).fill(-HOST_ERRNO.EACCES));
  });
  it('whoever enters it has nothing to run', () => {
    const { ring, at } = setup()!;
    expect(ring.read(SLOT, at, Buffer.alloc(1))).toBe(true);
    expect(syscall(NR.io_uring_enter, ring.fd, 1, 0, 0, 0, 0)).toBe(0);
  });
});
