/** The arguments of each system call that names a path, brought to one form. */
import type { Bounds } from '../../machine/files/vfs.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  HOST_ERRNO,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_TRUNC,
  O_WRONLY,
} from '../sys/numbers.ts';
import type { Notification } from '../seccomp/notification.ts';
import type { SyscallArgument } from '../sys/ffi.ts';
import type { RemoteMemory } from '../process/remote-memory.ts';

/** What is done with what a path names. */
export type PathKind =
  | 'open'
  | 'stat'
  | 'access'
  | 'readlink'
  | 'chdir'
  | 'statfs'
  | 'getxattr'
  | 'listxattr'
  | ChangeKind;
/** What changes a node, its attributes or its directory, or uses it as something it is not. */
export type ChangeKind =
  | 'make'
  | 'remove'
  | 'remove-directory'
  | 'move'
  | 'link'
  | 'chmod'
  | 'chown'
  | 'touch'
  | 'truncate'
  | 'setxattr'
  | 'removexattr'
  | 'execute'
  | 'watch'
  | 'chroot'
  | 'account'
  | 'swap'
  | 'quota'
  | 'flags'
  | 'handle'
  | 'bind'
  | 'connect'
  | 'mount'
  | 'unmount';

/** A call that names a path, whatever its spelling. What it does not have is 0. */
export interface PathCall {
  readonly kind: PathKind;
  readonly dirFd: number;
  readonly pathAt: bigint;
  /** Which arguments those two are. */
  readonly at: { readonly path: number; readonly dir?: number };
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
  /** How far the path may lead (openat2). */
  readonly bounds?: Bounds;
  /** Links that are no texts are not wanted (RESOLVE_NO_MAGICLINKS). */
  readonly plain?: boolean;
  /** Only what is known already is wanted (RESOLVE_CACHED). */
  readonly cached?: boolean;
  /** utimensat(2): the times are to be what the time is now. */
  readonly isNow?: boolean;
  /** chown(2): -1 leaves one as it is. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** The path a call names before this one: what is moved or linked. */
  readonly from?: PathCall;
  /** The path is in a struct sockaddr_un of so many bytes. */
  readonly socketLength?: number;
  readonly watch?: Watch;
  /** With another path it is made in these words: the path comes first. */
  readonly instead?: { readonly nr: number; readonly args: readonly SyscallArgument[] };
}
/** What hears of events: the argument with its flags, and the one that keeps it from a last link. */
export interface Watch {
  readonly flags: number;
  readonly dontFollow: number;
  /** Of all in its mount or file system. */
  readonly isWhole: boolean;
  /** Whoever makes it happen waits for an answer. */
  readonly decides: boolean;
}

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EACCESS = 0x200;
const AT_NO_AUTOMOUNT = 0x800;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
/** sizeof(struct open_how): flags, mode and resolve, 64 bits each. */
const OPEN_HOW_SIZE = 24;
const PAGE = 4096;
const RESOLVE = { noXdev: 1, noMagicLinks: 2, noSymlinks: 4, beneath: 8, inRoot: 16, cached: 32 };
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
/** What openat2(2) takes beside O_PATH, with it. */
const O_PATH_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
/** All that openat2 knows; the others are refused. */
const VALID_OPEN_FLAGS = 0o37777703n;

/** Minus an errno: the arguments themselves are wrong. */
export type DecodePath = (call: Notification, mem: RemoteMemory) => PathCall | number;

/** Of a call without a path. */
export const NO_PATH = {
  dirFd: AT_FDCWD,
  follow: true,
  flags: 0,
  mode: 0,
  outAt: 0n,
  outLength: 0,
  extended: false,
  emptyPath: false,
  effective: false,
  pathAt: 0n,
  at: { path: 0 },
} as const;

