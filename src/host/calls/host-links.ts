/**
 * Links of the host that lead into the tree, such as one a program has made in /tmp: the host's kernel would follow them to
 * the host's own /sys or /dev.
 *
 * Two looks, of which the first decides nothing but that there is a second. Ours asks the kernel's cache of names whether a
 * link is on the way (RESOLVE_CACHED, which waits for nobody and changes nothing), and where it leads by its text. Leads that
 * into the tree, the thread itself is made to follow each of the links, with its own rights, and makes its call again; then
 * the path goes on in the tree. Whoever may not follow them makes the call as it stands.
 */
import { posix } from 'node:path';
import { syscall } from '../sys/ffi.ts';
import * as libc from '../sys/libc.ts';
import { lookAt } from '../sys/look.ts';
import { fileSystemOf } from '../sys/mounts.ts';
import {
  AT_FDCWD,
  ERESTARTNOINTR,
  HOST_ERRNO,
  NR,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
} from '../sys/numbers.ts';
import { own, withTexts, type InjectedCall, type InThread } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';

/** struct open_how */
const HOW_SIZE = 24;
const RESOLVE = { noSymlinks: 4, inRoot: 16, cached: 32 } as const;
const NAMED = O_PATH | O_CLOEXEC;
const PATH_MAX = 4096;
/** MAXSYMLINKS */
const MOST_LINKS = 40;
const STAT_SIZE = 144;
/** Calls of six arguments, which cannot be made with a mark of ours: they have the errno of the way. */
const WITHOUT_ROOM: ReadonlySet<number> = new Set([NR.setxattrat, NR.getxattrat]);
const NO_NAME = Buffer.alloc(1);
/** Nothing can be said of it. */
const NOTHING = -1;
/**
 * File systems whose names can be looked up, and whose links can be read, without waiting for a program, a server or an
 * automounter.
 */
const LOCAL: ReadonlySet<string> = new Set([
  ...['bcachefs', 'btrfs', 'devtmpfs', 'erofs', 'exfat', 'ext2', 'ext3', 'ext4', 'f2fs', 'iso9660'],
  ...['overlay', 'ramfs', 'rootfs', 'squashfs', 'tmpfs', 'vfat', 'xfs', 'zfs'],
]);

/** A path without the links and the `..` that led to the tree. */
export interface Led {
  /** Absolute, as the caller sees it. */
  readonly path: string;
  /**
   * What the thread has to get through itself: links that were followed, each an absolute path without links before its last
   * component, and directories that were left again, with `/..` behind them.
   */
  readonly ways: readonly string[];
}
/** Whose path it is. */
export interface Walker {
  readonly tid: number;
  /** Where its absolute paths begin, as an absolute path; undefined: where ours do. */
  readonly root: number | undefined;
  /** Follow a link that is the last component. */
  readonly follow: boolean;
  /** Where a relative path begins: an absolute path without links, as the kernel tells it. */
  readonly base: string;
  /** Is a path of the tree, by its first name? */
  concerns(path: string): boolean;
}

/** Where a walk along a path has come to, and what it went through. */
class Trail {
  here: string;
  links = 0;
  readonly ways: string[] = [];
  /** The kernel has told it, or everybody has it: nothing of the path is before it. */
  #known: string;
  /** There was neither a link nor `..`. */
  #isAsWritten = true;
  /** Names where it has come to: from there a step is one name, however deep that is. */
  #fd: number | undefined;

