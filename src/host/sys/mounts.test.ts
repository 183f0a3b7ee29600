/** The mounts a thread sees: read once, and again when they have changed. */
import { readdirSync, readlinkSync } from 'node:fs';
import { expect, test } from 'vitest';
import { closeEnded, fileSystemOf, mountsOf, mountsRenamed, parseMounts } from './mounts.ts';
import { textOf } from './procfs.ts';

test('what a thread has mounted is read once', () => {
  const table = mountsOf(process.pid);
  expect(table.mounts).toEqual(parseMounts(textOf('/proc/self/mountinfo')));
  expect(mountsOf(process.pid)).toBe(table);
});
test('after a rename it is read again', () => {
  const table = mountsOf(process.pid);
  mountsRenamed();
  expect(mountsOf(process.pid)).not.toBe(table);
  expect(mountsOf(process.pid).mounts).toEqual(table.mounts);
});
test('what is kept for a thread that has not ended stays', () => {
  const table = mountsOf(process.pid);
  closeEnded();
  expect(mountsOf(process.pid)).toBe(table);
});
test('a thread that is gone has nothing mounted, and nothing is kept of it', () => {
  const opened = (): number =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).endsWith('/mountinfo');
      } catch {
        return false;
      }
    }).length;
  const before = opened();
  expect(mountsOf(0x7fff_fff0).mounts).toEqual([]);
  expect(opened()).toBe(before);
});
test('the file system of a device is that of its first mount', () => {
  const { device, type } = mountsOf(process.pid).mounts[0]!;
  const hex = device
    .split(':')
    .map((n) => Number(n).toString(16).padStart(2, '0'))
    .join(':');
  expect(fileSystemOf(hex, process.pid)).toBe(type);
  expect(fileSystemOf('00:fffff', process.pid)).toBeUndefined();
});
