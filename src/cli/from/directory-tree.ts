/** A copy of sysfs that is a directory. Links are looked at and never followed by the system. */
import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Tree, TreeNode } from './tree.ts';

/** The directory is there. */
export function directoryTree(name: string): Tree {
  const file = (path: readonly string[]): string => join(name, ...path);
  return {
    name,
    node: (path) => unlessFailing(() => nodeAt(file(path))),
    read: (path, most) => unlessFailing(() => firstBytes(file(path), most)),
  };
}

/** What cannot be looked at is not there: a copy may have lost anything. */
function unlessFailing<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

function nodeAt(file: string): TreeNode | undefined {
  const stat = lstatSync(file);
  if (stat.isDirectory()) return { kind: 'directory', names: readdirSync(file) };
  if (stat.isSymbolicLink()) return { kind: 'link', target: readlinkSync(file) };
  return stat.isFile() ? { kind: 'file' } : undefined;
}

function firstBytes(file: string, most: number): Uint8Array {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const bytes = Buffer.alloc(most);
    let length = 0;
    for (;;) {
      const part = readSync(fd, bytes, length, most - length, null);
      length += part;
      if (part === 0 || length === most) return bytes.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}
