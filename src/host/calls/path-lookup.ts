/**
 * Where a path of a program leads: into the simulated tree, or to the host.
 *
 * A path begins at the caller's root directory, its current one or a descriptor, of which /proc tells the name. Nothing of
 * the host is looked at: what the host's own kernel comes to by itself is left to it, and what leads out of the tree by a
 * way only we know is named for the caller to go there itself.
 */
import { posix } from 'node:path';
import { isErrno, type Errno } from '../../base/errno.ts';
import type { DirNode } from '../../machine/files/nodes.ts';
import { KERNEL, type Cred } from '../../machine/files/rights.ts';
import {
  join,
  type Bounds,
  type NodePlace,
  type Place,
  type Vfs,
} from '../../machine/files/vfs.ts';
import type { Processes } from '../process/processes.ts';
import { seenFrom, type ThreadView, type Views } from '../process/view.ts';
import { mountsRenamed } from '../sys/mounts.ts';
import type { InThread } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import { AT_FDCWD, HOST_ERRNO, O_ACCMODE, O_CLOEXEC, O_PATH } from '../sys/numbers.ts';
import * as libc from '../sys/libc.ts';
import type { TreeBackend } from '../tree/tree-backend.ts';
import type { CallContext } from './call-context.ts';
import { hasDots, HostLinks, type Led } from './host-links.ts';
import {
  isBound,
  isPlain,
  isCreating,
  isMakingDirectory,
  isTemporary,
  type PathCall,
} from './path-calls.ts';
import { neededInMount } from './path-questions.ts';
import { procPath, throughMagic } from './proc-paths.ts';

/** 'continue': the host's kernel gets there by itself. A number is minus an errno. */
export type Found = Place | Errno | number | 'continue';

/** It is in the tree, or would be. */
export function isInTree(found: Found): boolean {
  return isErrno(found) || (typeof found === 'object' && found.kind === 'node');
}

/** Where a path begins. */
interface Start {
  /** What the path is relative to, in the words of the tree; '/' of an absolute one. */
  readonly directory: string;
  /** The rest of it. */
  readonly rest: string;
  /** It begins in a directory that is ours alone. */
  readonly ours: boolean;
  /** Whose root and mounts count. */
  readonly tid: number;
}

/** What the flags ask of something in the tree that is refused wherever it is; undefined: nothing. */
function problemOf(what: PathCall, place: Place | Errno): number | undefined {
  if (!isErrno(place) && place.kind === 'host') return undefined;
  if (what.kind === 'open' && isMakingDirectory(what.flags)) return -HOST_ERRNO.EINVAL;
  const toRead = (what.flags & O_ACCMODE) === 0;
  if (what.kind === 'open' && isTemporary(what.flags) && toRead) return -HOST_ERRNO.EINVAL;
  return what.cached && !isErrno(place) ? -HOST_ERRNO.EAGAIN : undefined;
}

/** Links in there are the kernel's, and libraries are not looked for by links into the tree. */
const OF_KERNEL = /^\/+(sys|proc|lib)(\/|$)/;
const DESCRIPTORS_IN_DEV = /^\/+dev\/+fd\/+/;
/** What a relative path has that goes through a link of a process in /proc. */
const PERHAPS_MAGIC = /(^|\/)(cwd|root|\d+)\//;

export class PathLookup {
  readonly #vfs: Vfs;
  readonly #syscalls: CallContext['machine']['syscalls'];
  readonly #tree: TreeBackend;
  readonly #processes: Processes;
  readonly #views: Views;
  readonly #links = new HostLinks();
  /** Every way into the tree matches it. */
  readonly #mayConcern: RegExp;

  constructor({ machine, processes }: CallContext, tree: TreeBackend, views: Views) {
    const { vfs } = machine;
    this.#vfs = vfs;
    this.#syscalls = machine.syscalls;
    this.#views = views;
    const tops = [...vfs.root.entries()].map(([name]) => name).join('|');
    this.#mayConcern = new RegExp(`/(${tops}|\\.\\.)(/|$)`);
    this.#tree = tree;
    this.#processes = processes;
  }

