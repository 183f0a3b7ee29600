/**
 * Paths of /proc that speak of a process or a thread: which one, and what of it. Numbers are those of our own namespace of
 * processes; in a program's own they mean others, and the host's file is right.
 */
import type { Processes } from '../process/processes.ts';
import * as libc from '../sys/libc.ts';
import type { DescriptorLink } from '../sys/look.ts';

const PATTERN = /^\/proc\/(self|thread-self|\d+)(?:\/task\/(\d+))?\/(.+)$/;
const DESCRIPTOR = /^fd\/(\d+)$/;
/** Links in /dev to descriptors of the caller. */
const STANDARD: Readonly<Record<string, string>> = { stdin: '0', stdout: '1', stderr: '2' };
const OWN_PROCESSES = libc.readlink('/proc/self/ns/pid');

/** What is behind /proc/PID/ or /proc/PID/task/TID/. */
export interface ProcPath {
  /** The thread, or the one a process has its number from. */
  readonly tid: number;
  readonly what: string;
}

/** Undefined: of no process, of one that is not there, or of one whose number means another one here. */
export function procPath(path: string, tid: number, processes: Processes): ProcPath | undefined {
  const [, owner, task, what] = PATTERN.exec(path) ?? [];
  if (owner === undefined || what === undefined) return undefined;
  const byNumber = task !== undefined || !owner.endsWith('self');
  if (byNumber && libc.readlink(`/proc/${tid}/ns/pid`) !== OWN_PROCESSES) return undefined;
  const named = owner === 'thread-self' ? tid : Number(owner);
  const pid = owner === 'self' ? processes.processOf(tid) : named;
  if (task === undefined) return libc.exists(`/proc/${pid}`) ? { tid: pid, what } : undefined;
  const isOfIt = libc.exists(`/proc/${pid}/task/${task}`);
  return isOfIt ? { tid: Number(task), what } : undefined;
}

const MAGIC = /^\/proc\/(?:self|thread-self|\d+)(?:\/task\/\d+)?\/(?:cwd|root|fd\/\d+)$/;
/**
 * The first link of a process to a directory or a file that an absolute path goes through, and what follows it: dots behind it
 * lead out of what it leads to. Undefined: none.
 */
export function throughMagic(path: string): { link: string; rest: string } | undefined {
  if (!path.includes('proc/')) return undefined;
  const here: string[] = [];
  const todo = path.split('/');
  while (todo.length > 1) {
    const name = todo.shift()!;
    if (name === '..') here.pop();
    else if (name !== '' && name !== '.') here.push(name);
    const link = `/${here.join('/')}`;
    const rest = todo.join('/').replace(/^\/+/, '') || '.';
    if (MAGIC.test(link)) return { link, rest };
  }
  return undefined;
}

/** The link in /proc that a path is when it names a descriptor, in /dev too. The caller may look at it. */
export function descriptorNamed(
  path: string,
  tid: number,
  processes: Processes,
): DescriptorLink | undefined {
  const inDev = /^\/dev\/(?:fd\/(\d+)|(stdin|stdout|stderr))$/.exec(path);
  const own = inDev && (inDev[1] ?? STANDARD[inDev[2]!]);
  const found = procPath(own ? `/proc/self/fd/${own}` : path, tid, processes);
  const [, fd] = DESCRIPTOR.exec(found?.what ?? '') ?? [];
  if (!found || fd === undefined || !processes.mayLook(tid, found.tid)) return undefined;
  return `/proc/${found.tid}/fd/${fd}`;
}
