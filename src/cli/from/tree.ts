/** Files of a copy of sysfs, wherever it is kept, and how its links are followed: never out of it. */

/** What is at a path. */
export type TreeNode =
  | { readonly kind: 'file' }
  | { readonly kind: 'directory'; readonly names: readonly string[] }
  | { readonly kind: 'link'; readonly target: string };

/** Paths are names without '.', '..' and links, from the top of the copy. */
export interface Tree {
  /** For messages: the name a person gave. */
  readonly name: string;
  /** Undefined: nothing is there, nothing that can be looked at, or neither file, directory nor link. */
  node(path: readonly string[]): TreeNode | undefined;
  /** The first bytes of a file, `most` of them. Undefined: it cannot be read. */
  read(path: readonly string[], most: number): Uint8Array | undefined;
}

/** As many as Linux follows for one path. */
const MOST_LINKS = 40;

/**
 * Where a path leads when its links are followed. Undefined: to nothing, in a circle, or out of the copy, as absolute
 * links do.
 */
export function resolvePath(tree: Tree, path: readonly string[]): readonly string[] | undefined {
  const left = [...path];
  const at: string[] = [];
  let links = 0;
  for (let name = left.shift(); name !== undefined; name = left.shift()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (at.pop() === undefined) return undefined;
      continue;
    }
    const node = tree.node([...at, name]);
    if (!node) return undefined;
    if (node.kind !== 'link') at.push(name);
    else if (++links > MOST_LINKS || node.target.startsWith('/')) return undefined;
    else left.unshift(...node.target.split('/'));
  }
  return at;
}
