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
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { Bug } from '../../base/bug.ts';
import { refuse } from '../../base/refuse.ts';
import type { AttrNode, DeviceNode, DirNode, Node } from './nodes.ts';
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
/** A path of the host; `direct` when no simulated link was on the way, so that the host's kernel comes to the same place. */
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
}

/** The flags of open(2), as far as they decide anything here. */
export interface OpenHow {
  readonly read: boolean;
  readonly write: boolean;
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

type ResolveErrno = 'ENOENT' | 'ENOTDIR' | 'ELOOP' | 'EACCES' | 'EISDIR';
type OpenErrno = 'EEXIST' | 'EISDIR' | 'ENOTDIR' | 'ELOOP' | 'EACCES';

/** MAXSYMLINKS */
const MAX_LINKS = 40;

export class Vfs {
  readonly root: DirNode;
  readonly owner: Owner;

  constructor(root: DirNode, owner: Owner = ROOT_OWNER) {
    this.root = root;
    this.owner = owner;
  }

  /** Of a node as stat(2) shows it. */
  attributes(node: Node): Attributes {
    const { uid = this.owner.uid, gid = this.owner.gid } = node;
    return { uid, gid, mode: modeOf(node), isDirectory: node.kind === 'dir' };
  }
  /** As access(2) and every open ask; a link itself is open to all. EACCES. */
  mayAccess(node: Node, cred: Cred, want: number): Status<'EACCES'> {
    return node.kind === 'link' ? undefined : permission(this.attributes(node), cred, want);
  }

  /**
   * Where an absolute path leads, with a host behind the merged directories. ENOENT; ENOTDIR; ELOOP: more than 40 links;
   * EACCES: a directory that may not be searched, or nothing is made there; EISDIR: a file is to be made under a name
   * that ends with a slash.
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
  mayOpen(node: AttrNode, cred: Cred, want: number): boolean {
    const somebody = want === MAY_READ ? 0o444 : 0o222;
    return (node.mode & somebody) !== 0 && isPermitted(this.attributes(node), cred, want);
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
    const want = (how.read ? MAY_READ : 0) | (changes(how) ? MAY_WRITE : 0);
    const denied = this.mayAccess(node, cred, want) ?? kernfsOpen(node, how);
    return denied ?? { kind: 'node', node, path };
  }

  #walk(path: string, how: Resolve, host: boolean): Result<Place, ResolveErrno> {
    if (path === '') return refuse(ENOENT, 'the path is empty');
    const walk: Walk = { path, how, host, trail: [], todo: components(path), links: 0 };
    const mustBeDir = path.endsWith('/') || path.endsWith('/.');
    for (;;) {
      const dir = this.#here(walk);
      const name = walk.todo.shift();
      if (name === undefined) return { kind: 'node', node: dir, path: pathOf(walk) };
      // The directory a path ends at is not searched: whoever may not look into it can still stat it.
      const rc = this.mayAccess(dir, how.cred, MAY_EXEC);
      if (rc) return rc;
      const place = this.#step(walk, name, how.follow !== false || mustBeDir);
      if (place === undefined) continue;
      if (isErrno(place) || place.kind === 'host' || !mustBeDir) return place;
      return refuse(ENOTDIR, 'the path ends with a slash and at no directory', { path });
    }
  }

  /** Undefined: go on with the next component. */
  #step(walk: Walk, name: string, followLast: boolean): Result<Place, ResolveErrno> | undefined {
    if (name === '..') {
      walk.trail.pop();
      return undefined;
    }
    const dir = this.#here(walk);
    const node = dir.lookup(name);
    if (!node) return this.#missing(walk, dir, name);
    if (node.kind === 'dir') {
      walk.trail.push({ name, node });
      return undefined;
    }
    const last = walk.todo.length === 0;
    if (node.kind === 'link' && (!last || followLast)) {
      if (++walk.links > MAX_LINKS) {
        return refuse(ELOOP, 'too many links on the path', { path: walk.path });
      }
      const target = node.target();
      if (target.startsWith('/')) walk.trail.length = 0;
      walk.todo.unshift(...components(target));
      return undefined;
    }
    if (last) return { kind: 'node', node, path: join(pathOf(walk), name) };
    return refuse(ENOTDIR, 'a part of the path is no directory', { path: walk.path, name });
  }

  /** Not simulated: the host's where there is one and the directory lets it show through. */
  #missing(walk: Walk, dir: DirNode, name: string): Result<Place, ResolveErrno> | undefined {
    const { path, todo } = walk;
    if (!walk.host || !dir.merged) {
      if (!walk.how.create || todo.length > 0) {
        return refuse(ENOENT, 'no such file or directory', { path, name });
      }
      if (path.endsWith('/')) return refuse(EISDIR, 'open makes no directories', { path });
      return refuse(EACCES, 'nobody makes files in the simulated tree', { path });
    }
    // Whether it is there is the host's affair; a '..' behind it leads back here.
    const up = todo.indexOf('..');
    if (up < 0) {
      const rest = [join(pathOf(walk), name), ...todo].join('/');
      return { kind: 'host', path: rest, direct: walk.links === 0 };
    }
    todo.splice(Math.max(up - 1, 0), up === 0 ? 1 : 2);
    if (up > 0) todo.unshift(name);
    return undefined;
  }

  #here(walk: Walk): DirNode {
    return walk.trail.at(-1)?.node ?? this.root;
  }
}

interface Walk {
  readonly path: string;
  readonly how: Resolve;
  /** Is there a host behind merged directories? */
  readonly host: boolean;
  readonly trail: { readonly name: string; readonly node: DirNode }[];
  readonly todo: string[];
  links: number;
}

function changes({ write, truncate }: OpenHow): boolean {
  return write || truncate === true;
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
