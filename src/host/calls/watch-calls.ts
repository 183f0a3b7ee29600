/**
 * The arguments of inotify_add_watch(2) and fanotify_mark(2), brought to the form of all calls that name a path, and what is
 * refused of them: who decides of each open of a file is asked about those of ours too, and the run would wait for its program.
 */
import type { Notification } from '../seccomp/notification.ts';
import { AT_FDCWD, HOST_ERRNO } from '../sys/numbers.ts';
import type { CallContext } from './call-context.ts';
import { NO_PATH, type DecodePath, type PathCall, type Watch } from './path-calls.ts';

const IN_DONT_FOLLOW = 0x200_0000;
const MARK = { dontFollow: 4, mount: 0x10, flush: 0x80, fileSystem: 0x100 } as const;
/** FAN_OPEN_PERM, FAN_ACCESS_PERM, FAN_OPEN_EXEC_PERM, FAN_PRE_ACCESS */
const DECIDING = 0x17_0000;

const inotifyAddWatch: DecodePath = (call) => {
  const watch: Watch = { flags: 2, dontFollow: IN_DONT_FOLLOW, isWhole: false, decides: false };
  const follow = (call.uint(2) & IN_DONT_FOLLOW) === 0;
  return { ...NO_PATH, kind: 'watch', pathAt: call.arg(1), at: { path: 1 }, follow, watch };
};
/** Without a path its descriptor is meant; a flush means all marks, and names nothing. */
const fanotifyMark: DecodePath = (call) => {
  const flags = call.uint(1);
  if ((flags & MARK.flush) !== 0) return 0;
  const isNamed = call.arg(4) !== 0n;
  const mark: PathCall = {
    ...NO_PATH,
    ...{ kind: 'watch', pathAt: call.arg(4), at: { path: 4, dir: 3 }, dirFd: call.int(3) },
    follow: (flags & MARK.dontFollow) === 0,
    emptyPath: !isNamed,
    watch: {
      flags: 1,
      dontFollow: MARK.dontFollow,
      isWhole: isWhole(flags),
      decides: decides(call),
    },
  };
  return isNamed || mark.dirFd !== AT_FDCWD ? mark : 0;
};
/** By the name of the call. */
export const WATCH_CALLS = { inotify_add_watch: inotifyAddWatch, fanotify_mark: fanotifyMark };

/** A mark on a mount or a file system has all that is opened there. */
function isWhole(flags: number): boolean {
  return (flags & (MARK.mount | MARK.fileSystem)) !== 0;
}
function decides(call: Notification): boolean {
  return (call.uint(2) & DECIDING) !== 0;
}

const MAY_NOT_DECIDE =
  'a program wants to decide with fanotify who opens or reads files that softiommu opens as well, and would keep the run waiting: refused with EPERM';
/** EPERM, said once. */
export function refusedDecision(context: CallContext): number {
  context.sayOnce(MAY_NOT_DECIDE);
  return -HOST_ERRNO.EPERM;
}
/** Of a whole file system; undefined: nothing is wrong with it. */
export function refusedMark(context: CallContext, call: Notification): number | undefined {
  return isWhole(call.uint(1)) && decides(call) ? refusedDecision(context) : undefined;
}
