/** The arguments of each system call that names a path, brought to one form. */
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  HOST_ERRNO,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_TRUNC,
  O_WRONLY,
} from '../sys/numbers.ts';
import type { Notification } from '../seccomp/notification.ts';
import type { RemoteMemory } from '../process/remote-memory.ts';

/** A call that names a path, whatever its spelling. What it does not have is 0. */
export interface PathCall {
  readonly kind:
    'open' | 'stat' | 'access' | 'readlink' | 'chdir' | 'statfs' | 'getxattr' | 'listxattr';
  readonly dirFd: number;
  readonly pathAt: bigint;
  /** Follow a link that is the last component. */
  readonly follow: boolean;
  readonly flags: number;
  /** Permission bits for a new file, or access(2)'s question. */
  readonly mode: number;
  readonly outAt: bigint;
  readonly outLength: number;
  /** statx instead of stat. */
  readonly extended: boolean;
  readonly emptyPath: boolean;
  /** access(2) by the ids of the file system instead of the real ones. */
  readonly effective: boolean;
}

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EACCESS = 0x200;
/** sizeof(struct open_how): flags, mode and resolve, 64 bits each. */
const OPEN_HOW_SIZE = 24;

/** Minus an errno: the arguments themselves are wrong. */
export type DecodePath = (call: Notification, mem: RemoteMemory) => PathCall | number;

const NONE = {
  dirFd: AT_FDCWD,
  follow: true,
  flags: 0,
  mode: 0,
  outAt: 0n,
  outLength: 0,
  extended: false,
  emptyPath: false,
  effective: false,
} as const;

function open(dirFd: number, pathAt: bigint, flags: number, mode: number): PathCall {
  const exclusive = isCreating(flags) && (flags & O_EXCL) !== 0;
  const follow = (flags & O_NOFOLLOW) === 0 && !exclusive;
  return { ...NONE, kind: 'open', dirFd, pathAt, follow, flags, mode };
}
/** O_PATH makes nothing, whatever else is said. */
export function isCreating(flags: number): boolean {
  return (flags & O_CREAT) !== 0 && (flags & O_PATH) === 0;
}
function openHow(call: Notification, mem: RemoteMemory): PathCall | number {
  const how = Buffer.alloc(OPEN_HOW_SIZE);
  if (call.arg(3) < OPEN_HOW_SIZE) return -HOST_ERRNO.EINVAL;
  if (mem.read(call.arg(2), how)) return -HOST_ERRNO.EFAULT;
  const mode = Number(how.readBigUInt64LE(8) & 0o7777n);
  return open(call.int(0), call.arg(1), Number(how.readBigUInt64LE(0) & 0x7fffffffn), mode);
}
function statAt(
  call: Notification,
  flags: number,
  to: { extended: boolean; outAt: bigint },
): PathCall {
  const follow = (flags & AT_SYMLINK_NOFOLLOW) === 0;
  const emptyPath = (flags & AT_EMPTY_PATH) !== 0;
  const pathAt = call.arg(1);
  return { ...NONE, kind: 'stat', dirFd: call.int(0), pathAt, follow, emptyPath, ...to };
}
function stat(call: Notification, follow: boolean): PathCall {
  return { ...NONE, kind: 'stat', pathAt: call.arg(0), follow, outAt: call.arg(1) };
}
function lengthOf(value: bigint): number {
  return Math.min(Number(BigInt.asUintN(32, value)), 4096);
}
function xattr(kind: 'getxattr' | 'listxattr', follow: boolean): DecodePath {
  return (call) => ({ ...NONE, kind, pathAt: call.arg(0), follow });
}

/** By the name of the call. */
export const PATH_CALLS = {
  open: (call) => open(AT_FDCWD, call.arg(0), call.uint(1), call.uint(2)),
  creat: (call) => open(AT_FDCWD, call.arg(0), O_CREAT | O_WRONLY | O_TRUNC, call.uint(1)),
  openat: (call) => open(call.int(0), call.arg(1), call.uint(2), call.uint(3)),
  openat2: openHow,
  stat: (call) => stat(call, true),
  lstat: (call) => stat(call, false),
  newfstatat: (call) => statAt(call, call.uint(3), { extended: false, outAt: call.arg(2) }),
  statx: (call) => statAt(call, call.uint(2), { extended: true, outAt: call.arg(4) }),
  access: (call) => ({ ...NONE, kind: 'access', pathAt: call.arg(0), mode: call.uint(1) }),
  faccessat: (call) => ({
    ...NONE,
    kind: 'access',
    dirFd: call.int(0),
    pathAt: call.arg(1),
    mode: call.uint(2),
  }),
  faccessat2: (call) => ({
    ...NONE,
    kind: 'access',
    dirFd: call.int(0),
    pathAt: call.arg(1),
    mode: call.uint(2),
    follow: (call.uint(3) & AT_SYMLINK_NOFOLLOW) === 0,
    effective: (call.uint(3) & AT_EACCESS) !== 0,
  }),
  readlink: (call) => ({
    ...NONE,
    kind: 'readlink',
    pathAt: call.arg(0),
    follow: false,
    outAt: call.arg(1),
    outLength: lengthOf(call.arg(2)),
  }),
  readlinkat: (call) => ({
    ...NONE,
    kind: 'readlink',
    dirFd: call.int(0),
    pathAt: call.arg(1),
    follow: false,
    outAt: call.arg(2),
    outLength: lengthOf(call.arg(3)),
  }),
  chdir: (call) => ({ ...NONE, kind: 'chdir', pathAt: call.arg(0) }),
  statfs: (call) => ({ ...NONE, kind: 'statfs', pathAt: call.arg(0), outAt: call.arg(1) }),
  getxattr: xattr('getxattr', true),
  lgetxattr: xattr('getxattr', false),
  listxattr: xattr('listxattr', true),
  llistxattr: xattr('listxattr', false),
} satisfies Readonly<Record<string, DecodePath>>;