  constructor(start: string) {
    this.here = this.#known = start;
  }
  /** Undefined: as the path says itself. */
  ledTo(path: string): Led | undefined {
    return this.#isAsWritten ? undefined : { path, ways: this.ways };
  }
  /** A descriptor of where it has come to, or minus an errno. */
  at(walker: Walker): number {
    if (this.#fd !== undefined) return this.#fd;
    const fd = look(this.here, walker, O_NOFOLLOW, RESOLVE.cached);
    if (fd >= 0) this.#fd = fd;
    return fd;
  }
  /** One name further, which `fd` is open on. */
  on(path: string, fd: number): void {
    this.close();
    this.here = path;
    this.#fd = fd;
  }
  close(): void {
    if (this.#fd !== undefined) libc.close(this.#fd);
    this.#fd = undefined;
  }
  up(): void {
    this.#isAsWritten = false;
    this.close();
    if (this.here === this.#known) this.#known = posix.dirname(this.#known);
    else this.ways.push(`${this.here}/..`);
    this.here = posix.dirname(this.here);
  }
  /** False: these are too many. */
  follow(link: string, target: string): boolean {
    this.#isAsWritten = false;
    this.ways.push(link);
    if (target.startsWith('/')) {
      this.close();
      this.here = this.#known = '/';
    }
    return ++this.links <= MOST_LINKS;
  }
}

/** The links on the paths of a run's programs. */
export class HostLinks {
  /** By device: is it a local file system? */
  readonly #local = new Map<string, boolean>();
  /** What a thread has followed just now; the same call comes again. */
  readonly #followed = new Map<number, string>();

  /**
   * Where a path leads by its links and `..`, if that is or may be the tree. Links in the host's own /sys are the host's.
   * What has neither leads where it says.
   */
  lead(path: string, walker: Walker): Led | undefined {
    if (hasDots(path)) return this.#walk(path, walker);
    const whole = path.startsWith('/') ? path : posix.join(walker.base, path);
    const found = look(whole, walker, walker.follow ? 0 : O_NOFOLLOW, RESOLVE.cached);
    if (found >= 0) libc.close(found);
    if (found !== -HOST_ERRNO.ELOOP && found !== -HOST_ERRNO.EAGAIN) return undefined;
    return this.#walk(path, walker);
  }

  /** Undefined: the thread has followed these links, and the path may go on where they lead. */
  follow(call: Notification, led: readonly (Led | undefined)[]): InThread | undefined {
    const ways = led.flatMap((each) => each?.ways ?? []);
    if (ways.length === 0) return undefined;
    const { tid } = call;
    const key = ways.join('\0');
    const followed = this.#followed.get(tid);
    this.#followed.delete(tid);
    if (followed === key) return undefined;
    const done = (): void => void this.#followed.set(tid, key);
    return {
      *run() {
        for (const way of ways) {
          const rc = yield* going(tid, way);
          if (rc < 0) {
            if (WITHOUT_ROOM.has(call.nr)) return rc;
            return yield* own(
              call.nr,
              [0, 1, 2, 3, 4].map((n) => call.arg(n)),
            );
          }
        }
        done();
        return -ERESTARTNOINTR;
      },
      otherwise: () => 'continue',
    };
  }

  #walk(path: string, walker: Walker): Led | undefined {
    const trail = new Trail(path.startsWith('/') ? '/' : walker.base);
    const led = this.#along(trail, path, walker);
    trail.close();
    return led;
  }
  #along(trail: Trail, path: string, walker: Walker): Led | undefined {
    const todo = namesOf(path).reverse();
    const end = path.endsWith('/') ? '/' : '';
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (name === '..') {
        trail.up();
        continue;
      }
      const next = trail.here === '/' ? `/${name}` : `${trail.here}/${name}`;
      if (isEnd(next, trail.links, walker)) {
        return trail.ledTo([next, ...todo.reverse()].join('/') + end);
      }
      const isLast = todo.length === 0 && end === '';
      if (isLast && !walker.follow) return undefined;
      const target = this.#step(trail, { name, next }, walker);
      if (typeof target === 'number') return undefined;
      if (target === undefined) continue;
      if (!trail.follow(next, target)) return undefined;
      todo.push(...namesOf(target).reverse());
    }
    return undefined;
  }
  /**
   * The text of a link; undefined: something else, on which the trail is then; minus an errno: nothing, or what nobody can
   * say at once.
   */
  #step(
    trail: Trail,
    { name, next }: { name: string; next: string },
    walker: Walker,
  ): string | undefined | number {
    const at = trail.at(walker);
    if (at < 0) return at;
    // Most are directories, and known by one call.
    const directory = lookFrom(at, name, O_DIRECTORY, RESOLVE.cached);
    if (directory >= 0) trail.on(next, directory);
    if (directory >= 0) return undefined;
    let fd = lookFrom(at, name, O_NOFOLLOW, RESOLVE.cached);
    if (fd === -HOST_ERRNO.EAGAIN && this.#isLocal(at, walker)) {
      fd = lookFrom(at, name, O_NOFOLLOW, 0);
    }
    if (fd < 0) return fd;
    const seen = lookAt(`/proc/self/fd/${fd}`);
    if (seen?.isLink !== true) {
      trail.on(next, fd);
      return undefined;
    }
    const target = this.#isLocalDevice(seen.device, walker) ? textOf(fd) : NOTHING;
    libc.close(fd);
    return target;
  }
  #isLocal(fd: number, walker: Walker): boolean {
    const seen = lookAt(`/proc/self/fd/${fd}`);
    return seen !== undefined && this.#isLocalDevice(seen.device, walker);
  }
  #isLocalDevice(device: string, { tid }: Walker): boolean {
    const known = this.#local.get(device);
    if (known !== undefined) return known;
    const isLocal = LOCAL.has(fileSystemOf(device, tid) ?? '');
    this.#local.set(device, isLocal);
    return isLocal;
  }
  /** A program has mounted something: a number may mean another file system. */
  mountsChange(): void {
    this.#local.clear();
  }
}

