/**
 * Starting a program with the filter installed, and receiving the listener.
 *
 * The launcher is a process of its own, because a filter stays with the thread that installs it and all its children.
 */
import { fileURLToPath } from 'node:url';
import { HostError, posixSpawn } from '../sys/ffi.ts';
import * as libc from '../sys/libc.ts';
import type { FilterOptions } from '../seccomp/filter.ts';
import type { MountPlan } from '../tree/mount-plan.ts';
import { textOf } from '../sys/procfs.ts';
import type { TreeBackend } from '../tree/tree-backend.ts';

/** How a program is started. */
export interface LaunchOptions extends FilterOptions {
  /** SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: a signal does not restart a call that is being answered. */
  readonly killable: boolean;
  /** The soft limit the program would have had without Node, which raises it. */
  readonly openFilesLimit?: number;
  /** How the launcher comes into a mount namespace; absent with path traps. */
  readonly namespace?: 'unshare' | 'user-namespace';
}

/** What the launcher is told beside the program. */
export interface LauncherOrder extends LaunchOptions {
  readonly plan?: MountPlan;
}

/** A program under way, and the listener of its calls. */
export interface Launched {
  readonly pid: number;
  /** Close-on-exec; readable when a call is trapped, hung up when the last program is gone. */
  readonly listener: number;
}

const STDIO = [0, 1, 2];

/** The exit status instead, when the launcher ended before a program ran (it has said why). */
export function launch(
  argv: readonly string[],
  options: LaunchOptions,
  tree: TreeBackend,
): Launched | number {
  const pair = libc.socketpair();
  if (typeof pair === 'number') throw new HostError(`socketpair failed (errno ${-pair})`);
  const [ours, theirs] = pair;
  libc.setCloexec(ours, true);
  for (const fd of STDIO) libc.setCloexec(fd, false); // Node keeps its streams to itself
  const order: LauncherOrder = tree.plan ? { ...options, plan: tree.plan } : options;
  const command = [...(options.namespace === 'user-namespace' ? IN_USER_NAMESPACE : [])];
  command.push(process.execPath, ...launcherArguments(), String(theirs), JSON.stringify(order));
  const pid = posixSpawn(
    command[0]!,
    [...command, ...argv],
    Object.entries(process.env).map(([name, value]) => `${name}=${value!}`),
  );
  libc.close(theirs);
  if (pid < 0) throw new HostError(`the launcher did not start (errno ${-pid})`);
  if (order.plan) serveMounts(tree, ours);
  const listener = libc.receiveFd(ours);
  libc.close(ours);
  if (listener >= 0) return { pid, listener };
  const status = libc.waitFor(pid)?.status ?? 0;
  return (status & 0x7f) === 0 ? status >> 8 : 125;
}

/** The user keeps his number and has all rights inside until the program starts. */
const IN_USER_NAMESPACE = [
  '/usr/bin/unshare',
  ...['--user', '--mount', '--map-current-user', '--keep-caps', '--'],
];

/** Answer the launcher's looks at the simulated tree until it has the next thing to say. */
function serveMounts(tree: TreeBackend, socket: number): void {
  const fd = libc.receiveFd(socket);
  if (fd < 0) return; // it has failed, and says why
  const server = tree.mounted!(fd);
  const poller = new libc.Poller();
  poller.set([socket, fd]);
  for (;;) {
    poller.wait(-1);
    if (poller.events(0) !== 0) return;
    if (poller.events(1) !== 0) server.serve();
  }
}

/** Sources run through the loader they were started with; the built package runs as it is. */
function launcherArguments(): string[] {
  const isSource = import.meta.url.endsWith('.ts');
  const file = fileURLToPath(new URL(`./launcher-main.${isSource ? 'ts' : 'js'}`, import.meta.url));
  return [...(isSource ? process.execArgv : []), file];
}

/** What our parent has: Node raises the soft limit of its own process to the hard one. */
export function parentOpenFilesLimit(): number | undefined {
  // Of another user's process nothing is known: keep Node's limit.
  const soft = /^Max open files\s+(\d+)/m.exec(textOf(`/proc/${process.ppid}/limits`))?.[1];
  return soft === undefined ? undefined : Number(soft);
}