/** A path by itself, relative to the current directory. */
function plain(call: Notification, kind: PathKind, path: number): PathCall {
  return { ...NO_PATH, kind, pathAt: call.arg(path), at: { path } };
}
/** A path relative to a descriptor, which comes before it. */
export function beside(call: Notification, kind: PathKind, dir: number): PathCall {
  const path = dir + 1;
  return { ...NO_PATH, kind, dirFd: call.int(dir), pathAt: call.arg(path), at: { path, dir } };
}
function byName(
  kind: PathKind,
  more: (call: Notification) => Partial<PathCall> | number = () => ({}),
): DecodePath {
  return (call) => {
    const rest = more(call);
    return typeof rest === 'number' ? rest : { ...plain(call, kind, 0), ...rest };
  };
}
function at(
  kind: PathKind,
  more: (call: Notification) => Partial<PathCall> | number = () => ({}),
): DecodePath {
  return (call) => {
    const rest = more(call);
    return typeof rest === 'number' ? rest : { ...beside(call, kind, 0), ...rest };
  };
}
/** Flags of the newer calls; any other is EINVAL. */
export function flagged(flags: number, known: number): Partial<PathCall> | number {
  if ((flags & ~known) !== 0) return -HOST_ERRNO.EINVAL;
  return {
    follow: (flags & AT_SYMLINK_NOFOLLOW) === 0,
    emptyPath: (flags & AT_EMPTY_PATH) !== 0,
  };
}
export const LINKS_AND_EMPTY = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
const AT_STATX_SYNC_TYPE = 0x6000;
const STAT_FLAGS = LINKS_AND_EMPTY | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
const STATX_RESERVED = 0x8000_0000;

function opening(path: PathCall, flags: number, mode: number): PathCall {
  const exclusive = isCreating(flags) && (flags & O_EXCL) !== 0;
  const follow = (flags & O_NOFOLLOW) === 0 && !exclusive;
  return { ...path, follow, flags, mode };
}
/** Is it kept from some ways (openat2)? */
export function isBound({ bounds }: Pick<PathCall, 'bounds'>): boolean {
  return Object.values(bounds ?? {}).some(Boolean);
}
/** May it not go through links that are no texts, such as those of processes in /proc: with any bounds, or by its own? */
export function isPlain(what: PathCall): boolean {
  return what.plain === true || isBound(what);
}
/** O_PATH makes nothing, whatever else is said. */
export function isCreating(flags: number): boolean {
  return (flags & O_CREAT) !== 0 && (flags & O_PATH) === 0;
}
/** O_DIRECTORY makes nothing either: since Linux 6.4 nobody may ask for both, whatever is there. */
export function isMakingDirectory(flags: number): boolean {
  return isCreating(flags) && (flags & O_DIRECTORY) !== 0;
}
/** O_TMPFILE: a file without a name. */
export function isTemporary(flags: number): boolean {
  return (flags & O_TMPFILE) === O_TMPFILE && (flags & O_PATH) === 0;
}
/** The struct open_how of openat2(2), checked before any path is looked at. EINVAL, E2BIG, EFAULT, EAGAIN. */
function openHow(call: Notification, mem: RemoteMemory): PathCall | number {
  const size = call.arg(3);
  if (size < OPEN_HOW_SIZE) return -HOST_ERRNO.EINVAL;
  if (size > PAGE) return -HOST_ERRNO.E2BIG;
  const how = Buffer.alloc(Number(size));
  if (mem.read(call.arg(2), how)) return -HOST_ERRNO.EFAULT;
  if (how.subarray(OPEN_HOW_SIZE).some((byte) => byte !== 0)) return -HOST_ERRNO.E2BIG;
  const [flags, mode, resolve] = [0, 8, 16].map((offset) => how.readBigUInt64LE(offset));
  const rc = openHowProblem(flags!, mode!, resolve!);
  if (rc !== 0) return rc;
  const has = (flag: number): boolean => (Number(resolve) & flag) !== 0;
  const bounds: Bounds = {
    beneath: has(RESOLVE.beneath),
    inRoot: has(RESOLVE.inRoot),
    noLinks: has(RESOLVE.noSymlinks),
    noCrossing: has(RESOLVE.noXdev),
  };
  const path = opening(beside(call, 'open', 0), Number(flags), Number(mode));
  return { ...path, bounds, cached: has(RESOLVE.cached), plain: has(RESOLVE.noMagicLinks) };
}
/** @kernel build_open_flags */
function openHowProblem(flags: bigint, mode: bigint, resolve: bigint): number {
  const scoped = RESOLVE.beneath | RESOLVE.inRoot;
  if ((flags & ~VALID_OPEN_FLAGS) !== 0n || resolve > 63n) return -HOST_ERRNO.EINVAL;
  if ((Number(resolve) & scoped) === scoped) return -HOST_ERRNO.EINVAL;
  const makes = (Number(flags) & O_CREAT) !== 0 || (Number(flags) & O_TMPFILE) === O_TMPFILE;
  if (makes ? (mode & ~0o7777n) !== 0n : mode !== 0n) return -HOST_ERRNO.EINVAL;
  if (isHalfAsked(Number(flags))) return -HOST_ERRNO.EINVAL;
  const writes = (Number(flags) & (O_TRUNC | O_CREAT)) !== 0 || makes;
  return (Number(resolve) & RESOLVE.cached) !== 0 && writes ? -HOST_ERRNO.EAGAIN : 0;
}
/** O_TMPFILE without its O_DIRECTORY, or O_PATH with what an open(2) would leave out; openat2(2) takes neither. */
function isHalfAsked(flags: number): boolean {
  const temporary = flags & O_TMPFILE & ~O_DIRECTORY;
  if (temporary !== 0 && (flags & O_TMPFILE) !== O_TMPFILE) return true;
  return (flags & O_PATH) !== 0 && (flags & ~O_PATH_FLAGS) !== 0;
}

