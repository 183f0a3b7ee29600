/**
 * Paths and open(2) over the simulated tree, for every front door alike: programs inside the library, path traps, FUSE.
 *
 * A path is resolved as path_resolution(7) tells, over directories that may be merged with those of a host: a name that is
 * in no simulated directory leads there, and the host's path is handed back. What is opened is decided here; the doors do it.
 */
import {
  EACCES,
  EEXIST,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
  EXDEV,
  isErrno,
  type Errno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { Bug } from '../../base/bug.ts';
import { refuse } from '../../base/refuse.ts';
import { CAP_CHOWN, CAP_FOWNER } from '../../base/task.ts';
import type { AttrNode, DeviceNode, DirNode, LinkNode, Node } from './nodes.ts';
import {
  MAY_EXEC,
  MAY_READ,
  MAY_WRITE,
  isPermitted,
  permission,
  type Attributes,
  type Cred,
} from './rights.ts';

/** Whose the nodes are that do not say it themselves. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}
/** Of a machine whose tree nobody but its root has made. */
export const ROOT_OWNER: Owner = { uid: 0, gid: 0 };

/** A node and where it is: absolute, without links, which is what realpath says. */
export interface NodePlace<N extends Node = Node> {
  readonly kind: 'node';
  readonly node: N;
  readonly path: string;
}
/**
 * A path of the host; `direct` when nothing simulated was on the way, no link and no directory of ours alone, so that the
 * host's kernel comes to the same place by itself. What follows a name of the host's is left to it, as it was written.
 */
export interface HostPlace {
  readonly kind: 'host';
  readonly path: string;
  readonly direct: boolean;
}
export type Place = NodePlace | HostPlace;

/** How a path is resolved. */
export interface Resolve {
  /** Whose search permission counts on the way. */
  readonly cred: Cred;
  /** Follow a link that is the last component. Default: yes. */
  readonly follow?: boolean;
  /** What is not there is about to be made: it is refused otherwise then. */
  readonly create?: boolean;
  /** Is this merged directory one of the host's as well? Then it is the host's. Default: no, all are ours. */
  readonly isHosts?: (path: string) => boolean;
  /** The path is resolved from there, an absolute directory without links; how far away from it, openat2(2) says. */
  readonly from?: { readonly directory: string; readonly bounds: Bounds };
}
/** RESOLVE_ flags of openat2(2). */
export interface Bounds {
  /** RESOLVE_BENEATH: out of the directory is EXDEV. */
  readonly beneath?: boolean;
  /** RESOLVE_IN_ROOT: the directory is the root. */
  readonly inRoot?: boolean;
  /** RESOLVE_NO_SYMLINKS: a link is ELOOP. */
  readonly noLinks?: boolean;
  /** RESOLVE_NO_XDEV: from one file system to another is EXDEV. */
  readonly noCrossing?: boolean;
}

/** The flags of open(2), as far as they decide anything here. */
export interface OpenHow {
  readonly read: boolean;
  readonly write: boolean;
  /** Access mode 3: it takes both rights, and gives neither; such a file is for ioctl(2) alone. */
  readonly neither?: boolean;
  /** O_CREAT */
  readonly create?: boolean;
  /** O_EXCL */
  readonly exclusive?: boolean;
  /** O_TRUNC: asks for the right to write, whatever the file is opened for. */
  readonly truncate?: boolean;
  /** O_DIRECTORY */
  readonly directory?: boolean;
}
/** What can be opened to read or write. */
export type OpenNode = DirNode | AttrNode | DeviceNode;

type ResolveErrno = 'ENOENT' | 'ENOTDIR' | 'ELOOP' | 'EACCES' | 'EISDIR' | 'EXDEV';
type OpenErrno = 'EEXIST' | 'EISDIR' | 'ENOTDIR' | 'ELOOP' | 'EACCES';

/** MAXSYMLINKS */
const MAX_LINKS = 40;

const NO_DIRECTORIES = 'open makes no directories';

export class Vfs {
  readonly root: DirNode;
  readonly owner: Owner;
  /** By path: what was changed of nodes, which are made anew at every look. */
  readonly #changed = new Map<string, Change>();

  constructor(root: DirNode, owner: Owner = ROOT_OWNER) {
    this.root = root;
    this.owner = owner;
  }

  /** Of a node as stat(2) shows it. */
  attributes(node: Node, path: string): Attributes {
    const { uid = this.owner.uid, gid = this.owner.gid } = node;
    const own = { uid, gid, mode: modeOf(node), isDirectory: node.kind === 'dir' };
    return this.#changed.size === 0 ? own : { ...own, ...this.#changeOf(node, path)?.to };
  }
  /** What chmod and chown have made of a node stays as long as what it stands for. */
  #changeOf(node: Node, path: string): Change | undefined {
    const change = this.#changed.get(path);
    if (change && change.identity === identityOf(node)) return change;
    this.#changed.delete(path);
    return undefined;
  }
  /** As access(2) and every open ask; a link itself is open to all. EACCES. */
  mayAccess(
    { node, path }: Pick<NodePlace, 'node' | 'path'>,
    cred: Cred,
    want: number,
  ): Status<'EACCES'> {
    return node.kind === 'link' ? undefined : permission(this.attributes(node, path), cred, want);
  }

  /** chmod(2): the owner's, or with CAP_FOWNER. EPERM; EOPNOTSUPP: of a link. */
  chmod({ node, path }: NodePlace, mode: number, cred: Cred): Status<'EPERM' | 'EOPNOTSUPP'> {
    if (node.kind === 'link') return refuse(EOPNOTSUPP, 'a link has no mode', { path });
    const { uid } = this.attributes(node, path);
    if (cred.uid !== uid && !cred.capable(CAP_FOWNER)) {
      return refuse(EPERM, 'only its owner changes the mode of a node', { path, owner: uid });
    }
    this.#change(node, path, { mode: mode & 0o7777 });
    return undefined;
  }
  /**
   * chown(2), -1 leaving one as it is: to another user with CAP_CHOWN only, the owner to a group of his. EPERM.
   * @kernel chown_ok, chgrp_ok
   */
  chown({ node, path }: NodePlace, to: Owner, cred: Cred): Status<'EPERM'> {
    const has = this.attributes(node, path);
    const uid = to.uid === -1 ? has.uid : to.uid;
    const gid = to.gid === -1 ? has.gid : to.gid;
    const isOwner = cred.uid === has.uid;
    const inGroup = gid === has.gid || cred.gid === gid || cred.groups.includes(gid);
    const allowed = isOwner && uid === has.uid && inGroup;
    if (!allowed && !cred.capable(CAP_CHOWN)) {
      return refuse(EPERM, 'a node is given away with CAP_CHOWN only', { path, owner: has.uid });
    }
    this.#change(node, path, { uid, gid });
    return undefined;
  }
  #change(node: Node, path: string, to: Change['to']): void {
    const before = this.#changeOf(node, path)?.to;
    this.#changed.set(path, { identity: identityOf(node), to: { ...before, ...to } });
  }
  /**
   * utimensat(2). To the time it is now: the owner, or who may write it (EACCES); to another: the owner alone (EPERM).
   * @kernel setattr_prepare, vfs_utimes
   */
  touch(place: NodePlace, isNow: boolean, cred: Cred): Status<'EPERM' | 'EACCES'> {
    const { node, path } = place;
    const { uid } = this.attributes(node, path);
    if (cred.uid === uid || cred.capable(CAP_FOWNER)) return undefined;
    if (isNow) return this.mayAccess(place, cred, MAY_WRITE);
    return refuse(EPERM, 'only its owner sets the times of a node', { path, owner: uid });
  }

  /**
   * Where a path leads, with a host behind the merged directories. ENOENT; ENOTDIR; ELOOP: more than 40 links, or one
   * that is not wanted; EACCES: a directory that may not be searched, or nothing is made there; EISDIR: a file is to be
   * made under a name that ends with a slash; EXDEV: out of what openat2 was given as bounds.
   * @kernel link_path_walk
   */
  resolve(path: string, how: Resolve): Result<Place, ResolveErrno> {
    return this.#walk(path, how, true);
  }
  /** The same where there is no host: what is not simulated does not exist. */
  lookup(path: string, how: Resolve): Result<NodePlace, ResolveErrno> {
    const place = this.#walk(path, how, false);
    if (isErrno(place)) return place;
    if (place.kind === 'host') throw new Bug('a path leads to a host that is not there');
    return place;
  }

  /** Would an open for that (MAY_READ or MAY_WRITE) be permitted? Nothing is refused by asking. */
  mayOpen({ node, path }: NodePlace<AttrNode>, cred: Cred, want: number): boolean {
    const somebody = want === MAY_READ ? 0o444 : 0o222;
    return (node.mode & somebody) !== 0 && isPermitted(this.attributes(node, path), cred, want);
  }
  /** With O_PATH a file is named and no more: of the other flags only O_DIRECTORY counts. ENOTDIR. */
  openPath({ node, path }: NodePlace, directory: boolean): Status<'ENOTDIR'> {
    return directory && node.kind !== 'dir'
      ? refuse(ENOTDIR, 'a directory is wanted', { path })
      : undefined;
  }

  /**
   * What open(2) of a place opens. EEXIST: O_CREAT and O_EXCL; EISDIR: a directory is to be written or made; ENOTDIR:
   * O_DIRECTORY; ELOOP: a link that was not to be followed; EACCES: the rights of the node, or of an attribute that
   * nobody can read or write so, root neither.
   * @kernel do_open, may_open, kernfs_fop_open
   */
  open(place: NodePlace, how: OpenHow, cred: Cred): Result<NodePlace<OpenNode>, OpenErrno> {
    const rc = mayExist(place, how) ?? this.openPath(place, how.directory === true);
    if (rc) return rc;
    const { node, path } = place;
    if (node.kind === 'link') {
      return refuse(ELOOP, 'the last component is a link that is not to be followed', { path });
    }
    const want = (how.read || how.neither ? MAY_READ : 0) | (changes(how) ? MAY_WRITE : 0);
    const denied = this.mayAccess(place, cred, want) ?? kernfsOpen(node, how);
    return denied ?? { kind: 'node', node, path };
  }

  #walk(path: string, how: Resolve, host: boolean): Result<Place, ResolveErrno> {
    if (path === '') return refuse(ENOENT, 'the path is empty');
    const walk = newWalk(path, how, host);
    const start = how.from && this.#startAt(walk, how.from.directory);
    if (start) return start;
    for (;;) {
      const dir = this.#here(walk);
      const name = walk.todo.shift();
      if (name === undefined) return this.#atDirectory(walk, dir);
      // The directory a path ends at is not searched: whoever may not look into it can still stat it.
      const rc = this.#maySearch(walk, dir);
      if (rc) return rc;
      const place = this.#step(walk, name, how.follow !== false || walk.mustBeDir);
      if (place === undefined) continue;
      if (isErrno(place) || place.kind === 'host' || !walk.mustBeDir) return place;
      return endsAtFile(walk);
    }
  }
  #maySearch(walk: Walk, node: DirNode): Status<'EACCES'> {
    const path = this.#changed.size === 0 ? '' : pathOf(walk);
    return this.mayAccess({ node, path }, walk.how.cred, MAY_EXEC);
  }
  /** The way to where the path begins is nobody's to search. */
  #startAt(walk: Walk, directory: string): Status<'ENOENT' | 'EXDEV'> {
    const { inRoot, beneath } = walk.how.from!.bounds;
    if (walk.path.startsWith('/') && !inRoot) {
      const { path } = walk;
      return beneath ? refuse(EXDEV, 'an absolute path leaves its directory', { path }) : undefined;
    }
    for (const name of components(directory)) {
      const node = this.#here(walk).lookup(name);
      if (node?.kind !== 'dir') return refuse(ENOENT, 'the directory is gone', { directory });
      this.#enter(walk, name, node);
    }
    walk.floor = walk.trail.length;
    return undefined;
  }
  #enter(walk: Walk, name: string, node: DirNode): void {
    walk.trail.push({ name, node });
    const { isHosts } = walk.how;
    if (!node.merged || (isHosts && !isHosts(pathOf(walk)))) walk.ours = true;
  }
  /** The host's own directories are the host's, whatever of ours is in them. */
  #atDirectory(walk: Walk, node: DirNode): Result<Place, 'EISDIR'> {
    const path = pathOf(walk);
    if (!node.merged || walk.how.isHosts?.(path) !== true) {
      if (walk.makesDirectory) return refuse(EISDIR, NO_DIRECTORIES, { path });
      return { kind: 'node', node, path };
    }
    return walk.left ?? { kind: 'host', path, direct: !walk.ours };
  }

  /** Undefined: go on with the next component. */
  #step(walk: Walk, name: string, followLast: boolean): Result<Place, ResolveErrno> | undefined {
    if (name === '..') return this.#up(walk);
    const dir = this.#here(walk);
    const node = dir.lookup(name);
    if (!node) return this.#missing(walk, dir, name);
    if (node.kind === 'dir') {
      const rc = walk.trail.length === 0 ? this.#crossing(walk) : undefined;
      this.#enter(walk, name, node);
      return rc;
    }
    const last = walk.todo.length === 0;
    if (node.kind === 'link' && (!last || followLast)) return this.#follow(walk, node);
    if (last) return { kind: 'node', node, path: join(pathOf(walk), name) };
    return refuse(ENOTDIR, 'a part of the path is no directory', { path: walk.path, name });
  }
  #up(walk: Walk): Status<'EXDEV'> {
    const { beneath, inRoot } = walk.how.from?.bounds ?? {};
    if (walk.trail.length === walk.floor && (beneath === true || inRoot === true)) {
      return inRoot
        ? undefined
        : refuse(EXDEV, 'the path leaves its directory', { path: walk.path });
    }
    const rc = walk.trail.length === 1 ? this.#crossing(walk) : undefined;
    walk.trail.pop();
    return rc;
  }
  /** /dev and /sys are file systems of their own. */
  #crossing(walk: Walk): Status<'EXDEV'> {
    const { path } = walk;
    return walk.how.from?.bounds.noCrossing
      ? refuse(EXDEV, 'the path goes from one file system to another', { path })
      : undefined;
  }
  #follow(walk: Walk, node: LinkNode): Status<'ELOOP' | 'EXDEV'> {
    const { path, how } = walk;
    const { noLinks, beneath, inRoot } = how.from?.bounds ?? {};
    if (noLinks) return refuse(ELOOP, 'there is a link on the path, and none is wanted', { path });
    if (++walk.links > MAX_LINKS) return refuse(ELOOP, 'too many links on the path', { path });
    const target = node.target();
    if (target.startsWith('/')) {
      if (beneath)
        return refuse(EXDEV, 'a link on the path leaves its directory', { path, target });
      const rc = walk.trail.length > 0 && !inRoot ? this.#crossing(walk) : undefined;
      if (rc) return rc;
      walk.trail.length = inRoot ? walk.floor : 0;
    }
    walk.ours = true;
    walk.todo.unshift(...components(target));
    return undefined;
  }

  /** Not simulated: the host's where there is one and the directory lets it show through. */
  #missing(walk: Walk, dir: DirNode, name: string): Result<Place, ResolveErrno> | undefined {
    const { todo } = walk;
    if (!walk.host || !dir.merged) {
      return endsNowhere(walk, name);
    }
    const rest = [join(pathOf(walk), name), ...todo].join('/') + (walk.mustBeDir ? '/' : '');
    walk.left ??= { kind: 'host', path: rest, direct: !walk.ours };
    // Whether it is there is the host's affair. A '..' behind it may lead back here: who comes by a way only we know gets no help
    // of the host's kernel on it, nor does who gave bounds.
    const up = todo.indexOf('..');
    if (up < 0 || (!walk.ours && !walk.how.from)) return walk.left;
    todo.splice(Math.max(up - 1, 0), up === 0 ? 1 : 2);
    if (up > 0) todo.unshift(name);
    return undefined;
  }

  #here(walk: Walk): DirNode {
    return walk.trail.at(-1)?.node ?? this.root;
  }
}

