/** Memory behind a BAR, both kinds, against an array; and what a program that has mapped it reaches. */
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { BAR_PAGE, type BarMemory } from '../../base/bar-memory.ts';
import { SparseMemory } from '../../base/sparse-memory.ts';
import * as libc from '../sys/libc.ts';
import { descriptionLives } from '../sys/open-file-description.ts';
import { LentMemory } from './lent-memory.ts';

const PAGES = 5;
const LENGTH = PAGES * BAR_PAGE;
const open: { readonly memory: LentMemory; readonly fd: number }[] = [];
afterEach(() => {
  for (const { memory, fd } of open.splice(0)) {
    libc.close(fd);
    memory.close();
  }
});
/** As if a program had it mapped: the descriptor reaches what it reaches. */
function mapped(memory = new LentMemory(LENGTH)): { memory: LentMemory; fd: number } {
  const made = { memory, fd: memory.open(1) };
  open.push(made);
  return made;
}
function everything(memory: BarMemory): Buffer {
  const all = Buffer.alloc(LENGTH, 0xee);
  memory.read(0, all);
  return all;
}
const bytes = (byte: number, length: number): Buffer => Buffer.alloc(length, byte);

const place = fc.record({
  offset: fc.nat(LENGTH - 1),
  length: fc.nat(2 * BAR_PAGE),
  byte: fc.nat(255),
});
const step = fc.oneof(
  place.map((at) => ({ kind: 'write' as const, ...at })),
  place.map((at) => ({ kind: 'stored by a program' as const, ...at })),
  fc.boolean().map((on) => ({ kind: 'lend' as const, on })),
  fc.constant({ kind: 'clear' as const }),
  fc.constant({ kind: 'fill' as const }),
);

test.for<[string, () => { memory: BarMemory; fd?: number }]>([
  ['memory of the library', () => ({ memory: new SparseMemory(LENGTH) })],
  ['memory that programs can map', () => mapped()],
  ['memory that no program has mapped', () => ({ memory: new LentMemory(LENGTH) })],
])('%s is an array of bytes, lent or not', ([, make]) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const { memory, fd } = make();
      const model = Buffer.alloc(LENGTH);
      for (const one of steps) {
        if (one.kind === 'lend') memory.lend(one.on);
        else if (one.kind === 'clear') {
          memory.clear();
          model.fill(0);
        } else if (one.kind === 'fill') memory.fill(memory.pages());
        else {
          const part = bytes(one.byte, Math.min(one.length, LENGTH - one.offset));
          if (one.kind === 'write') memory.write(one.offset, part);
          else if (fd === undefined || !(memory instanceof LentMemory) || !memory.isLent) continue;
          else libc.pwrite(fd, part, one.offset);
          model.set(part, one.offset);
        }
        expect(everything(memory).equals(model)).toBe(true); // toEqual looks at each byte for long
      }
      const used = [...memory.pages()];
      const rebuilt = Buffer.alloc(LENGTH);
      for (const [offset, page] of used) rebuilt.set(page, offset);
      expect(rebuilt.equals(model)).toBe(true);
      expect(used.every(([, page]) => page.some((byte) => byte !== 0))).toBe(true);
    }),
    { numRuns: 100 },
  );
});

describe('what a program has mapped', () => {
  const one = Buffer.alloc(1);
  test('is the memory while it is lent, and nothing while it is not', () => {
    const { memory, fd } = mapped();
    memory.write(BAR_PAGE, bytes(7, 1));
    expect([memory.isLent, libc.pread(fd, one, BAR_PAGE)]).toEqual([false, 0]);
    memory.lend(true);
    expect([memory.isLent, libc.pread(fd, one, BAR_PAGE), one[0]]).toEqual([true, 1, 7]);
    memory.lend(false);
    expect([memory.isLent, libc.pread(fd, one, BAR_PAGE)]).toEqual([false, 0]);
    expect(everything(memory)[BAR_PAGE]).toBe(7);
  });
  test('is lent at once where it was wanted before, and kept when the last mapping goes', () => {
    const memory = new LentMemory(LENGTH);
    memory.lend(true);
    expect([memory.isLent, memory.file]).toEqual([false, undefined]);
    const { fd } = mapped(memory);
    expect(memory.isLent).toBe(true);
    libc.pwrite(fd, bytes(9, 1), 3);
    const lives = (mark: number): boolean => descriptionLives(memory.file!.fd, mark);
    expect([lives(1), lives(2)]).toEqual([true, false]);
    libc.close(fd);
    expect(lives(1)).toBe(false);
    memory.close();
    expect([memory.isLent, memory.file, everything(memory)[3]]).toEqual([false, undefined, 9]);
  });
  test('is 0 where the program has made the file shorter, and as long as before', () => {
    const { memory, fd } = mapped();
    memory.lend(true);
    memory.write(0, bytes(7, LENGTH));
    libc.ftruncate(fd, BAR_PAGE + 1);
    const all = everything(memory);
    expect([all[BAR_PAGE], all[BAR_PAGE + 1], all[LENGTH - 1]]).toEqual([7, 0, 0]);
    expect(libc.pread(fd, one, LENGTH - 1)).toBe(1);
    libc.ftruncate(fd, 0);
    expect([...memory.pages()]).toEqual([]);
    memory.lend(false);
    expect(everything(memory)).toEqual(bytes(0, LENGTH));
  });
  test('of 64 GiB costs what was written to it', () => {
    const { memory } = mapped(new LentMemory(2 ** 36));
    memory.lend(true);
    memory.write(2 ** 36 - 1, bytes(1, 1));
    expect([...memory.pages().keys()]).toEqual([2 ** 36 - BAR_PAGE]);
    memory.clear();
    expect(memory.pages().size).toBe(0);
  });
});

test.for<[string, () => BarMemory]>([
  ['memory of the library', () => new SparseMemory(LENGTH)],
  ['memory that programs can map', () => mapped().memory],
])('%s takes no pages of another BAR, and stays as it is', ([, make]) => {
  const memory = make();
  memory.write(0, bytes(1, 1));
  const page = bytes(2, BAR_PAGE);
  for (const [offset, of] of [
    [LENGTH, page],
    [-BAR_PAGE, page],
    [8, page],
    [NaN, page],
    [0, bytes(2, 8)],
  ] as const) {
    expect(() =>
      memory.fill(
        new Map([
          [0, page],
          [offset, of],
        ]),
      ),
    ).toThrow('no page of');
  }
  expect(everything(memory)[0]).toBe(1);
  expect(() => memory.write(LENGTH - 1, bytes(1, 2))).toThrow('beyond the memory of a BAR');
});