function statAt(call: Notification): Partial<PathCall> | number {
  const how = flagged(call.uint(3), STAT_FLAGS);
  return typeof how === 'number' ? how : { ...how, outAt: call.arg(2) };
}
/** Both wishes about being up to date at once, or what is kept for later, are EINVAL. @kernel do_statx */
function statx(call: Notification): Partial<PathCall> | number {
  const flags = call.uint(2);
  const isBoth = (flags & AT_STATX_SYNC_TYPE) === AT_STATX_SYNC_TYPE;
  if (isBoth || call.uint(3) >= STATX_RESERVED) return -HOST_ERRNO.EINVAL;
  const how = flagged(flags, STAT_FLAGS);
  return typeof how === 'number' ? how : { ...how, extended: true, outAt: call.arg(4) };
}
/** @kernel do_faccessat */
function accessOf(mode: number, flags: number): Partial<PathCall> | number {
  if ((mode & ~7) !== 0) return -HOST_ERRNO.EINVAL;
  const how = flagged(flags & ~AT_EACCESS, LINKS_AND_EMPTY);
  if (typeof how === 'number') return how;
  return { ...how, mode, effective: (flags & AT_EACCESS) !== 0 };
}
/** What there is, and the name it is to have. */
function twice(kind: 'move' | 'link', first: PathCall, second: PathCall): PathCall {
  return { ...second, kind, follow: false, from: { ...first, kind, follow: first.follow } };
}
function moved(call: Notification): PathCall {
  const from = { ...beside(call, 'move', 0), follow: false };
  return twice('move', from, beside(call, 'move', 2));
}
function owned(call: Notification, first: number): Partial<PathCall> {
  return { owner: { uid: call.int(first), gid: call.int(first + 1) } };
}
/** What is mounted is a path as well, where it is a directory that is to be seen elsewhere or moved. */
function mounted(call: Notification): PathCall {
  const MS_BIND_OR_MOVE = 0x3000;
  const to = plain(call, 'mount', 1);
  return (call.uint(3) & MS_BIND_OR_MOVE) === 0 ? to : { ...to, from: plain(call, 'mount', 0) };
}
/** A tree of mounts that has no name yet is given one, or a mount is moved. */
function movedMount(call: Notification): PathCall {
  const [FROM_DESCRIPTOR, TO_DESCRIPTOR] = [4, 0x40];
  const emptyPath = (call.uint(4) & TO_DESCRIPTOR) !== 0;
  const to = { ...beside(call, 'mount', 2), emptyPath };
  return (call.uint(4) & FROM_DESCRIPTOR) !== 0 ? to : { ...to, from: beside(call, 'mount', 0) };
}
const UNFOLLOWED = { follow: false } as const;

