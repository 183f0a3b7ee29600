/**
 * The launcher: starts the program with the filter, and stays above it as the reaper of its orphans for as long as a
 * process of the run is there. When softiommu is gone, however it went, the launcher ends what is left.
 *
 * Arguments: PART SOCKET ORDER(JSON) PROGRAM ARGS… Of the socket's other end nobody but softiommu has a copy. The part is `end`
 * where start-launcher.ts has started the program and watcher-image.ts has followed it; else `start`: in a mount namespace, and
 * where no file of ours may be executed.
 */
import { rmdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { ignoreSignal, syscall } from '../sys/ffi.ts';
import { isHungUp, reapChildren, receiveFd, sendFd, setCloexec } from '../sys/libc.ts';
import { NR, SIGTTOU } from '../sys/numbers.ts';
import { STATUS_FAILED } from '../sys/exit-status.ts';
import { WaitingLines } from '../sys/waiting-lines.ts';
import { becomeSubreaper, endDescendants, listed } from './descendants.ts';
import type { LauncherOrder } from './launcher-order.ts';
import { report } from './launcher-reports.ts';
import { notRunLine, whyNotRun, whyNotStarted } from './not-run.ts';
import { startProgram } from './start-program.ts';
import type { MountPlan } from '../tree/mount-plan.ts';
import {
  dropAmbient,
  leaveStaging,
  mountFuse,
  rebuild,
  unshareMounts,
} from '../tree/mount-tree.ts';
import { hasMounts } from '../sys/mounts.ts';
import { removeTemporaryDirectory } from '../tree/temporary-directory.ts';

const AGAIN_MS = 20;

/** A start, and who waits for it. */
interface Supervised {
  readonly socket: number;
  readonly order: LauncherOrder;
}

function main(): void {
  const [part, socketText, orderText, ...argv] = process.argv.slice(2);
  const socket = Number(socketText);
  // cast: the order was written by the kernel thread of this package
  const order = JSON.parse(orderText!) as LauncherOrder;
  setCloexec(socket, true);
  const run = new Run(socket, order);
  if (part === 'end') return run.end();
  start(argv, order, socket);
  // Kept, never answered: no program must see its calls refused in the moment before its end.
  report(socket, { kind: 'running' });
  receiveFd(socket);
  run.follow();
}

function start(argv: readonly string[], order: LauncherOrder, socket: number): void {
  becomeSubreaper();
  if (order.plan) enterNamespace(socket, order, order.plan);
  for (const fd of [0, 1, 2]) setCloexec(fd, false); // Node keeps its streams to itself
  const started = startProgram(argv, order, socket);
  leaveTerminal();
  switch (started.kind) {
    case 'running':
      return;
    case 'refused':
    case 'unsupervised':
      return fail({ socket, order }, whyNotStarted(started), STATUS_FAILED);
    case 'not-run': {
      const { status, reason } = whyNotRun(argv[0]!, started.error);
      removeAfterStart(order.temporary);
      sayAtLast(socket, notRunLine(argv[0]!, reason));
      report(socket, { kind: 'ended', pid: started.pid, status: status << 8 });
      report(socket, { kind: 'alone' });
      process.exit();
    }
  }
}

/** A group of our own: what the terminal, or kill(2), sends to the program's group is not for us. */
function leaveTerminal(): void {
  syscall(NR.setpgid, 0, 0);
  ignoreSignal(SIGTTOU);
}

function enterNamespace(socket: number, order: LauncherOrder, plan: MountPlan): void {
  try {
    unshareMounts(order.namespace === 'user-namespace');
    const fuse = mountFuse(plan);
    if (sendFd(socket, fuse) < 0) fail({ socket, order }, 'softiommu is gone', STATUS_FAILED);
    syscall(NR.close, fuse);
    rebuild(plan);
    dropAmbient();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    fail({ socket, order }, reason, STATUS_FAILED);
  }
}

/** The processes of the run. */
class Run {
  readonly #socket: number;
  readonly #order: LauncherOrder;

  constructor(socket: number, order: LauncherOrder) {
    this.#socket = socket;
    this.#order = order;
  }

  /** Until none of them is left. */
  follow(): void {
    process.on('SIGCHLD', () => this.#reap());
    process.on('SIGTERM', () => this.end());
    // Only its end is of interest: softiommu says nothing.
    const softiommu = new Socket({ fd: this.#socket, readable: true, writable: false });
    softiommu.on('close', () => this.end()).resume();
    softiommu.on('error', () => undefined);
    this.#reap();
  }

  #reap(): void {
    const left = reapChildren((pid, status) =>
      report(this.#socket, { kind: 'ended', pid, status }),
    );
    if (left) return;
    report(this.#socket, { kind: 'alone' });
    if (isHungUp(this.#socket, 0)) removeAfterRun(this.#order);
    process.exit();
  }

  /** softiommu is gone or asks for it: there is no machine for them any more. */
  end(): never {
    const names = endDescendants();
    report(this.#socket, { kind: 'alone' });
    removeAfterRun(this.#order);
    // Nobody waits for its reader: we are all that is left.
    if (names.length > 0) say(`ended with the run: ${listed(names)}`);
    process.exit();
  }
}

/** Before a program has run. What is mounted there is ours; should it stay, nothing below it is touched. */
function removeAfterStart(temporary: string): void {
  leaveStaging(temporary);
  if (!hasMounts(temporary)) removeTemporaryDirectory(temporary);
}

/** softiommu does it itself if it can. Below the directory mounts are built from may be mounts: of that one no more. */
function removeAfterRun({ temporary, plan }: LauncherOrder): void {
  if (!plan) removeTemporaryDirectory(temporary);
  else
    try {
      rmdirSync(temporary);
    } catch {
      return; // it is gone already
    }
}

const lines = new WaitingLines();
function say(message: string): void {
  lines.say(`softiommu: ${message}\n`);
}
/** What standard error does not take is waited for as long as softiommu is there: of us nothing may be left after it. */
function sayAtLast(socket: number, message: string): void {
  say(message);
  while (!lines.retry() && !isHungUp(socket, AGAIN_MS));
}

/** The program does not run. Without softiommu nobody else removes what it has made. */
function fail({ socket, order }: Supervised, message: string, status: number): never {
  removeAfterStart(order.temporary);
  sayAtLast(socket, message);
  process.exit(status);
}

main();
