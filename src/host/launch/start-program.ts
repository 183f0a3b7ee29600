/**
 * Starting a program with the filter of system calls, its listener on the way to softiommu.
 *
 * All of it is one list of calls in a child: from the filter on, a call of anything but the list could be one that is
 * trapped, and would wait for ever where nobody answers.
 */
import { existsSync } from 'node:fs';
import { cString, cStrings, setPointer, syscall, type Argument } from '../sys/ffi.ts';
import { runInChild, type ChildCall, type ChildRun, type Pointer } from '../sys/child-calls.ts';
import { FD_MESSAGE_LENGTH, preparedMessage } from '../sys/libc.ts';
import {
  HOST_ERRNO,
  INJECTED_CALL,
  MSG_NOSIGNAL,
  NR,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_PDEATHSIG,
  RLIMIT,
  SIG_SETMASK,
  SIGKILL,
  SIGPIPE,
  SIGXFSZ,
} from '../sys/numbers.ts';
import { filterProgram } from '../seccomp/filter.ts';
import { candidatesOf } from './program-candidates.ts';
import type { LaunchOptions } from './launcher-order.ts';

/** What became of it. */
export type Started =
  | { readonly kind: 'running'; readonly pid: number }
  /** The filter is refused, or there is no process (a positive errno). */
  | { readonly kind: 'refused'; readonly error: number }
  /** Nobody takes the listener. */
  | { readonly kind: 'unsupervised' }
  /** execve(2) has failed, for the last candidate that was there (a positive errno). */
  | { readonly kind: 'not-run'; readonly pid: number; readonly error: number };

const SECCOMP_SET_MODE_FILTER = 1;
const NEW_LISTENER = 8;
const WAIT_KILLABLE_RECV = 32;

/** The program as a child of ours; softiommu gets listener and pid in one message over the socket. */
export function startProgram(
  argv: readonly string[],
  options: LaunchOptions,
  socket: number,
): Started {
  const { calls, whatCame } = programCalls(argv, options, socket);
  return whatCame(runInChild(calls));
}

/** The calls of the process that becomes the program, and what their results say. */
export interface ProgramCalls {
  readonly calls: readonly ChildCall[];
  readonly whatCame: (run: ChildRun) => Started;
}
/** `socket`: the descriptor of it in that process. */
export function programCalls(
  argv: readonly string[],
  options: LaunchOptions,
  socket: number,
): ProgramCalls {
  const calls = new CallList();
  const pidTo = sendListener(calls, filterCall(options), socket);
  restoreProcess(calls, options);
  const tried = executeFromPath(calls, argv);
  calls.add({ nr: NR.exit_group, args: [127] });
  // Where nobody has the listener that call is ENOSYS; this one is never trapped.
  pidTo.push({ firstOf: calls.add({ nr: NR.kill, args: [0, SIGKILL] }) });
  return { calls: calls.list, whatCame: (run) => startedBy(run, tried) };
}
function startedBy({ pid, results }: ChildRun, tried: readonly Attempt[]): Started {
  if (pid < 0) return { kind: 'refused', error: -pid };
  if (results[CALL.send] !== FD_MESSAGE_LENGTH) {
    const filter = results[CALL.filterAgain] ?? results[CALL.filter]!;
    return filter < 0 ? { kind: 'refused', error: -filter } : { kind: 'unsupervised' };
  }
  const error = worstOf(tried, results);
  return error === undefined ? { kind: 'running', pid } : { kind: 'not-run', pid, error };
}

class CallList {
  readonly list: ChildCall[] = [];
  /** The index of the call. */
  add(call: ChildCall): number {
    return this.list.push(call) - 1;
  }
}

function filterCall(options: LaunchOptions): readonly Argument[] {
  const code = filterProgram(options);
  const program = Buffer.alloc(16);
  program.writeUInt16LE(code.length / 8, 0);
  setPointer(program, 8, code);
  const flags = NEW_LISTENER | (options.killable ? WAIT_KILLABLE_RECV : 0);
  return [SECCOMP_SET_MODE_FILTER, flags, program];
}

