/**
 * File systems that write pages back to a disk or a server, and so must hear of each store before it is made: ext4, xfs,
 * btrfs, FUSE. Those that are memory need not: shmem, hugetlbfs, ramfs.
 *
 * Told by text in /proc alone: the device of a mapping is that of a mount. A block device has a disk behind it wherever it is
 * mounted: under an overlay, in another mount namespace, in none any more. Without a number of its own (major 0), a device that
 * is mounted nowhere is the kernel's: memfds, System V memory, shared anonymous memory, huge pages.
 */
import { fileSystemOf } from '../sys/mounts.ts';

/** What mountinfo calls those without a disk. */
const MEMORY = new Set(['tmpfs', 'devtmpfs', 'ramfs', 'rootfs', 'hugetlbfs']);

/** Is an object ('major:minor:inode' in hex) on one, as a process sees its mounts, or as we do? */
export function writesBack(pid: number, object: string): boolean {
  const device = object.slice(0, object.lastIndexOf(':'));
  if (Number.parseInt(device, 16) !== 0) return true;
  const type = fileSystemOf(device, pid);
  return type !== undefined && !MEMORY.has(type);
}
