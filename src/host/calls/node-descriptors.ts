/**
 * Calls on a descriptor that stands for a node of the tree (stand-ins.ts) which the host's kernel would carry out on its file
 * system: what Linux answers of sysfs, where none of them is implemented.
 *
 * What else such a descriptor can be given is answered by path-traps.ts (the calls with AT_EMPTY_PATH and kin), does nothing to a
 * directory (read, write, fallocate and mmap are refused by the kernel itself), or concerns the description only (flock, fcntl).
 */
import { CAP_SYS_ADMIN } from '../../base/task.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { openFlagsOf } from '../sys/look.ts';
import { HOST_ERRNO, O_PATH } from '../sys/numbers.ts';
import type { CallContext } from './call-context.ts';
import type { PathTraps } from './path-traps.ts';

/** The kernel answers it of every file: the size of a block. */
const FIGETBSZ = 2;
const [FIFREEZE, FITHAW] = [0xc0045877, 0xc0045878];
const MOST_QUOTAS = 3;

/** Of its file system a directory of sysfs answers nothing. @kernel do_vfs_ioctl */
export function ioctlOfNode(
  { processes }: CallContext,
  paths: PathTraps,
  call: Notification,
): Answer {
  const command = call.uint(1);
  if (command === FIGETBSZ || !standsForNode(paths, call)) return 'continue';
  if (command !== FIFREEZE && command !== FITHAW) return -HOST_ERRNO.ENOTTY;
  const mayFreeze = processes.cred(call.tid, 'fs').capable(CAP_SYS_ADMIN);
  return mayFreeze ? -HOST_ERRNO.EOPNOTSUPP : -HOST_ERRNO.EPERM;
}
/** There are none in sysfs. @kernel do_quotactl */
export function quotaOf(paths: PathTraps, call: Notification): Answer {
  if (paths.placeOf(call, call.int(0)) === undefined) return 'continue';
  return (call.uint(1) & 0xff) >= MOST_QUOTAS ? -HOST_ERRNO.EINVAL : -HOST_ERRNO.ENOSYS;
}
/** Whoever changes the directory would wait until it is given back: we. */
export function delegation(paths: PathTraps, call: Notification): Answer {
  return standsForNode(paths, call) ? -HOST_ERRNO.EINVAL : 'continue';
}

/** With O_PATH the kernel refuses by itself. */
function standsForNode(paths: PathTraps, call: Notification): boolean {
  if (paths.placeOf(call, call.int(0)) === undefined) return false;
  return (openFlagsOf(`/proc/${call.tid}/fd/${call.int(0)}`) & O_PATH) === 0;
}