/** The sixth argument of a call that the filter lets pass. */
const NOT_TRAPPED = INJECTED_CALL << 32n;
/** Places in the list. */
const CALL = { filter: 1, filterAgain: 3, send: 4, close: 5 } as const;

/**
 * The message goes nowhere when there is no listener: its descriptor is a negative number then. The child's own copy is
 * closed at once: with it, a call that is trapped later would wait for the child itself. The result: where the child's
 * number goes.
 */
function sendListener(calls: CallList, filter: readonly Argument[], socket: number): Pointer[] {
  const { header, number, descriptor } = preparedMessage();
  const pidTo: Pointer[] = [number];
  const store = [descriptor, { firstOf: CALL.close }];
  calls.add({ nr: NR.getpid, store: pidTo });
  calls.add({ nr: NR.seccomp, args: filter, store });
  // The price of a filter without CAP_SYS_ADMIN.
  const onlyIf = { call: CALL.filter, returned: -HOST_ERRNO.EACCES };
  calls.add({ nr: NR.prctl, args: [PR_SET_NO_NEW_PRIVS, 1], onlyIf });
  calls.add({ nr: NR.seccomp, args: filter, store, onlyIf });
  calls.add({ nr: NR.sendmsg, args: [socket, header, MSG_NOSIGNAL, 0, 0, NOT_TRAPPED] });
  calls.add({ nr: NR.close });
  return pidTo;
}

/** What the program would have found without us: Node ignores two signals and raises the limit of open files. */
function restoreProcess(calls: CallList, { openFilesLimit }: LaunchOptions): void {
  const nothing = Buffer.alloc(32);
  calls.add({ nr: NR.prctl, args: [PR_SET_PDEATHSIG, SIGKILL] });
  for (const signal of [SIGPIPE, SIGXFSZ]) {
    calls.add({ nr: NR.rt_sigaction, args: [signal, nothing, 0, 8] });
  }
  if (openFilesLimit !== undefined) {
    const limits = Buffer.alloc(16);
    syscall(NR.prlimit64, 0, RLIMIT.openFiles, 0, limits);
    limits.writeBigUInt64LE(BigInt(openFilesLimit), 0);
    calls.add({ nr: NR.prlimit64, args: [0, RLIMIT.openFiles, limits, 0] });
  }
  calls.add({ nr: NR.rt_sigprocmask, args: [SIG_SETMASK, nothing, 0, 8] });
}

/** One path that was executed, and the shell for it, which runs a text without a first line '#!…'. */
interface Attempt {
  readonly named: boolean;
  readonly candidate: string;
  readonly direct: number;
  readonly byShell: number;
}

/** execvp(3) */
function executeFromPath(calls: CallList, argv: readonly string[]): Attempt[] {
  const program = argv[0]!;
  const env = cStrings(Object.entries(process.env).map(([name, value]) => `${name}=${value!}`));
  const shell = cString('/bin/sh');
  const args = cStrings(argv);
  return candidatesOf(program, process.env['PATH']).map((candidate) => {
    const script = cStrings(['/bin/sh', candidate, ...argv.slice(1)]);
    const direct = calls.add({
      nr: NR.execve,
      args: [cString(candidate), args, env],
      onlyIf: { call: CALL.send, returned: FD_MESSAGE_LENGTH },
    });
    const byShell = calls.add({
      nr: NR.execve,
      args: [shell, script, env],
      onlyIf: { call: direct, returned: -HOST_ERRNO.ENOEXEC },
    });
    return { candidate, named: candidate === program, direct, byShell };
  });
}

/** The error that says most; undefined: one of them runs. */
function worstOf(
  tried: readonly Attempt[],
  results: readonly (number | undefined)[],
): number | undefined {
  let worst: number = HOST_ERRNO.ENOENT;
  for (const { candidate, named, direct, byShell } of tried) {
    const result = results[direct] === -HOST_ERRNO.ENOEXEC ? results[byShell] : results[direct];
    if (result === undefined) return undefined;
    // A directory of PATH that may not be searched says nothing of the program; one that was named does.
    if (named || existsSync(candidate)) worst = -result;
  }
  return worst;
}
