/** What /proc tells of processes. One that is gone, or none of ours to look into, has nothing to tell. */
import { readdirSync, readFileSync } from 'node:fs';
import { readlink } from './libc.ts';

/** A file's text; empty when what it speaks of is gone, or this kernel has no such file. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
/** What a directory has; nothing when it is gone. */
export function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
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
  const stat = textOf(`/proc/${pid}/stat`);
  // The name in brackets may hold anything, brackets too.
  const parent = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
  return parent === undefined ? undefined : Number(parent);
}
/** The process that traces a thread; 0: none, or none that can be seen from here. */
export function tracerOf(tid: number): number {
  return Number(/^TracerPid:\s*(\d+)/m.exec(textOf(`/proc/${tid}/status`))?.[1] ?? 0);
}
/** A process in words, for a line to the user. */
export function nameOf(pid: number): string {
  return `process ${pid} (${textOf(`/proc/${pid}/comm`).trim()})`;
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
  return /^TracerPid:\s*[1-9]/m.test(textOf(`/proc/${tid}/status`));
}