/** What chmod and chown have made of a node. */
interface Change {
  readonly identity: object | undefined;
  readonly to: { readonly uid?: number; readonly gid?: number; readonly mode?: number };
}
function identityOf(node: Node): object | undefined {
  return node.kind === 'device' ? node.identity : undefined;
}

interface Walk {
  readonly path: string;
  readonly how: Resolve;
  /** Is there a host behind merged directories? */
  readonly host: boolean;
  /** The path ends with a slash. */
  readonly mustBeDir: boolean;
  /** O_CREAT of a name with a slash behind it, whatever is there. @kernel open_last_lookups */
  readonly makesDirectory: boolean;
  readonly trail: { readonly name: string; readonly node: DirNode }[];
  readonly todo: string[];
  links: number;
  /** Components of the trail that were there at the start. */
  floor: number;
  /** Something the host does not know was on the way. */
  ours: boolean;
  /** Where the path went to the host for the first time. */
  left: HostPlace | undefined;
}
function newWalk(path: string, how: Resolve, host: boolean): Walk {
  const mustBeDir = path.endsWith('/') || path.endsWith('/.');
  const todo = components(path);
  return {
    ...{ path, how, host, mustBeDir, todo },
    makesDirectory: how.create === true && /(?:^|\/)(?!\.{1,2}\/)[^/]+\/+$/.test(path),
    ...{ trail: [], links: 0, floor: 0, ours: false, left: undefined },
  };
}