  /** Where the path of a call leads. */
  find(call: Notification, what: PathCall, path: string, cred: Cred): Found {
    // An open that comes to no file of ours is told all the same, be it the mount that answers it.
    return this.#find(call, what, { path, cred }, (whole, errno, again) =>
      what.kind === 'open' ? this.openRefused(call, plain(whole), errno, again) : errno,
    );
  }
  #find(
    call: Notification,
    what: PathCall,
    { path, cred }: { readonly path: string; readonly cred: Cred },
    refused: (whole: string, errno: Errno, again: () => unknown) => Errno = (_whole, errno) =>
      errno,
  ): Found {
    const start = this.#startOf(call, what, path);
    if (!start) return 'continue';
    const whole = treeName(join(start.directory, start.rest));
    if (!start.ours && !this.#tree.concerns(whole)) return 'continue';
    const place = this.#resolve(what, start, { whole, cred });
    const again = () => this.#resolve(what, start, { whole: plain(whole), cred });
    if (place === 'outside') return 'continue';
    const isMounts = this.#isMountsAffair(start, whole, place);
    if (!isMounts && !start.ours && this.#isHosts(start, whole, place)) return 'continue';
    const found = isErrno(place) ? refused(whole, place, again) : place;
    return isMounts ? 'continue' : (problemOf(what, found) ?? found);
  }
  /** What is told of an open that is refused; the errno as it was given. */
  openRefused({ tid }: Notification, path: string, errno: Errno, again: () => unknown): Errno {
    return this.#syscalls.openRefused(this.#processes.taskOf(tid), path, errno, again);
  }
  #resolve(
    what: PathCall,
    start: Start,
    { whole, cred }: { whole: string; cred: Cred },
  ): Place | Errno | 'outside' {
    const from = boundsFrom(what, start, this.#tree);
    if (from === 'outside') return from;
    return this.#vfs.resolve(from?.isStart === true ? start.rest : whole, {
      cred,
      follow: what.follow,
      create: what.kind === 'open' && isCreating(what.flags),
      isHosts: (directory) => this.#tree.isHosts(directory),
      ...(from && { from }),
    });
  }
  /** The kernel says itself why nothing is in a mount, and finds the way out of it. */
  #isMountsAffair({ ours, directory }: Start, whole: string, place: Place | Errno): boolean {
    const tree = this.#tree;
    if (isErrno(place)) return tree.isMounted(posix.normalize(whole));
    return tree.native && place.kind === 'host' && !(ours && !tree.isMounted(directory));
  }
  /** A path that began at the host's stays there, or the caller has something else in that place than the tree. */
  #isHosts({ tid }: Start, whole: string, place: Place | Errno): boolean {
    if (isErrno(place)) return !this.#showsTo(tid, whole);
    if (place.kind === 'host') return place.direct;
    // Something may be mounted at either end of a link.
    return !this.#showsTo(tid, whole) || !this.#showsTo(tid, place.path);
  }

  /** With mounts: the kernel finds it by itself, or would come by a stand-in, which is outside of them, to where the caller cannot. */
  isMountsOwn(
    { tid }: Notification,
    what: PathCall,
    { place, path }: { readonly place: Found; readonly path: string },
  ): boolean {
    if (!this.#tree.native || typeof place !== 'object' || isErrno(place)) return false;
    if (this.#tree.isMounted(place.path) && !neededInMount(what, place, path)) return true;
    return place.kind === 'node' && place.node.kind === 'dir' && !this.#view(tid).isInside;
  }

  /** Where the links of the host on a path lead, if that is the tree and its kernel does not come there by itself. */
  lead(call: Notification, what: PathCall, path: string, cred: Cred): Led | undefined {
    const led = this.#byLinks(call, what, path);
    const place = led && this.#find(call, { ...what, dirFd: AT_FDCWD }, { path: led.path, cred });
    if (!led || place === undefined || place === 'continue') return undefined;
    const isHosts = typeof place === 'object' && !isErrno(place) && place.kind === 'host';
    return isHosts || this.isMountsOwn(call, what, { place, path: led.path }) ? undefined : led;
  }
  /** With bounds the kernel's own answer is right. */
  #byLinks(call: Notification, what: PathCall, whole: string): Led | undefined {
    if (what.cached === true || isBound(what)) return undefined;
    const through = isPlain(what) ? undefined : this.#throughLink(call, what, whole);
    const path = through?.rest ?? whole;
    const base = through ? this.#hostsBase(call, through.base) : this.#baseOnHost(call, what, path);
    if (base === undefined) return undefined;
    const { tid } = call;
    const concerns = (at: string): boolean => this.#tree.concerns(at);
    const walker = { tid, root: undefined, follow: what.follow, base, concerns };
    if (this.#views.areAsAtFirst) return this.#links.lead(path, walker);
    const root = libc.open(`/proc/${tid}/root`, O_PATH | O_CLOEXEC);
    if (root < 0) return undefined;
    const led = this.#links.lead(path, { ...walker, root });
    libc.close(root);
    return led;
  }
  /** Where a path begins. Undefined: in the tree, or nothing can be said of it. */
  #baseOnHost(call: Notification, what: PathCall, path: string): string | undefined {
    if (path.startsWith('/')) return OF_KERNEL.test(path) && !hasDots(path) ? undefined : '/';
    return this.#hostsBase(call, this.baseOf(call, what.dirFd));
  }
  #hostsBase({ tid }: Notification, link: string | undefined): string | undefined {
    if (link?.startsWith('/') !== true || this.#tree.virtualPath(link) !== undefined)
      return undefined;
    const base = seenFrom(this.#view(tid).root, link) ?? link;
    return OF_KERNEL.test(`${base}/`) ? undefined : base;
  }
  /** The thread is made to follow the links itself; undefined: it has. */
  follow(call: Notification, led: readonly (Led | undefined)[]): InThread | undefined {
    return this.#links.follow(call, led);
  }
  /** A program is about to change mounts, or its root directory. */
  mountsChange(): void {
    this.#views.mountsChange();
    this.#links.mountsChange();
  }

  /** A program is about to rename something, be it a directory with mounts below. */
  moves(): void {
    mountsRenamed();
  }

  /** What a descriptor, or a thread's current directory, stands for in the tree. Undefined: nothing of it. */
  placeOf(tid: number, link: string): NodePlace | undefined {
    const place = this.#placeNamed(this.virtualOf(tid, link));
    return place?.kind === 'node' ? place : undefined;
  }
  /** The entries of ours in a directory, be it the host's as well. */
  directoryAt(path: string): { readonly path: string; readonly node: DirNode } | undefined {
    const place = this.#vfs.resolve(path, { cred: KERNEL });
    if (isErrno(place) || place.kind === 'host' || place.node.kind !== 'dir') return undefined;
    return { path, node: place.node };
  }
  #placeNamed(path: string | undefined): NodePlace | undefined {
    if (path === undefined) return undefined;
    const isHosts = (directory: string): boolean => this.#tree.isHosts(directory);
    const place = this.#vfs.resolve(path, { cred: KERNEL, follow: false, isHosts });
    return isErrno(place) || place.kind === 'host' ? undefined : place;
  }
  /** The path in the tree that a directory or file, seen from here, stands for; undefined: it is outside. */
  virtualOf(tid: number, link: string): string | undefined {
    const virtual = this.#tree.virtualPath(link);
    if (virtual !== undefined) return virtual;
    if (!this.#mayConcern.test(link)) return undefined;
    const { root } = this.#view(tid);
    const seen = treeName(seenFrom(root, link) ?? link);
    return this.#tree.concerns(seen) && this.#showsTo(tid, seen) ? seen : undefined;
  }
  /** The text of the link that a descriptor of a thread is, or of its current directory. */
  baseOf({ tid }: Notification, dirFd: number): string | undefined {
    const where = dirFd === AT_FDCWD ? 'cwd' : `fd/${dirFd}`;
    const base = libc.readlink(`/proc/${tid}/${where}`);
    return typeof base === 'number' ? undefined : base;
  }

  #startOf(call: Notification, what: PathCall, path: string): Start | undefined {
    // The kernel refuses these links before it comes to what they lead to.
    const through = isPlain(what) ? undefined : this.#throughLink(call, what, path);
    if (through) return this.#relativeTo(through.tid, through.base, through.rest);
    const { inRoot } = what.bounds ?? {};
    const { tid } = call;
    if (path.startsWith('/') && !inRoot) {
      const virtual = this.#standInOf(path);
      if (virtual !== undefined) return { directory: '/', rest: virtual, ours: true, tid };
      return { directory: '/', rest: path, ours: false, tid };
    }
    const base = this.baseOf(call, what.dirFd);
    return base === undefined ? undefined : this.#relativeTo(tid, base, path);
  }
  /** What is in a mount of ours the caller may have something else in the place of. */
  #standInOf(path: string): string | undefined {
    return this.#tree.isMounted(path) ? undefined : this.#tree.virtualPath(path);
  }
  #relativeTo(tid: number, base: string, rest: string): Start | undefined {
    const virtual = this.#standInOf(base);
    if (virtual !== undefined) return { directory: virtual, rest, ours: true, tid };
    if (!this.#mayConcern.test(join(base, rest))) return undefined;
    const directory = seenFrom(this.#view(tid).root, base) ?? base;
    return { directory, rest, ours: false, tid };
  }
  /** Of a process the caller may look at: the kernel would go into what only stands for a directory of the tree. */
  #throughLink(
    call: Notification,
    what: PathCall,
    path: string,
  ): { tid: number; base: string; rest: string } | undefined {
    const { tid } = call;
    const through = throughMagic(this.#fromProc(call, what, path));
    const found = through && procPath(through.link, tid, this.#processes);
    if (!found || !this.#processes.mayLook(tid, found.tid)) return undefined;
    const base = libc.readlink(`/proc/${found.tid}/${found.what}`);
    return typeof base === 'number' ? undefined : { tid: found.tid, base, rest: through.rest };
  }
  /** A path by which such a link may be reached, as an absolute one; '': none. */
  #fromProc(call: Notification, what: PathCall, path: string): string {
    if (path.startsWith('/')) return path.replace(DESCRIPTORS_IN_DEV, '/proc/self/fd/');
    if (!PERHAPS_MAGIC.test(path)) return '';
    const base = this.baseOf(call, what.dirFd);
    return base !== undefined && /^\/proc(\/|$)/.test(base) ? `${base}/${path}` : '';
  }

  #view(tid: number): ThreadView {
    return this.#views.of(tid);
  }
  /** Is what the caller has at that place what the tree is laid over? */
  #showsTo(tid: number, path: string): boolean {
    return this.#view(tid).shows(plain(path));
  }
}

function plain(path: string): string {
  return posix.normalize(path).replace(/^\/+/, '/');
}
/** Where /lib is a link, its directories have two names. */
function treeName(path: string): string {
  return path.replace(/^\/+usr(?=\/+lib\/+modules(\/|$))/, '');
}

function boundsFrom(
  { bounds }: PathCall,
  { directory }: Start,
  tree: TreeBackend,
): { directory: string; bounds: Bounds; isStart: boolean } | 'outside' | undefined {
  if (!bounds || !isBound({ bounds })) return undefined;
  if (directory === '/' || tree.concerns(directory)) return { directory, bounds, isStart: true };
  const leaves = bounds.beneath === true || bounds.inRoot === true;
  return leaves ? 'outside' : { directory: '/', bounds, isStart: false };
}
