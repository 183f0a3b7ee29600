/**
 * The mounts a thread sees, as /proc/TID/mountinfo tells them: read once, and again when the kernel says that they have changed.
 *
 * A program may have so many that reading them takes a second. An open mountinfo is of one namespace and one root
 * directory, and poll(2) tells whether anything was mounted or unmounted there since. Directories above a mount that are
 * renamed are not told: whoever sees a rename says so here. An open one also keeps its namespace, so it is closed when the
 * thread it was opened by is gone.
 */
import * as libc from './libc.ts';
import { lookAt } from './look.ts';
import { O_CLOEXEC, O_RDONLY } from './numbers.ts';
import { textOf } from './procfs.ts';

/** A line of mountinfo, as far as it is needed. */
export interface Mount {
  /** 'major:minor'. */
  readonly device: string;
  /** The directory of the file system that is mounted. */
  readonly root: string;
  readonly point: string;
  readonly type: string;
}

/** The lines of mountinfo. */
export function parseMounts(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const [, , device, root, point, ...rest] = line.split(' ');
    const type = rest[rest.indexOf('-') + 1];
    if (device === undefined || root === undefined || point === undefined || type === undefined) {
      continue;
    }
    mounts.push({ device, root: plain(root), point: plain(point), type });
  }
  return mounts;
}
/** Blanks and backslashes are written in octal. */
function plain(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\([0-7]{3})/g, (_all, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** The mounts of a namespace, seen from a root directory. */
export class MountTable {
  readonly mounts: readonly Mount[];
  /** By device, 'major:minor'. */
  readonly #types = new Map<string, string>();

  constructor(mounts: readonly Mount[]) {
    this.mounts = mounts;
    for (const { device, type } of mounts) {
      if (!this.#types.has(device)) this.#types.set(device, type);
    }
  }
  /** The file system of a device, if that is mounted. */
  typeOf(device: string): string | undefined {
    return this.#types.get(device);
  }
}

/** So many are kept; a run has one namespace, or a few. */
const MOST_KEPT = 8;
const CHANGED = 2 | 8; // POLLPRI | POLLERR

interface Kept {
  readonly tid: number;
  readonly fd: number;
  table: MountTable | undefined;
}
/** By namespace and root directory. */
const kept = new Map<string, Kept>();

/** What a thread has mounted where; empty when it is gone, or may not be looked at. */
export function mountsOf(tid: number): MountTable {
  closeEnded();
  const key = placeOf(tid);
  const known = key === undefined ? undefined : (kept.get(key) ?? keep(key, tid));
  if (!known) return tableOf(textOf(`/proc/${tid}/mountinfo`));
  // Before it is read: what comes between the two is told the next time.
  const changed = hasChanged(known.fd);
  if (changed || !known.table) known.table = tableOf(textIn(known.fd));
  return known.table;
}
/** A directory has another name, and so may what is mounted below it. */
export function mountsRenamed(): void {
  for (const each of kept.values()) each.table = undefined;
}
/** A thread has ended, or many have: nothing is kept for their sake. */
export function closeEnded(): void {
  for (const [key, { tid, fd }] of kept) {
    if (libc.exists(`/proc/${tid}`) && placeOf(tid) === key) continue;
    libc.close(fd);
    kept.delete(key);
  }
}

/** The type of the file system a device ('major:minor' in hex) stands for, where a process has it mounted, or else we. */
export function fileSystemOf(device: string, pid: number): string | undefined {
  const wanted = device
    .split(':')
    .map((hex) => Number.parseInt(hex, 16))
    .join(':');
  return mountsOf(pid).typeOf(wanted) ?? mountsOf(process.pid).typeOf(wanted);
}

/** The device, 'major:minor' in hex as a look at a file has it, of what a process has mounted at a path; undefined: nothing. */
export function deviceAt(path: string, pid: number): string | undefined {
  const { device } = mountsNow(pid).find(({ point }) => point === path) ?? {};
  return device
    ?.split(':')
    .map((number) => Number(number).toString(16).padStart(2, '0'))
    .join(':');
}
/** Is anything mounted at a path or below it, for all we can see? */
export function hasMounts(path: string): boolean {
  const mounts = mountsNow('self');
  return (
    mounts.length === 0 ||
    mounts.some(({ point }) => point === path || point.startsWith(`${path}/`))
  );
}
/** The types of the file systems that are mounted at the folders above a path of ours, the innermost last. */
export function mountTypesOn(path: string): string[] {
  return mountsNow('self')
    .filter(({ point }) => path.startsWith(point.endsWith('/') ? point : `${point}/`))
    .sort((a, b) => a.point.length - b.point.length)
    .map(({ type }) => type);
}
/** Of a process that is asked once. */
function mountsNow(pid: number | 'self'): Mount[] {
  return parseMounts(textOf(`/proc/${pid}/mountinfo`));
}

function placeOf(tid: number): string | undefined {
  const namespace = libc.readlink(`/proc/${tid}/ns/mnt`);
  const root = lookAt(`/proc/${tid}/root`);
  return typeof namespace === 'string' && root ? `${namespace} ${root.file}` : undefined;
}
function keep(key: string, tid: number): Kept | undefined {
  const fd = libc.open(`/proc/${tid}/mountinfo`, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return undefined;
  // The thread may have gone elsewhere between the two.
  if (placeOf(tid) !== key) {
    libc.close(fd);
    return undefined;
  }
  for (const [oldest, { fd: old }] of kept) {
    if (kept.size < MOST_KEPT) break;
    libc.close(old);
    kept.delete(oldest);
  }
  const made: Kept = { tid, fd, table: undefined };
  kept.set(key, made);
  return made;
}
function hasChanged(fd: number): boolean {
  const found = libc.poll(fd, libc.POLLIN);
  return found < 0 || (found & CHANGED) !== 0;
}
function tableOf(text: string): MountTable {
  return new MountTable(parseMounts(text));
}
const chunk = Buffer.alloc(1 << 18);
/** From the beginning. */
function textIn(fd: number): string {
  const parts: string[] = [];
  libc.rewind(fd);
  for (let got = libc.read(fd, chunk); got > 0; got = libc.read(fd, chunk)) {
    parts.push(chunk.toString('latin1', 0, got));
  }
  return parts.join('');
}