/** struct sockaddr_un of bind or connect; 0: of another family, or an abstract name. */
function socket(kind: 'bind' | 'connect'): DecodePath {
  const AF_UNIX = 1;
  const LONGEST = 110;
  return (call, mem) => {
    const length = call.int(2);
    const address = Buffer.alloc(Math.min(Math.max(length, 0), LONGEST));
    if (address.length < 3 || mem.readSome(call.arg(1), address) < address.length) return 0;
    if (address.readUInt16LE(0) !== AF_UNIX || address[2] === 0) return 0;
    const pathAt = call.arg(1) + 2n;
    return { ...NO_PATH, kind, pathAt, at: { path: 1 }, socketLength: address.length };
  };
}

/** By the name of the call. A decoder that gives 0 says that no path is named: the call goes on as it stands. */
export const PATH_CALLS = {
  open: (call) => opening(plain(call, 'open', 0), call.uint(1), call.uint(2)),
  creat: (call) => opening(plain(call, 'open', 0), O_CREAT | O_WRONLY | O_TRUNC, call.uint(1)),
  openat: (call) => opening(beside(call, 'open', 0), call.uint(2), call.uint(3)),
  openat2: openHow,
  stat: byName('stat', (call) => ({ outAt: call.arg(1) })),
  lstat: byName('stat', (call) => ({ follow: false, outAt: call.arg(1) })),
  newfstatat: at('stat', statAt),
  statx: at('stat', statx),
  access: byName('access', (call) => accessOf(call.uint(1), 0)),
  faccessat: at('access', (call) => accessOf(call.uint(2), 0)),
  faccessat2: at('access', (call) => accessOf(call.uint(2), call.uint(3))),
  readlink: byName('readlink', (call) => ({
    follow: false,
    outAt: call.arg(1),
    outLength: call.int(2),
  })),
  readlinkat: at('readlink', (call) => ({
    follow: false,
    emptyPath: true,
    outAt: call.arg(2),
    outLength: call.int(3),
  })),
  chdir: byName('chdir'),
  statfs: byName('statfs', (call) => ({ outAt: call.arg(1) })),
  getxattr: byName('getxattr'),
  lgetxattr: byName('getxattr', () => UNFOLLOWED),
  listxattr: byName('listxattr'),
  llistxattr: byName('listxattr', () => UNFOLLOWED),

  mkdir: byName('make', () => UNFOLLOWED),
  mkdirat: at('make', () => UNFOLLOWED),
  mknod: byName('make', () => UNFOLLOWED),
  mknodat: at('make', () => UNFOLLOWED),
  symlink: (call) => ({ ...plain(call, 'make', 1), follow: false }),
  symlinkat: (call) => ({ ...beside(call, 'make', 1), follow: false }),
  link: (call) =>
    twice('link', { ...plain(call, 'link', 0), follow: false }, plain(call, 'link', 1)),
  linkat: (call) => {
    const follow = (call.uint(4) & AT_SYMLINK_FOLLOW) !== 0;
    const emptyPath = (call.uint(4) & AT_EMPTY_PATH) !== 0;
    const from = { ...beside(call, 'link', 0), follow, emptyPath };
    return twice('link', from, beside(call, 'link', 2));
  },
  rename: (call) =>
    twice('move', { ...plain(call, 'move', 0), follow: false }, plain(call, 'move', 1)),
  renameat: moved,
  renameat2: moved,
  unlink: byName('remove', () => UNFOLLOWED),
  unlinkat: (call) => {
    const kind = (call.uint(2) & AT_REMOVEDIR) !== 0 ? 'remove-directory' : 'remove';
    return { ...beside(call, kind, 0), follow: false };
  },
  rmdir: byName('remove-directory', () => UNFOLLOWED),
  chmod: byName('chmod', (call) => ({ mode: call.uint(1) })),
  fchmodat: at('chmod', (call) => ({ mode: call.uint(2) })),
  fchmodat2: at('chmod', (call) => {
    const how = flagged(call.uint(3), LINKS_AND_EMPTY);
    return typeof how === 'number' ? how : { ...how, mode: call.uint(2) };
  }),
  chown: byName('chown', (call) => owned(call, 1)),
  lchown: byName('chown', (call) => ({ follow: false, ...owned(call, 1) })),
  fchownat: at('chown', (call) => {
    const how = flagged(call.uint(4), LINKS_AND_EMPTY);
    return typeof how === 'number' ? how : { ...how, ...owned(call, 2) };
  }),
  utime: byName('touch', (call) => ({ isNow: call.arg(1) === 0n })),
  utimes: byName('touch', (call) => ({ isNow: call.arg(1) === 0n })),
  futimesat: at('touch', (call) => ({ isNow: call.arg(2) === 0n })),
  utimensat: at('touch', (call) => {
    const how = flagged(call.uint(3), LINKS_AND_EMPTY);
    return typeof how === 'number' ? how : { ...how, isNow: call.arg(2) === 0n };
  }),
  truncate: byName('truncate'),
  setxattr: byName('setxattr'),
  lsetxattr: byName('setxattr', () => UNFOLLOWED),
  removexattr: byName('removexattr'),
  lremovexattr: byName('removexattr', () => UNFOLLOWED),
  execve: byName('execute'),
  execveat: at('execute', (call) => flagged(call.uint(4), LINKS_AND_EMPTY)),
  acct: (call) => (call.arg(0) === 0n ? 0 : plain(call, 'account', 0)),
  swapon: byName('swap'),
  swapoff: byName('swap'),
  quotactl: (call) => (call.arg(1) === 0n ? 0 : plain(call, 'quota', 1)),
  uselib: byName('execute'),
  file_getattr: at('flags', (call) => flagged(call.uint(4), LINKS_AND_EMPTY)),
  file_setattr: at('flags', (call) => flagged(call.uint(4), LINKS_AND_EMPTY)),
  chroot: byName('chroot'),
  name_to_handle_at: at('handle', (call) => ({
    follow: (call.uint(4) & AT_SYMLINK_FOLLOW) !== 0,
    emptyPath: (call.uint(4) & AT_EMPTY_PATH) !== 0,
  })),
  mount: mounted,
  umount2: byName('unmount', (call) => {
    const UMOUNT_NOFOLLOW = 8;
    return { follow: (call.uint(1) & UMOUNT_NOFOLLOW) === 0 };
  }),
  pivot_root: (call) => ({ ...plain(call, 'mount', 1), from: plain(call, 'mount', 0) }),
  open_tree: at('mount', (call) => ({ emptyPath: (call.uint(2) & AT_EMPTY_PATH) !== 0 })),
  open_tree_attr: at('mount', (call) => ({ emptyPath: (call.uint(2) & AT_EMPTY_PATH) !== 0 })),
  fsconfig: (call) => {
    const [SET_PATH, SET_PATH_EMPTY] = [3, 4];
    const emptyPath = call.uint(1) === SET_PATH_EMPTY;
    if (!emptyPath && call.uint(1) !== SET_PATH) return 0;
    const [pathAt, dirFd] = [call.arg(3), call.int(4)];
    return { ...NO_PATH, kind: 'mount', pathAt, dirFd, at: { path: 3, dir: 4 }, emptyPath };
  },
  move_mount: movedMount,
  fspick: at('mount', (call) => {
    const FSPICK_EMPTY_PATH = 8;
    return { emptyPath: (call.uint(2) & FSPICK_EMPTY_PATH) !== 0 };
  }),
  mount_setattr: at('mount', (call) => ({ emptyPath: (call.uint(2) & AT_EMPTY_PATH) !== 0 })),
  bind: socket('bind'),
  connect: socket('connect'),
} satisfies Readonly<Record<string, DecodePath>>;
