/** Copies to and from mapped files, with pread(2) and pwrite(2) as the oracle. */
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { FileView } from './file-view.ts';
import * as libc from './libc.ts';

const PAGE = 4096;
const PAGES = 40;
const open: { end(): void }[] = [];

afterEach(() => {
  for (const one of open.splice(0)) one.end();
});
function memfd(length: number): number {
  const fd = libc.memfdCreate('softiommu-test');
  open.push({ end: () => libc.close(fd) });
  expect(libc.ftruncate(fd, length)).toBe(0);
  return fd;
}
function viewOf(fd: number, length: number, isWritable = true): FileView {
  const view = FileView.of(fd, length, isWritable)!;
  open.push(view);
  return view;
}
function contents(fd: number): Buffer {
  const all = Buffer.alloc(PAGES * PAGE);
  return all.subarray(0, libc.pread(fd, all, 0));
}

test('any list of pieces moves as one call for each would move them', () => {
  const [fd, twin] = [memfd(PAGES * PAGE), memfd(PAGES * PAGE)];
  const view = viewOf(fd, PAGES * PAGE);
  const piece = fc.record({
    place: fc.nat({ max: (PAGES + 1) * PAGE }),
    length: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 5 * PAGE })),
  });
  const step = fc.record({
    pieces: fc.array(piece, { minLength: 1, maxLength: 60 }),
    write: fc.boolean(),
    seed: fc.nat({ max: 255 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
      for (const { pieces, write, seed } of steps) {
        const places = pieces.map(({ place }) => place);
        const lengths = pieces.map(({ length }) => length);
        const total = lengths.reduce((sum, length) => sum + length, 0);
        const bytes = Buffer.from(Array.from({ length: total }, (_, n) => (n * 7 + seed) & 0xff));
        const slow = Buffer.from(bytes);
        let expected = 0;
        for (const { place, length } of pieces) {
          if (place + length > PAGES * PAGE) break;
          const part = slow.subarray(expected, expected + length);
          expected += (write ? libc.pwrite : libc.pread)(twin, part, place);
        }
        expect(view.copy({ bytes, places, lengths }, write)).toBe(expected);
        expect(bytes.equals(slow)).toBe(true);
      }
      expect(contents(fd).equals(contents(twin))).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test('more pieces than the list of the code has room for', () => {
  const fd = memfd(PAGES * PAGE);
  const places = Array.from({ length: 1500 }, (_, n) => n * 100);
  const lengths = places.map(() => 64);
  const bytes = Buffer.from(Array.from({ length: 1500 * 64 }, (_, n) => n & 0xff));
  expect(viewOf(fd, PAGES * PAGE).copy({ bytes, places, lengths }, true)).toBe(bytes.length);
  const there = contents(fd);
  for (const [n, place] of places.entries()) {
    expect(there.subarray(place, place + 64).equals(bytes.subarray(n * 64, n * 64 + 64))).toBe(
      true,
    );
  }
});

test('a file that was made shorter ends the copy before the piece that lies beyond, and nothing else', () => {
  const fd = memfd(4 * PAGE);
  const view = viewOf(fd, 4 * PAGE);
  expect(libc.ftruncate(fd, PAGE)).toBe(0);
  const bytes = Buffer.alloc(96, 7);
  const lengths = [32, 32, 32];
  expect(view.copy({ bytes, lengths, places: [0, 2 * PAGE, 64] }, true)).toBe(32);
  expect(view.copy({ bytes, lengths, places: [PAGE - 16, 0, 64] }, false)).toBe(0);
  // What comes after is not touched.
  expect(contents(fd).subarray(0, 128)).toEqual(
    Buffer.concat([Buffer.alloc(32, 7), Buffer.alloc(96)]),
  );
  expect(libc.ftruncate(fd, 4 * PAGE)).toBe(0);
  expect(view.copy({ bytes, lengths, places: [0, 2 * PAGE, 64] }, true)).toBe(96);
});

test('what is mapped to be read, or has ended, is not written', () => {
  const fd = memfd(PAGE);
  const list = { bytes: Buffer.alloc(8, 1), places: [0], lengths: [8] };
  const view = viewOf(fd, PAGE, false);
  expect(view.copy(list, true)).toBe(0);
  view.end();
  expect(view.copy(list, false)).toBe(0);
  expect(FileView.of(memfd(0), 0, true)).toBeUndefined();
});

const OWN_SIGBUS = {
  'sent by somebody': `process.kill(process.pid, 'SIGBUS'); setTimeout(() => undefined, 5000);`,
  'raised elsewhere': `
    const libc = await import('./libc.ts');
    const { syscall, viewOf } = await import('./ffi.ts');
    const { NR } = await import('./numbers.ts');
    const at = syscall(NR.mmap, 0, 4096, 1, 1, libc.memfdCreate('empty'), 0);
    console.log(viewOf(at, 4096)[0]);`,
};
test.for(Object.entries(OWN_SIGBUS))('a SIGBUS %s means what it always does', ([, code]) => {
  const prepare = `(await import('./guarded-copy.ts')).prepareGuardedCopy();`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', prepare + code];
  const { signal, stderr } = spawnSync(process.execPath, args, {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  expect([signal, stderr]).toEqual(['SIGBUS', '']);
});
