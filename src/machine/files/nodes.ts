/**
 * The simulated /dev and /sys as a tree of nodes. The host shows it through FUSE, a shadow tree or
 * path traps; in-process programs use it directly. Everything is asked afresh, so a change is seen at the next look.
 */
import type { Result } from '../../base/errno.ts';
import type { OpenFile } from '../../base/file.ts';
import type { Task } from '../../base/task.ts';
import type { Outcome } from '../../base/wait-queue.ts';

/** Whose a node is. Absent: the tree's owner (Vfs). */
interface Owned {
  readonly uid?: number;
  readonly gid?: number;
}

/** Something a path can lead to. */
export type Node = DirNode | LinkNode | AttrNode | DeviceNode;

/** A directory. */
export interface DirNode extends Owned {
  readonly kind: 'dir';
  /** Permission bits. Default 0o755. */
  readonly mode?: number;
  /** In the order readdir shows. */
  entries(): Iterable<readonly [name: string, node: Node]>;
  lookup(name: string): Node | undefined;
  /**
   * True where real entries of the host show through beside ours ('/dev', '/sys', '/sys/bus', '/sys/kernel', …);
   * false where the directory is ours alone ('/sys/bus/pci/devices', '/dev/vfio').
   */
  readonly merged: boolean;
}
/** A symbolic link; its target may be relative. */
export interface LinkNode extends Owned {
  readonly kind: 'link';
  target(): string;
}
/** Something whose open file is more than a text. */
export interface Openable {
  open(
    task: Task,
    flags: { read: boolean; write: boolean; nonblocking: boolean },
  ): Result<OpenFile>;
}
/** A sysfs attribute; with `open` it is a file of its own, such as registers that can be mapped. */
export interface AttrNode extends Owned, Partial<Openable> {
  readonly kind: 'attr';
  /** Permission bits, e.g. 0o444. */
  readonly mode: number;
  /** What stat says: 4096 for sysfs text, the real size for config and resource files. */
  readonly size: number;
  /** A file of a disk and none of sysfs: it can be mapped to read. */
  readonly isRegular?: boolean;
  /** The text changes while the file is open: each read asks afresh. */
  readonly live?: boolean;
  read(task: Task): Result<Uint8Array>;
  /** A WaitQueue: not answered yet (unbind of a device in use); run again when woken. */
  write?(task: Task, data: Uint8Array, offset: number): Outcome<Result<number>>;
}
/** A character device node. */
export interface DeviceNode extends Owned, Openable {
  readonly kind: 'device';
  readonly mode: number;
  readonly major: number;
  readonly minor: number;
  /** What it stands for: another one at the same path is another node, whose mode and owner are its own. */
  readonly identity?: object;
}

/** A node whose open gives an open file of ours. */
export type OpenableNode = DeviceNode | (AttrNode & Openable);

/** Is it one? Else an attribute is a text. */
export function isOpenable(node: AttrNode | DeviceNode): node is OpenableNode {
  return node.open !== undefined;
}
