/**
 * Extended attributes by a path relative to a descriptor (setxattrat and its kin, Linux 6.13). Two of them have six arguments, where no
 * mark of ours finds room: with another path they are made in the words of the older calls.
 */
import type { SyscallArgument } from '../sys/ffi.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';
import type { Notification } from '../seccomp/notification.ts';
import type { RemoteMemory } from '../process/remote-memory.ts';
import { beside, flagged, LINKS_AND_EMPTY, type DecodePath, type PathCall } from './path-calls.ts';

/** struct xattr_args: value, size, flags; and the most of it that is looked at. */
const ARGS_SIZE = 16;
const PAGE = 4096n;

type Spelling = readonly [followed: number, unfollowed: number];

function attribute(
  call: Notification,
  kind: 'getxattr' | 'listxattr' | 'setxattr' | 'removexattr',
  [followed, unfollowed]: Spelling,
  args: readonly SyscallArgument[],
): PathCall | number {
  const how = flagged(call.uint(2), LINKS_AND_EMPTY);
  if (typeof how === 'number') return how;
  const nr = how.follow === false ? unfollowed : followed;
  return { ...beside(call, kind, 0), ...how, instead: { nr, args } };
}
/** E2BIG and EINVAL of its length, EFAULT. */
function valueOf(call: Notification, mem: RemoteMemory): readonly SyscallArgument[] | number {
  const size = call.arg(5);
  if (size < ARGS_SIZE) return -HOST_ERRNO.EINVAL;
  if (size > PAGE) return -HOST_ERRNO.E2BIG;
  const args = Buffer.alloc(Number(size));
  if (mem.read(call.arg(4), args)) return -HOST_ERRNO.EFAULT;
  if (args.subarray(ARGS_SIZE).some((byte) => byte !== 0)) return -HOST_ERRNO.E2BIG;
  return [call.arg(3), args.readBigUInt64LE(0), args.readUInt32LE(8), args.readUInt32LE(12)];
}

const getxattrat: DecodePath = (call, mem) => {
  const args = valueOf(call, mem);
  if (typeof args === 'number') return args;
  if (args[3] !== 0) return -HOST_ERRNO.EINVAL; // there are no flags to look by
  return attribute(call, 'getxattr', [NR.getxattr, NR.lgetxattr], args.slice(0, 3));
};
const setxattrat: DecodePath = (call, mem) => {
  const args = valueOf(call, mem);
  if (typeof args === 'number') return args;
  return attribute(call, 'setxattr', [NR.setxattr, NR.lsetxattr], args);
};
/** By the name of the call. */
export const XATTR_CALLS = {
  setxattrat,
  getxattrat,
  listxattrat: (call: Notification) =>
    attribute(call, 'listxattr', [NR.listxattr, NR.llistxattr], [call.arg(3), call.arg(4)]),
  removexattrat: (call: Notification) =>
    attribute(call, 'removexattr', [NR.removexattr, NR.lremovexattr], [call.arg(3)]),
} as const;
