/**
 * Starting a program under a launcher without a mount namespace: both processes make calls of ours in our memory until they
 * execute what they are (child-calls.ts), so no Node is started for it.
 */
import { accessSync, constants } from 'node:fs';
import { cString, cStrings } from '../sys/ffi.ts';
import { runInGrandchild, type ChildCall } from '../sys/child-calls.ts';
import { STATUS_FAILED } from '../sys/exit-status.ts';
import * as libc from '../sys/libc.ts';
import {
  AT_EMPTY_PATH,
  HOST_ERRNO,
  NR,
  PR_SET_CHILD_SUBREAPER,
  SIG_IGN,
  SIGCHLD,
  SIGTTOU,
} from '../sys/numbers.ts';
import type { LauncherOrder } from './launcher-order.ts';
import { programCalls, type Started } from './start-program.ts';
import { watcherImage } from './watcher-image.ts';

const F_SETFD = 2;
const FD_CLOEXEC = 1;
/** memfd_create(2): it may be executed. */
const MFD_EXEC = 0x10;
const NAME = 'softiommu-launcher';

/** What was started. */
export interface StartedLauncher {
  /** The launcher, our child, or minus an errno. */
  readonly pid: number;
  /** What became of the program, when the launcher has said that it runs, or has ended; undefined: the launcher says it. */
  readonly started: () => Started | undefined;
}

/** What is started, and by what. */
export interface LauncherStart {
  readonly order: LauncherOrder;
  /** The launcher's end of it, and ours. */
  readonly socket: number;
  readonly ours: number;
  /** How Node ends the run. */
  readonly command: readonly string[];
}
/** Undefined: this host executes no file of ours. */
export function startLauncher(
  argv: readonly string[],
  { order, socket, ours, command }: LauncherStart,
): StartedLauncher | undefined {
  const watcher = watcherFile(socket);
  if (watcher === undefined) return undefined;
  const { calls, whatCame } = programCalls(argv, order, socket);
  const before = [
    // With it the listener that is on its way to us would outlive us, and a call that waits for our answer wait for ever.
    { nr: NR.close, args: [ours] },
    { nr: NR.prctl, args: [PR_SET_CHILD_SUBREAPER, 1] },
    { nr: NR.fcntl, args: [socket, F_SETFD, FD_CLOEXEC] }, // of the program
    { nr: NR.rt_sigaction, args: [SIGCHLD, Buffer.alloc(32), 0, 8] },
  ];
  const after = [...leaveTerminal(), ...becomeWatcher(watcher, socket, command)];
  const { pid, outcome } = runInGrandchild(calls, { before, after });
  libc.close(watcher);
  return { pid, started: () => whatCame(outcome()) };
}

/** A descriptor; undefined: files may not be so large, or what is in memory may not be executed (vm.memfd_noexec). */
function watcherFile(socket: number): number | undefined {
  const fd = executableMemory();
  if (fd < 0) return undefined;
  const image = watcherImage(socket);
  if (libc.write(fd, image) === image.length && mayExecute(fd)) return fd;
  libc.close(fd);
  return undefined;
}
/** Since Linux 6.3 it is said that it is to be executed. */
function executableMemory(): number {
  const fd = libc.memfdCreate(NAME, libc.MFD_CLOEXEC | MFD_EXEC);
  return fd === -HOST_ERRNO.EINVAL ? libc.memfdCreate(NAME) : fd;
}
function mayExecute(fd: number): boolean {
  try {
    accessSync(`/proc/self/fd/${fd}`, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A group of its own: what the terminal, or kill(2), sends to the program's group is not for the launcher. */
function leaveTerminal(): ChildCall[] {
  const ignore = Buffer.alloc(32);
  ignore.writeBigUInt64LE(SIG_IGN);
  return [
    { nr: NR.setpgid, args: [0, 0] },
    { nr: NR.rt_sigaction, args: [SIGTTOU, ignore, 0, 8] },
  ];
}

/** Signals stay blocked until it is executed: handlers of ours would run in our memory. It unblocks its own, and so does Node. */
function becomeWatcher(watcher: number, socket: number, command: readonly string[]): ChildCall[] {
  const env = cStrings(Object.entries(process.env).map(([name, value]) => `${name}=${value!}`));
  return [
    { nr: NR.fcntl, args: [socket, F_SETFD, 0] },
    { nr: NR.execveat, args: [watcher, cString(''), cStrings(command), env, AT_EMPTY_PATH] },
    { nr: NR.exit_group, args: [STATUS_FAILED] },
  ];
}
