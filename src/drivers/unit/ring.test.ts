import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bug } from '../../base/bug.ts';
import { FRAME_WORDS, Ram } from '../../pt/ram.ts';
import { bareRegisters, read64, ringPointers, write64 } from './register-port.ts';
import { Ring, type RingPlace, type RingPointers } from './ring.ts';

/** 128 entries of 32 bytes in frame 1 of two. */
const PLACE: RingPlace = { pfn: 1, bytes: 4096, entryBytes: 32 };

function newRing(place: Partial<RingPlace> = {}, pointers: RingPointers = { head: 0, tail: 0 }) {
  const ram = new Ram(8192);
  return { ram, pointers, ring: new Ring(ram, { ...PLACE, ...place }, pointers) };
}

describe('a ring', () => {
  it('an entry lies at its offset, is zeroed before it is written, and moves the tail', () => {
    const { ring, ram, pointers } = newRing({}, { head: 64, tail: 64 });
    ram.words.fill(-1, FRAME_WORDS);
    ring.put((words, at) => {
      words[at + 1] = 7;
    });
    expect(pointers).toEqual({ head: 64, tail: 96 });
    const at = FRAME_WORDS + 16;
    expect([...ram.words.subarray(at, at + 8)]).toEqual([0, 7, 0, 0, 0, 0, 0, 0]);
    expect([ram.words[at - 1], ram.words[at + 8]]).toEqual([-1, -1]);
    expect(ring.take()).toBe(at);
    expect([ring.isEmpty, pointers.head]).toEqual([true, 96]);
  });
  it('is full with one entry free, and takes no more', () => {
    const { ring } = newRing();
    for (let n = 0; n < 127; n++) ring.put(() => undefined);
    expect([ring.isFull, ring.isEmpty]).toEqual([true, false]);
    expect(() => ring.put(() => undefined)).toThrow(Bug);
  });
  it('nothing is taken from an empty one', () => {
    expect(() => newRing().ring.take()).toThrow(Bug);
  });
  it.each([
    ['a head between entries', {}, { head: 16, tail: 0 }],
    ['a tail beyond the end', {}, { head: 0, tail: 4096 }],
    ['a tail below the start', {}, { head: 0, tail: -32 }],
    ['entries where no memory is', { pfn: 2 }, { head: 0, tail: 0 }],
    ['an end where no memory is', { bytes: 8192 }, { head: 0, tail: 0 }],
  ] as const)('%s: it is not sound', (_what, place, pointers) => {
    expect(newRing(place, { ...pointers }).ring.isSound).toBe(false);
    expect(newRing().ring.isSound).toBe(true);
  });
  it('gives what was put in, in that order, however often it goes round', () => {
    const steps = fc.array(fc.option(fc.nat(0xffff), { nil: undefined }), { maxLength: 100 });
    fc.assert(
      fc.property(steps, fc.constantFrom(16, 32, 1024), (all, entryBytes) => {
        const { ring, ram } = newRing({ entryBytes });
        const queue: number[] = [];
        for (const value of all) {
          if (value === undefined && !ring.isEmpty) {
            expect(ram.words[ring.take()]).toBe(queue.shift());
          } else if (value !== undefined && !ring.isFull) {
            ring.put((words, at) => (words[at] = value));
            queue.push(value);
          }
          expect([ring.isEmpty, ring.isSound]).toEqual([queue.length === 0, true]);
          expect(ring.isFull).toBe(queue.length === 4096 / entryBytes - 1);
        }
      }),
    );
  });
});

describe('registers', () => {
  it('a 64-bit register is two halves', () => {
    const port = bareRegisters(new Int32Array(4));
    write64(port, 8, (words) => words.set([-2, 3]));
    expect(read64(port, 8)).toBe(0x3_ffff_fffen);
    expect([port.read32(0), port.read32(16)]).toEqual([0, -1]);
  });
  it('both pointers of a ring may be registers', () => {
    const words = new Int32Array(4);
    const { ring } = newRing({}, ringPointers(bareRegisters(words), 4, 12));
    ring.put(() => undefined);
    ring.put(() => undefined);
    ring.take();
    expect([...words]).toEqual([0, 32, 0, 64]);
  });
});
