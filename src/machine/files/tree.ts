/**
 * Building and walking node trees (nodes.ts): directories from tables or functions, links, text attributes,
 * and path resolution as the kernel does it.
 */
import {
  EACCES,
  EINVAL,
  ELOOP,
  ENOENT,
  ENOTDIR,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import type { Outcome } from '../../base/wait-queue.ts';
import type { AttrNode, DirNode, LinkNode, Node } from './nodes.ts';

type Entries = Readonly<Record<string, Node | undefined>>;

/** A directory whose entries are asked afresh at every look; undefined entries are absent. */
export function dir(entries: () => Entries, merged = false): DirNode {
  return {
    kind: 'dir',
    merged,
    *entries() {
      for (const [name, node] of Object.entries(entries())) if (node) yield [name, node] as const;
    },
    lookup(name) {
      const table = entries();
      return Object.hasOwn(table, name) ? table[name] : undefined;
    },
  };
}

/** A directory of one node for each member; to find one makes no node of the others. Names are asked for afresh. */
export function dirOf<T>(
  members: () => Iterable<readonly [name: string, member: T]>,
  nodeOf: (member: T) => Node,
  merged = false,
): DirNode {
  return {
    kind: 'dir',
    merged,
    *entries() {
      for (const [name, member] of members()) yield [name, nodeOf(member)] as const;
    },
    lookup(wanted) {
      for (const [name, member] of members()) if (name === wanted) return nodeOf(member);
      return undefined;
    },
  };
}

/** A symbolic link. */
export function link(target: string): LinkNode {
  return { kind: 'link', target: () => target };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A read-only text attribute of sysfs. The text carries its newline. */
export function textAttr(read: () => string, mode = 0o444): AttrNode {
  return { kind: 'attr', mode, size: 4096, read: () => encoder.encode(read()) };
}

/** A text attribute that is written whole: the text arrives as given, newline and all. */
export function writableAttr(
  read: (() => string) | undefined,
  write: (text: string, task: Task) => Outcome<Status>,
  mode = read ? 0o644 : 0o200,
): AttrNode {
  return {
    kind: 'attr',
    mode,
    size: 4096,
    read: () =>
      read ? encoder.encode(read()) : refuse(EACCES, 'the attribute can only be written'),
    write(task, data, offset) {
      if (offset !== 0) return refuse(EINVAL, 'an attribute is written whole, from its start');
      return write(decoder.decode(data), task) ?? data.length;
    },
  };
}

/** Where a path leads. */
export interface Found {
  readonly node: Node;
  /** Absolute, without links: what realpath says. */
  readonly path: string;
}

type WalkErrno = 'ENOENT' | 'ENOTDIR' | 'ELOOP';

/**
 * Resolve an absolute path from the root. Links on the way are followed; the last component's only when `follow`.
 * Relative targets start at the directory of the link. ENOENT, ENOTDIR, ELOOP as in path_resolution(7).
 */
export function lookupPath(root: DirNode, path: string, follow = true): Result<Found, WalkErrno> {
  const walk: Walk = { root, path, done: [], links: 0 };
  const todo = parts(path);
  for (;;) {
    const name = todo.pop();
    if (name === undefined) return { node: here(walk), path: pathOf(walk) };
    const next = step(walk, name);
    if (isErrno(next)) return next;
    if (next === undefined || next.kind === 'dir') continue;
    if (next.kind !== 'link' || !(follow || todo.length > 0)) return leaf(walk, next, name, todo);
    if (++walk.links > 40) return refuse(ELOOP, 'too many links on the path', { path });
    const target = next.target();
    enterLink(walk, target);
    todo.push(...parts(target));
  }
}

interface Walk {
  readonly root: DirNode;
  readonly path: string;
  readonly done: { readonly name: string; readonly node: DirNode }[];
  links: number;
}

/** Components, the first one last. */
function parts(path: string): string[] {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .reverse();
}
function here(walk: Walk): DirNode {
  return walk.done.at(-1)?.node ?? walk.root;
}
function pathOf(walk: Walk, last?: string): string {
  const names = walk.done.map((entry) => entry.name);
  return '/' + (last === undefined ? names : [...names, last]).join('/');
}

/** Where a link's target starts: the directory of the link, or the root. */
function enterLink(walk: Walk, target: string): void {
  if (target.startsWith('/')) walk.done.length = 0;
}

/** One component: directories are entered, '..' left; anything else is handed back. */
function step(walk: Walk, name: string): Result<Node, 'ENOENT'> | undefined {
  if (name === '..') {
    walk.done.pop();
    return undefined;
  }
  const next = here(walk).lookup(name);
  if (!next) return refuse(ENOENT, 'no such file or directory', { path: walk.path, name });
  if (next.kind === 'dir') walk.done.push({ name, node: next });
  return next;
}

function leaf(
  walk: Walk,
  node: Node,
  name: string,
  todo: readonly string[],
): Result<Found, 'ENOTDIR'> {
  if (todo.length > 0) {
    return refuse(ENOTDIR, 'a part of the path is no directory', { path: walk.path, name });
  }
  return { node, path: pathOf(walk, name) };
}
