/** Whether a directory is the one the tree is laid over, told from the text of mountinfo. */
import { expect, test } from 'vitest';
import { parseMounts } from '../sys/mounts.ts';
import { identityOf } from './view.ts';

const MOUNTS = parseMounts(`24 27 0:6 / /dev rw - devtmpfs devtmpfs rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
28 27 0:22 / /sys rw - sysfs sysfs rw
30 27 0:6 /sub /a\\040place rw - devtmpfs devtmpfs rw
31 27 0:6 / /root/dev rw - devtmpfs devtmpfs rw
32 27 0:40 / /covered rw - tmpfs one rw
33 27 0:41 / /covered rw - tmpfs two rw
`);

test.for([
  ['/dev', '0:6 /'],
  ['/root/dev', '0:6 /'],
  ['/dev/vfio', '0:6 /vfio'],
  ['/dev/shm', '0:23 /'],
  ['/a place/x', '0:6 /sub/x'],
  ['/etc', '254:0 /etc'],
  ['/devices', '254:0 /devices'],
  ['/sys', 'sysfs /'],
  ['/covered', '0:41 /'],
] as const)('the directory %s is %s', ([path, identity]) => {
  expect(identityOf(MOUNTS, path)).toBe(identity);
});
test('where nothing is mounted that a thread sees, a directory is none that we know', () => {
  expect(
    identityOf(parseMounts('31 27 0:6 / /dev rw - devtmpfs devtmpfs rw'), '/sys'),
  ).toBeUndefined();
});
