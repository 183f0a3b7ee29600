/** Building node trees (nodes.ts): directories from tables or functions, links, text attributes. */
import { EACCES, type Status } from '../../base/errno.ts';
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

/**
 * A text attribute that is written whole, wherever the position of its file is: the text arrives as given, newline and all.
 * @kernel sysfs_kf_write
 */
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
    write(task, data) {
      return write(decoder.decode(data), task) ?? data.length;
    },
  };
}
