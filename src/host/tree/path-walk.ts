/**
 * Path resolution over the simulated tree laid over the host's: path_resolution(7) with merged directories.
 *
 * Pure: a name that is in no simulated directory leads to the host's file system, whose path is handed back.
 */
import type { DirNode, Node } from '../../machine/files/nodes.ts';
import { HOST_ERRNO } from '../sys/libc.ts';

export type Place =
  | { readonly kind: 'node'; readonly node: Node; readonly path: string }
  /** A path of the host; `direct` when no simulated link was on the way, so that the kernel comes to the same place. */
  | { readonly kind: 'host'; readonly path: string; readonly direct: boolean }
  | { readonly kind: 'error'; readonly errno: number };

const MAX_LINKS = 40;

interface Walk {
  readonly root: DirNode;
  readonly trail: { name: string; node: DirNode }[];
  readonly todo: string[];
  links: number;
}

/** `path` is absolute; a last link is followed when `follow`. */
export function walkPath(root: DirNode, path: string, follow: boolean): Place {
  const walk: Walk = { root, trail: [], todo: components(path), links: 0 };
  const mustBeDir = path.endsWith('/') || path.endsWith('/.');
  for (;;) {
    const name = walk.todo.shift();
    if (name === undefined) return { kind: 'node', node: current(walk), path: pathOf(walk) };
    const place = step(walk, name, follow || mustBeDir);
    if (!place) continue;
    const isFile = place.kind === 'node' && mustBeDir && place.node.kind !== 'dir';
    return isFile ? { kind: 'error', errno: HOST_ERRNO.ENOTDIR } : place;
  }
}

/** Undefined: go on with the next component. */
function step(walk: Walk, name: string, followLast: boolean): Place | undefined {
  if (name === '..') {
    walk.trail.pop();
    return undefined;
  }
  const dir = current(walk);
  const node = dir.lookup(name);
  if (!node) return missing(walk, dir, name);
  if (node.kind === 'dir') {
    walk.trail.push({ name, node });
    return undefined;
  }
  const last = walk.todo.length === 0;
  if (node.kind === 'link' && (!last || followLast)) {
    if (++walk.links > MAX_LINKS) return { kind: 'error', errno: HOST_ERRNO.ELOOP };
    const target = node.target();
    if (target.startsWith('/')) walk.trail.length = 0;
    walk.todo.unshift(...components(target));
    return undefined;
  }
  if (!last) return { kind: 'error', errno: HOST_ERRNO.ENOTDIR };
  return { kind: 'node', node, path: join(pathOf(walk), name) };
}

/** Not simulated: the host's when the directory lets it show through. */
function missing(walk: Walk, dir: DirNode, name: string): Place | undefined {
  if (!dir.merged) return { kind: 'error', errno: HOST_ERRNO.ENOENT };
  const up = walk.todo.indexOf('..');
  if (up > 0) {
    walk.todo.splice(up - 1, 2);
    walk.todo.unshift(name);
    return undefined;
  }
  if (up === 0) {
    walk.todo.shift();
    return undefined;
  }
  const path = [join(pathOf(walk), name), ...walk.todo].join('/');
  return { kind: 'host', path, direct: walk.links === 0 };
}

function components(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
function current(walk: Walk): DirNode {
  return walk.trail.at(-1)?.node ?? walk.root;
}
function pathOf(walk: Walk): string {
  return `/${walk.trail.map((entry) => entry.name).join('/')}`;
}
export function join(base: string, name: string): string {
  return base === '/' ? `/${name}` : `${base}/${name}`;
}
