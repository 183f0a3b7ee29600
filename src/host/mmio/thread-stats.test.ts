/** /proc/…/stat of threads: descriptors are few, and none is left. */
import { fstatSync } from 'node:fs';
import { expect, test } from 'vitest';
import { SIGSEGV } from '../sys/numbers.ts';
import { ThreadStats } from './thread-stats.ts';

const { pid } = process;
const SEGV_BIT = 1 << (SIGSEGV - 1);

test('whoever asks about a thread has the same descriptor, which is closed when it is forgotten', () => {
  const stats = new ThreadStats();
  const fd = stats.of(pid, pid);
  expect(stats.of(pid, pid)).toBe(fd);
  expect(stats.meanings(pid, pid).ignored & SEGV_BIT).toBe(0);
  expect(fstatSync(fd).isFile()).toBe(true);
  stats.forget(pid);
  expect(() => fstatSync(fd)).toThrow('EBADF');
});

test('of one that is gone signals mean nothing, and it is not asked for again', () => {
  const stats = new ThreadStats();
  const gone = 2 ** 22 + 1; // more than a kernel has
  expect(stats.of(gone, gone)).toBeLessThan(0);
  expect(stats.meanings(gone, gone)).toEqual({ caught: 0, ignored: 0 });
  stats.forget(gone);
});
