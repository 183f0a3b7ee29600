/**
 * Starting a program with the filter installed, and receiving the listener.
 *
 * The launcher is a process of its own, because a filter stays with the thread that installs it and all its children.
 */
import { HostError, posixSpawn } from '../sys/ffi.ts';
import { STATUS_FAILED } from '../sys/exit-status.ts';
import * as libc from '../sys/libc.ts';
import * as ptrace from '../sys/ptrace.ts';
import { IS_SOURCE, programFile } from '../sys/package-files.ts';
import { textOf } from '../sys/procfs.ts';
import type { TreeBackend } from '../tree/tree-backend.ts';
import { endDescendants } from './descendants.ts';
import type { LaunchOptions, LauncherOrder, Wait } from './launcher-order.ts';
import { whyNotStarted } from './not-run.ts';
import { startLauncher, type StartedLauncher } from './start-launcher.ts';
import type { Started } from './start-program.ts';

/** A program under way, and the listener of its calls. */
export interface Launched {
  readonly pid: number;
  /** Close-on-exec; readable when a call is trapped, hung up when the last program is gone. */
  readonly listener: number;
  readonly launcher: Launcher;
}

/** The process above all of a run, our child. */
export class Launcher {
  readonly pid: number;
  /** Readable when it has something to say (launcher-reports.ts), hung up when it is gone. */
  readonly socket: number;
  readonly #started: () => Started | undefined;
  /** `started`: what became of the program, of a launcher that does not say so itself. */
  constructor(pid: number, socket: number, started: () => Started | undefined) {
    this.pid = pid;
    this.socket = socket;
    this.#started = started;
  }
  /** Of a program that could not be executed the errno: when the launcher has said that it runs. */
  notRun(): number | undefined {
    const started = this.#started();
    return started?.kind === 'not-run' ? started.error : undefined;
  }
  /**
   * With a copy of the listener that it never answers, calls that are trapped after our death wait for the end it brings. Not before
   * the program is executed: it waits for that, and with a copy on its way to it that call would wait for ever.
   */
  lend(listener: number): void {
    libc.sendFd(this.socket, listener);
  }
  /** It ends what is left, and itself. Nothing of that may wait for an answer of ours. */
  close(): void {
    libc.close(this.socket);
    this.#waitForItsEnd();
    // Of a launcher that was killed the orphans are ours.
    endDescendants();
  }
  /** What it ends may be stopped for us, its tracer: those go on, and are reaped, so that the launcher sees them end. */
  #waitForItsEnd(): void {
    for (;;) {
      const event = libc.waitNow(-1);
      if (!event) libc.sleepMs(1);
      else if (ptrace.isStopped(event.status)) ptrace.detach(event.pid);
      else if (event.pid === this.pid) return;
      if (!event && !libc.exists(`/proc/${this.pid}`)) return;
    }
  }
}

const STDIO = [0, 1, 2];

/** The exit status instead, when the launcher ended before a program ran (it has said why). */
export function launch(
  argv: readonly string[],
  options: LaunchOptions & { readonly wait: Wait },
  tree: TreeBackend,
): Launched | number {
  const pair = libc.socketpair();
  if (typeof pair === 'number') throw new HostError(`socketpair failed (errno ${-pair})`);
  const [ours, theirs] = pair;
  libc.setCloexec(ours, true);
  for (const fd of STDIO) libc.setCloexec(fd, false); // Node keeps its streams to itself
  const { temporary, plan } = tree;
  const order: LauncherOrder = { ...options, temporary, ...(plan && { plan }) };
  const { pid, started } = startedBelow(order, { ours, socket: theirs }, argv);
  libc.close(theirs);
  if (pid < 0) throw new HostError(`the launcher did not start (errno ${-pid})`);
  if (plan) serveMounts(tree, ours, pid);
  const { fd: listener, number: program } = libc.receiveFd(ours);
  if (listener >= 0) {
    return { pid: program, listener, launcher: new Launcher(pid, ours, started) };
  }
  libc.close(ours);
  const status = libc.waitFor(pid)?.status ?? 0;
  const failed = started();
  if (failed) throw new HostError(whyNotStarted(failed));
  return (status & 0x7f) === 0 ? status >> 8 : STATUS_FAILED;
}

function startedBelow(
  order: LauncherOrder,
  { ours, socket }: { readonly ours: number; readonly socket: number },
  argv: readonly string[],
): StartedLauncher {
  const command = launcherCommand('end', order, socket, argv);
  const started = order.plan ? undefined : startLauncher(argv, { order, socket, ours, command });
  return started ?? { pid: spawnLauncher(order, socket, argv), started: () => undefined };
}

/** Node from the start: it enters a mount namespace, or no file of ours may be executed. It says itself what becomes of the program. */
function spawnLauncher(order: LauncherOrder, socket: number, argv: readonly string[]): number {
  const inside = order.namespace === 'user-namespace' ? IN_USER_NAMESPACE : [];
  const command = [...inside, ...launcherCommand('start', order, socket, argv)];
  const env = Object.entries(process.env).map(([name, value]) => `${name}=${value!}`);
  return posixSpawn(command[0]!, command, env);
}
/** Sources run through the loader they were started with; the built package runs as it is. */
function launcherCommand(
  part: 'start' | 'end',
  order: LauncherOrder,
  socket: number,
  argv: readonly string[],
): string[] {
  const node = [process.execPath, ...(IS_SOURCE ? process.execArgv : [])];
  return [
    ...node,
    programFile('host/launch/launcher-main'),
    part,
    String(socket),
    JSON.stringify(order),
    ...argv,
  ];
}

/** The user keeps his number and has all rights inside until the program starts. */
const IN_USER_NAMESPACE = [
  '/usr/bin/unshare',
  ...['--user', '--mount', '--map-current-user', '--keep-caps', '--'],
];

/** Answer the launcher's looks at the simulated tree until it has the next thing to say. */
function serveMounts(tree: TreeBackend, socket: number, launcher: number): void {
  const { fd } = libc.receiveFd(socket);
  if (fd < 0) return; // it has failed, and says why
  const server = tree.mounted!(fd, launcher);
  const poller = new libc.Poller();
  poller.set([socket, fd]);
  for (;;) {
    poller.wait(-1);
    if (poller.events(0) !== 0) return;
    if (poller.events(1) !== 0) server.serve();
  }
}

/** What our parent has: Node raises the soft limit of its own process to the hard one. */
export function parentOpenFilesLimit(): number | undefined {
  // Of another user's process nothing is known: keep Node's limit.
  const soft = /^Max open files\s+(\d+)/m.exec(textOf(`/proc/${process.ppid}/limits`))?.[1];
  return soft === undefined ? undefined : Number(soft);
}
