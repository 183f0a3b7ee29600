/** The arena of frames: what runs out is ENOMEM. */
import { expect, test } from 'vitest';
import { FaultSwitch } from '../testing/base/fault-switch.ts';
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

test('a row of frames can be made to fail with ENOMEM', () => {
  const faults = new FaultSwitch();
  const ram = new Ram(6 * 4096, faults);
  faults.when = (point) => point === 'frame';
  expect(ram.allocRun(2)).toBe(ENOMEM);
  faults.when = undefined;
  expect(ram.allocRun(2)).toBe(1);
});

test('frame 0 and frames never handed out cannot be freed', () => {
  const ram = new Ram(4 * 4096);
  expect(() => ram.free(0)).toThrow(Bug);
  expect(() => ram.free(1)).toThrow(Bug);
});

test('a table of several frames begins at a multiple of its length, and is given back whole', () => {
  const ram = new Ram(16 * 4096);
  expect([ram.alloc(), ram.allocTable(4), ram.allocTable(1)]).toEqual([1, 4, 3]);
  expect(ram.used).toBe(6);
  ram.words.fill(7, 4 * 1024, 8 * 1024);
  ram.free(4);
  expect(ram.used).toBe(2);
  expect(ram.allocTable(4)).toBe(4);
  expect(ram.words.subarray(4 * 1024, 8 * 1024).every((word) => word === 0)).toBe(true);
});

test('without room for a whole table there is none: ENOMEM', () => {
  const ram = new Ram(8 * 4096);
  expect([ram.allocTable(4), ram.allocTable(4)]).toEqual([4, ENOMEM]);
  const failing = new FaultSwitch();
  failing.when = () => true;
  expect(new Ram(8 * 4096, failing).allocTable(2)).toBe(ENOMEM);
});
