/** Which shared pages a device is not given to write: those of file systems with a disk (the rule of Linux 6.5). */
import { statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { writesBack } from './file-systems.ts';

/** An object of the file system a directory is on, as /proc/pid/maps names it. */
function objectIn(directory: string): string {
  const { dev, ino } = statSync(directory);
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
  return [major, minor, ino].map((n) => n.toString(16).padStart(2, '0')).join(':');
}

test.for([
  ['/dev/shm', objectIn('/dev/shm'), false],
  ['/proc', objectIn('/proc'), true],
  ['a mount of no number that is nowhere', '00:ffff:12', false],
  ['a block device, mounted here or not', 'fe:ffff:12', true],
] as const)('%s: %s writes back: %s', ([, object, answer]) => {
  expect(writesBack(process.pid, object)).toBe(answer);
});
