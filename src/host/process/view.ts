/**
 * Where a thread stands: its root directory and its mounts decide whether /dev and /sys are what the simulated tree is laid
 * over, or something else of the same name.
 *
 * Told from text in /proc alone; nothing of the host is looked at. A directory is known by its file system and its place
 * in it, which a bind mount keeps.
 */
import * as libc from '../sys/libc.ts';
import { mountsOf, type Mount } from '../sys/mounts.ts';

/** Which directory a path is, whatever it is called; undefined: nothing is mounted there that is seen. */
export function identityOf(mounts: readonly Mount[], path: string): string | undefined {
  const mount = mountOf(mounts, path);
  if (!mount) return undefined;
  const { device, root, point, type } = mount;
  const inside = `${root}/${path.slice(point.length)}`.replace(/\/+/g, '/').replace(/(.)\/$/, '$1');
  return IS_ONE.has(type) ? `${type} ${inside}` : `${device} ${inside}`;
}
function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  return mounts
    .filter(({ point }) => isBelow(path, point))
    .reduce<Mount | undefined>(deeper, undefined);
}
/** The same wherever it is mounted, with an instance for each network namespace, or each namespace of processes. */
const IS_ONE: ReadonlySet<string> = new Set(['sysfs', 'proc']);
/** Mounts are in no order of depth; of two at one place the later covers the earlier. */
function deeper(one: Mount | undefined, other: Mount): Mount {
  return one && one.point.length > other.point.length ? one : other;
}
function isBelow(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`);
}

/** Where a thread's absolute paths begin. */
export interface ThreadView {
  /** As we see it. */
  readonly root: string;
  /** It has the root directory and the mount namespace of the run. */
  readonly isInside: boolean;
  /** Is what this thread has at this place what the tree is laid over? An absolute path without dots. */
  shows(path: string): boolean;
}

/** The views of the threads of a run. */
export class Views {
  readonly #namespace: string | number;
  readonly #devices = new Map<string, { major: number; minor: number }>();
  /** As they were when the program began. */
  readonly #first: readonly Mount[];
  /** Nothing is taken to be as it was. */
  #changed = false;

  /** `first`: a thread that sees the tree where it is, as the program does when it starts. */
  constructor(first: number) {
    this.#namespace = libc.readlink(`/proc/${first}/ns/mnt`);
    this.#first = mountsOf(first).mounts;
  }

  /** Of the file system that the tree is laid over at a path: what is simulated seems to be on it. */
  deviceOf(path: string): { readonly major: number; readonly minor: number } | undefined {
    const top = path.split('/', 2).join('/');
    const known = this.#devices.get(top);
    if (known) return known;
    const device = mountOf(this.#first, top)?.device.split(':').map(Number);
    if (!device) return undefined;
    const numbers = { major: device[0]!, minor: device[1]! };
    this.#devices.set(top, numbers);
    return numbers;
  }
  /** A program is about to change mounts, or its root directory. */
  mountsChange(): void {
    this.#changed = true;
  }

  /** Has no program of the run mounted anything, or changed its root directory? */
  get areAsAtFirst(): boolean {
    return !this.#changed;
  }
  of(tid: number): ThreadView {
    const root = libc.readlink(`/proc/${tid}/root`);
    const namespace = libc.readlink(`/proc/${tid}/ns/mnt`);
    // What may not be looked into is taken to be as it was.
    if (typeof root === 'number') return USUAL;
    const isInside = root === '/' && namespace === this.#namespace;
    if (isInside && !this.#changed) return USUAL;
    const { mounts } = mountsOf(tid);
    const own = this.#first;
    return {
      ...{ root, isInside },
      shows: (path) => {
        const theirs = identityOf(mounts, path);
        return theirs !== undefined && theirs === identityOf(own, path);
      },
    };
  }
}

const USUAL: ThreadView = { root: '/', isInside: true, shows: () => true };

/** A path as we see it, as a thread with this root does. Undefined: it cannot be named there. */
export function seenFrom(root: string, path: string): string | undefined {
  if (root === '/') return path;
  if (path === root) return '/';
  return path.startsWith(`${root}/`) ? path.slice(root.length) : undefined;
}