/** A slash behind what is no directory. */
function endsAtFile({ path, makesDirectory }: Walk): Errno<'EISDIR' | 'ENOTDIR'> {
  if (makesDirectory) return refuse(EISDIR, NO_DIRECTORIES, { path });
  return refuse(ENOTDIR, 'the path ends with a slash and at no directory', { path });
}
function endsNowhere(walk: Walk, name: string): Errno<'EISDIR' | 'ENOENT' | 'EACCES'> {
  const { path, todo, how, mustBeDir, makesDirectory } = walk;
  const isLast = todo.length === 0;
  if (isLast && makesDirectory) return refuse(EISDIR, NO_DIRECTORIES, { path });
  if (isLast && how.create && !mustBeDir) {
    return refuse(EACCES, 'nobody makes files in the simulated tree', { path });
  }
  return refuse(ENOENT, 'no such file or directory', { path, name });
}
/** @kernel ACC_MODE */
function changes({ write, neither, truncate }: OpenHow): boolean {
  return write || neither === true || truncate === true;
}
/** What O_CREAT and writing ask of a place where something is. */
function mayExist({ node, path }: NodePlace, how: OpenHow): Status<'EEXIST' | 'EISDIR'> {
  if (how.create && how.exclusive) {
    return refuse(EEXIST, 'the file is to be made and is there already', { path });
  }
  if (node.kind === 'dir' && (changes(how) || how.create)) {
    return refuse(EISDIR, 'a directory is neither made nor written by open', { path });
  }
  return undefined;
}
/**
 * What sysfs asks of an attribute besides its rights: somebody must be able to do it, for root has a capability for all.
 */
function kernfsOpen(node: OpenNode, how: OpenHow): Status<'EACCES'> {
  if (node.kind !== 'attr') return undefined;
  if (how.read && (node.mode & 0o444) === 0) {
    return refuse(EACCES, 'nobody can read the attribute', { mode: node.mode.toString(8) });
  }
  if (how.write && (node.mode & 0o222) === 0) {
    return refuse(EACCES, 'nobody can write the attribute', { mode: node.mode.toString(8) });
  }
  return undefined;
}

function modeOf(node: Node): number {
  if (node.kind === 'link') return 0o777;
  return node.kind === 'dir' ? (node.mode ?? 0o755) : node.mode;
}
function components(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
function pathOf({ trail }: Walk): string {
  return `/${trail.map(({ name }) => name).join('/')}`;
}
/** A name in a directory. */
export function join(base: string, name: string): string {
  return base === '/' ? `/${name}` : `${base}/${name}`;
}
