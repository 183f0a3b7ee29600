/** The arena of frames: what runs out is ENOMEM. */
import { expect, test } from 'vitest';
import { Bug } from '../base/bug.ts';
import { ENOMEM } from '../base/errno.ts';
import { Ram } from './ram.ts';

test('frames run out with ENOMEM, until one comes back', () => {
  const ram = new Ram(4 * 4096);
  expect([ram.alloc(), ram.alloc(), ram.alloc()]).toEqual([1, 2, 3]);
  expect(ram.alloc()).toBe(ENOMEM);
  expect(ram.used).toBe(3);
  ram.words.fill(7, 2 * 1024, 3 * 1024);
  ram.free(2);
  expect(ram.alloc()).toBe(2);
  expect(ram.words[2 * 1024]).toBe(0);
});

test('a row of frames must be one that was never split, else ENOMEM', () => {
  const ram = new Ram(6 * 4096);
  expect(ram.allocRun(3)).toBe(1);
  expect(ram.allocRun(3)).toBe(ENOMEM);
  expect(ram.allocRun(2)).toBe(4);
  expect(ram.used).toBe(5);
});

test('frame 0 and frames never handed out cannot be freed', () => {
  const ram = new Ram(4 * 4096);
  expect(() => ram.free(0)).toThrow(Bug);
  expect(() => ram.free(1)).toThrow(Bug);
});