const how = Buffer.alloc(HOW_SIZE);
const name = Buffer.alloc(PATH_MAX + 1);
/** A descriptor that only names what is there when no link is on the way, or minus an errno. */
function look(path: string, { root }: Walker, flags: number, resolve: number): number {
  const within = root === undefined ? 0 : RESOLVE.inRoot;
  return lookFrom(root ?? AT_FDCWD, path, flags, within | resolve);
}
function lookFrom(directory: number, path: string, flags: number, resolve: number): number {
  how.writeBigUInt64LE(BigInt(NAMED | flags), 0);
  how.writeBigUInt64LE(BigInt(RESOLVE.noSymlinks | resolve), 16);
  if (path.length >= PATH_MAX) return -HOST_ERRNO.ENAMETOOLONG;
  name[name.write(path, 'latin1')] = 0;
  return syscall(NR.openat2, directory, name, how, HOW_SIZE);
}

const link = Buffer.alloc(PATH_MAX);
/** The text of the link a descriptor names, or minus an errno. */
function textOf(fd: number): string | number {
  const length = syscall(NR.readlinkat, fd, NO_NAME, link, link.length);
  return length < 0 ? length : link.toString('latin1', 0, length);
}
/** Is a component of it `..`? */
export function hasDots(path: string): boolean {
  return /(^|\/)\.\.(\/|$)/.test(path);
}
function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}
/** In /dev are links that people have made, of udev and others. */
function isEnd(path: string, links: number, walker: Walker): boolean {
  return (links > 0 || path !== '/dev') && walker.concerns(path);
}

/**
 * Nothing may be behind a link, for the host has less than the tree; but it may not be forbidden to go there. A directory
 * that is left again has to be there.
 */
function* going(tid: number, way: string): Generator<InjectedCall, number, number> {
  const text = Buffer.concat([Buffer.alloc(STAT_SIZE), Buffer.from(`${way}\0`, 'latin1')]);
  const rc = yield* withTexts(tid, [text], ([at]) => own(NR.stat, [at! + BigInt(STAT_SIZE), at!]));
  const isNothing = rc === -HOST_ERRNO.ENOENT || rc === -HOST_ERRNO.ENOTDIR;
  return isNothing && !way.endsWith('/..') ? 0 : rc;
}
