/**
 * The launcher: the process that becomes the program. It installs the filter, hands the listener over and executes.
 *
 * Arguments: SOCKET OPTIONS(JSON) PROGRAM ARGS… Nothing else of softiommu remains in the process afterwards.
 */
import { existsSync } from 'node:fs';
import { cString, cStrings, defaultSignal, setPointer, syscall } from '../sys/ffi.ts';
import { filterProgram } from '../seccomp/filter.ts';
import { installFilter, type Installed } from '../seccomp/install-filter.ts';
import { sendFd, setCloexec } from '../sys/libc.ts';
import { printable } from '../../machine/description/wording.ts';
import { STDERR, writeAll } from '../sys/write-all.ts';
import { whyNotRun } from './not-run.ts';
import type { LauncherOrder, LaunchOptions } from './launch.ts';
import type { MountPlan } from '../tree/mount-plan.ts';
import { dropAmbient, mountFuse, rebuild, unshareMounts } from '../tree/mount-tree.ts';
import {
  HOST_ERRNO,
  NR,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_PDEATHSIG,
  RLIMIT,
  SIGKILL,
  SIGPIPE,
} from '../sys/numbers.ts';

const SECCOMP_SET_MODE_FILTER = 1;
const NEW_LISTENER = 8;
const WAIT_KILLABLE_RECV = 32;
const SIGXFSZ = 25;
const SIG_SETMASK = 2;
const NO_SIGNALS = Buffer.alloc(8);

function main(): void {
  const [socketText, optionsText, ...argv] = process.argv.slice(2);
  const socket = Number(socketText);
  // cast: the order was written by the kernel thread of this package
  const options = JSON.parse(optionsText!) as LauncherOrder;
  setCloexec(socket, true);
  syscall(NR.prctl, PR_SET_PDEATHSIG, SIGKILL); // no program without its machine
  if (options.plan) enterNamespace(socket, options, options.plan);
  const { listener, sent } = install(socket, options);
  if (listener < 0) {
    fail(`the kernel refused the system call filter (errno ${-listener})`, 125);
  }
  if (sent < 0) fail('the supervisor is gone', 125);
  syscall(NR.close, listener);
  restoreProcess(options);
  const program = argv[0]!;
  const { status, reason } = whyNotRun(program, executeFromPath(argv));
  fail(`${printable(program)}: ${reason}`, status);
}

function enterNamespace(socket: number, options: LauncherOrder, plan: MountPlan): void {
  try {
    unshareMounts(options.namespace === 'user-namespace');
    const fuse = mountFuse(plan);
    if (sendFd(socket, fuse) < 0) fail('the supervisor is gone', 125);
    syscall(NR.close, fuse);
    rebuild(plan);
    dropAmbient();
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error), 125);
  }
}

function install(socket: number, options: LaunchOptions): Installed {
  const code = filterProgram(options);
  const program = Buffer.alloc(16);
  program.writeUInt16LE(code.length / 8, 0);
  setPointer(program, 8, code);
  const flags = NEW_LISTENER | (options.killable ? WAIT_KILLABLE_RECV : 0);
  const how = { operation: SECCOMP_SET_MODE_FILTER, flags, program };
  const installed = installFilter(how, socket);
  if (installed.listener !== -HOST_ERRNO.EACCES) return installed;
  syscall(NR.prctl, PR_SET_NO_NEW_PRIVS, 1); // the price of a filter without CAP_SYS_ADMIN
  return installFilter(how, socket);
}

/** Undo what Node changed at its start: ignored signals, the mask, the limit of open files. */
function restoreProcess(options: LaunchOptions): void {
  defaultSignal(SIGPIPE);
  defaultSignal(SIGXFSZ);
  syscall(NR.rt_sigprocmask, SIG_SETMASK, NO_SIGNALS, 0, NO_SIGNALS.length);
  const limits = Buffer.alloc(16);
  syscall(NR.prlimit64, 0, RLIMIT.openFiles, 0, limits);
  if (options.openFilesLimit !== undefined) {
    limits.writeBigUInt64LE(BigInt(options.openFilesLimit), 0);
    syscall(NR.prlimit64, 0, RLIMIT.openFiles, limits, 0);
  }
  for (const fd of [0, 1, 2]) setCloexec(fd, false);
}

/** execvp(): the first candidate that runs; the errno that says most when none does. */
function executeFromPath(argv: readonly string[]): number {
  const program = argv[0]!;
  const args = cStrings(argv);
  const env = cStrings(Object.entries(process.env).map(([name, value]) => `${name}=${value!}`));
  const candidates = program.includes('/')
    ? [program]
    : (process.env['PATH'] ?? '/bin:/usr/bin').split(':').map((dir) => `${dir || '.'}/${program}`);
  let worst: number = HOST_ERRNO.ENOENT;
  for (const candidate of program === '' ? [] : candidates) {
    let error = -syscall(NR.execve, cString(candidate), args, env);
    if (error === HOST_ERRNO.ENOEXEC) error = executeScript(candidate, argv, env);
    // A directory of PATH that may not be searched says nothing of the program; one that was named does.
    if (existsSync(candidate) || candidate === program) worst = error;
  }
  return worst;
}

/** A text without a first line '#!…' is run by the shell. */
function executeScript(path: string, argv: readonly string[], env: Buffer): number {
  const args = cStrings(['/bin/sh', path, ...argv.slice(1)]);
  return -syscall(NR.execve, cString('/bin/sh'), args, env);
}

function fail(message: string, status: number): never {
  writeAll(STDERR, `softiommu: ${message}\n`);
  process.exit(status);
}

main();
