/**
 * What /proc tells of processes. One that is gone, or none of ours to look into, has nothing to tell; when we have no
 * descriptor to look with, that is a Shortage and no news of the process.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { onOneLine } from '../../machine/description/wording.ts';
import { readlink } from './libc.ts';
import { shortageOf } from './shortage.ts';

const AT_RANDOM = 25n;

/** A file's text; empty when what it speaks of is gone, or this kernel has no such file. */
export function textOf(path: string): string {
  return unlessGone(() => readFileSync(path, 'latin1')) ?? '';
}
/** What a directory has; nothing when it is gone. */
export function namesIn(path: string): string[] {
  return unlessGone(() => readdirSync(path)) ?? [];
}
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    const shortage = shortageOf(error);
    if (shortage) throw shortage;
    return undefined;
  }
}

/** Of this host, as far as we may see them. */
export function processIds(): number[] {
  return namesIn('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
}
/** Undefined when the process is gone. */
export function parentOf(pid: number): number | undefined {
  return birthOf(pid)?.parent;
}
/** Where a process comes from, and when it began (clock ticks since the host did): with its number, who it is. */
export function birthOf(pid: number): { parent: number; began: string } | undefined {
  const stat = textOf(`/proc/${pid}/stat`);
  // The name in brackets may hold anything, brackets too.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [parent, began] = [fields[1], fields[19]];
  return parent === undefined || began === undefined
    ? undefined
    : { parent: Number(parent), began };
}
/** Is it that process, or one of those below it? */
export function isWithin(pid: number, above: number): boolean {
  let at: number | undefined = pid;
  while (at !== undefined && at > 1 && at !== above) at = parentOf(at);
  return at === above;
}
/** The process that traces a thread; 0: none, or none that can be seen from here. */
export function tracerOf(tid: number): number {
  return Number(statusLine(textOf(`/proc/${tid}/status`), 'TracerPid'));
}
/** A process in words, for a line to the user. */
export function nameOf(pid: number): string {
  return `process ${pid} (${onOneLine(commandName(pid) ?? '')})`;
}
/** The process a thread is of; the thread's own number when it is gone. */
export function processIdOf(tid: number): number {
  return Number(statusLine(textOf(`/proc/${tid}/status`), 'Tgid') || tid);
}
/** Whose the entry of a process is: its user's, or root's when it is undumpable. */
export function ownerOf(pid: number): number | undefined {
  return unlessGone(() => statSync(`/proc/${pid}`))?.uid;
}
/** The threads of a process, those that have ended before it among them. */
export function threadsOf(pid: number): number[] {
  return namesIn(`/proc/${pid}/task`).map(Number);
}
/** Is a thread gone, or only there until its process is: a leader that ended by pthread_exit()? */
export function hasEnded(tid: number): boolean {
  return !/^[RSDTtI]/.test(statusLine(textOf(`/proc/${tid}/status`), 'State'));
}
/** Has a thread a seccomp filter besides the one of the run and those that we have ourselves? */
export function hasOwnFilter(tid: number): boolean {
  ourFilters ??= filtersOf('self');
  return filtersOf(tid) > ourFilters + 1;
}
let ourFilters: number | undefined;
function filtersOf(who: number | 'self'): number {
  return Number(statusLine(textOf(`/proc/${who}/status`), 'Seccomp_filters'));
}
/** A line of /proc/TID/status. */
export function statusLine(status: string, name: string): string {
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
}
/** Where the kernel has put 16 random bytes for the program a thread runs (AT_RANDOM). Undefined: we may not look, or it is gone. */
export function randomBytesAt(tid: number): bigint | undefined {
  const pairs = Buffer.from(textOf(`/proc/${tid}/auxv`), 'latin1');
  for (let at = 0; at + 16 <= pairs.length; at += 16) {
    if (pairs.readBigUInt64LE(at) === AT_RANDOM) return pairs.readBigUInt64LE(at + 8);
  }
  return undefined;
}

/** Every open descriptor, with the text of its link: what it is open on. */
export function* descriptorsOf(
  pid: number,
): Iterable<{ readonly fd: string; readonly link: string }> {
  for (const fd of namesIn(`/proc/${pid}/fd`)) {
    const link = readlink(`/proc/${pid}/fd/${fd}`);
    if (typeof link === 'string') yield { fd, link };
  }
}
/** Is a thread traced, by whomever? */
export function isTraced(tid: number): boolean {
  return tracerOf(tid) > 0;
}
/** What a process is called now; undefined: it is gone. */
export function commandName(pid: number): string | undefined {
  const text = textOf(`/proc/${pid}/comm`).trim();
  return text === '' ? undefined : text;
}
