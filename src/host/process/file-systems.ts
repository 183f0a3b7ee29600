/**
 * File systems that write pages back to a disk or a server, and so must hear of each store before it is made: ext4, xfs,
 * btrfs, FUSE. Those that are memory need not: shmem, hugetlbfs, ramfs.
 *
 * Told by text in /proc alone: the device of a mapping is that of a mount. A block device has a disk behind it wherever it is
 * mounted: under an overlay, in another mount namespace, in none any more. Without a number of its own (major 0), a device that
 * is mounted nowhere is the kernel's: memfds, System V memory, shared anonymous memory, huge pages.
 */
import * as libc from '../sys/libc.ts';
import { lookAt } from '../sys/look.ts';
import { fileSystemOf } from '../sys/mounts.ts';
import { MFD_HUGETLB } from '../sys/numbers.ts';

/** What mountinfo calls those without a disk. */
const MEMORY = new Set(['tmpfs', 'devtmpfs', 'ramfs', 'rootfs', 'hugetlbfs']);

/** Is an object ('major:minor:inode' in hex) on one, as a process sees its mounts, or as we do? */
export function writesBack(pid: number, object: string): boolean {
  const device = object.slice(0, object.lastIndexOf(':'));
  if (Number.parseInt(device, 16) !== 0) return true;
  const type = fileSystemOf(device, pid);
  return type !== undefined && !MEMORY.has(type);
}

/**
 * May a program serve it: FUSE? One whose mount is detached, or in another namespace, has no type that could be known; so what is no
 * disk and not the kernel's own memory is taken for such.
 */
export function mayBeServed(pid: number, device: string): boolean {
  const type = fileSystemOf(device, pid);
  if (type !== undefined) return type.startsWith('fuse');
  return Number.parseInt(device, 16) === 0 && !kernelsOwn().has(device);
}
/** MFD_HUGE_2MB, MFD_HUGE_1GB: the binary logarithm of the size. */
const HUGE_SIZES = [21, 30].map((log) => MFD_HUGETLB | (log << 26));
let own: ReadonlySet<string> | undefined;
/** The devices of memfds and anonymous shared memory, of huge pages too. */
function kernelsOwn(): ReadonlySet<string> {
  own ??= new Set(
    [0, MFD_HUGETLB, ...HUGE_SIZES].map(deviceOfMemfd).filter((one) => one !== undefined),
  );
  return own;
}
/** Undefined: the kernel has no such pages. */
export function deviceOfMemfd(flags: number): string | undefined {
  const fd = libc.memfdCreate('softiommu-device', libc.MFD_CLOEXEC | flags);
  if (fd < 0) return undefined;
  const look = lookAt(`/proc/self/fd/${fd}`);
  libc.close(fd);
  return look?.device;
}
