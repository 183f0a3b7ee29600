/**
 * What stat(2), statx(2) and statfs(2) say of the simulated nodes: character devices, sysfs attributes, links.
 *
 * Layouts: x86-64 struct stat (144 bytes), struct statx (256), struct statfs (120).
 */
import type { OpenFile } from '../../base/file.ts';
import type { DirNode, Node } from '../../machine/files/nodes.ts';
import type { Vfs } from '../../machine/files/vfs.ts';

/** What the layouts below have in common. */
export interface NodeStat {
  /** Undefined: of an anonymous file. */
  readonly path?: string;
  readonly mode: number;
  readonly size: number;
  readonly inode: number;
  readonly major: number;
  readonly minor: number;
  readonly uid: number;
  readonly gid: number;
  /** Names of it; of a directory 2, and one for each directory in it, which are counted when it is asked for. */
  readonly links: number;
}

const S_IFCHR = 0o020000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
/** Major and minor number of a device. */
export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}
/** An anonymous one, of what is on no file system of the host. */
export const NO_FILE_SYSTEM: DeviceNumber = { major: 0, minor: 0x50 };
const STARTED = Math.floor(Date.now() / 1000);

/** What stat(2) says of a node. */
export function statOfNode(vfs: Vfs, node: Node, path: string): NodeStat {
  const { mode, uid, gid } = vfs.attributes(node, path);
  const common = { path, inode: inodeOf(path), major: 0, minor: 0, uid, gid, links: 1 };
  switch (node.kind) {
    case 'dir':
      return {
        ...common,
        mode: S_IFDIR | mode,
        size: 0,
        get links() {
          return linksOf(node);
        },
      };
    case 'link':
      return { ...common, mode: S_IFLNK | mode, size: Buffer.byteLength(node.target()) };
    case 'attr':
      return { ...common, mode: S_IFREG | mode, size: node.size };
    case 'device': {
      const { major, minor } = node;
      return { ...common, mode: S_IFCHR | mode, size: 0, major, minor };
    }
  }
}

/** An open file of ours: a character device when it was opened by a path, else an anonymous inode. */
export function statOfFile(vfs: Vfs, file: OpenFile, node: Node | undefined): NodeStat {
  if (node) return statOfNode(vfs, node, file.name);
  const inode = inodeOf(file.name);
  return { mode: 0o600, size: 0, inode, major: 0, minor: 0, ...vfs.owner, links: 1 };
}

/** @kernel kernfs_refresh_inode */
function linksOf(directory: DirNode): number {
  let links = 2;
  for (const [, node] of directory.entries()) if (node.kind === 'dir') links++;
  return links;
}

/** Stable for a path: FNV-1a, never 0. */
export function inodeOf(path: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(path)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash || 1;
}

function deviceNumber(major: number, minor: number): bigint {
  return BigInt((major << 8) | (minor & 0xff)) + (BigInt(minor & ~0xff) << 12n);
}

/** struct stat of something on a file system of this number. */
export function encodeStat(stat: NodeStat, on: DeviceNumber): Buffer {
  const out = Buffer.alloc(144);
  out.writeBigUInt64LE(deviceNumber(on.major, on.minor), 0);
  out.writeBigUInt64LE(BigInt(stat.inode), 8);
  out.writeBigUInt64LE(BigInt(stat.links), 16);
  out.writeUInt32LE(stat.mode, 24);
  out.writeUInt32LE(stat.uid, 28);
  out.writeUInt32LE(stat.gid, 32);
  out.writeBigUInt64LE(deviceNumber(stat.major, stat.minor), 40);
  out.writeBigInt64LE(BigInt(stat.size), 48);
  out.writeBigInt64LE(4096n, 56);
  for (const at of [72, 88, 104]) out.writeBigInt64LE(BigInt(STARTED), at);
  return out;
}

const STATX_BASIC_STATS = 0x7ff;

/** struct statx with the basic fields. */
export function encodeStatx(stat: NodeStat, on: DeviceNumber): Buffer {
  const out = Buffer.alloc(256);
  out.writeUInt32LE(STATX_BASIC_STATS, 0);
  out.writeUInt32LE(4096, 4);
  out.writeUInt32LE(stat.links, 16);
  out.writeUInt32LE(stat.uid, 20);
  out.writeUInt32LE(stat.gid, 24);
  out.writeUInt16LE(stat.mode, 28);
  out.writeBigUInt64LE(BigInt(stat.inode), 32);
  out.writeBigUInt64LE(BigInt(stat.size), 40);
  for (const at of [64, 96, 112]) out.writeBigInt64LE(BigInt(STARTED), at);
  out.writeUInt32LE(stat.major, 128);
  out.writeUInt32LE(stat.minor, 132);
  out.writeUInt32LE(on.major, 136);
  out.writeUInt32LE(on.minor, 140);
  return out;
}

const SYSFS_MAGIC = 0x62656572n;
const PROC_SUPER_MAGIC = 0x9fa0n;
const TMPFS_MAGIC = 0x01021994n;
const MAGICS: Readonly<Record<string, bigint>> = { sys: SYSFS_MAGIC, proc: PROC_SUPER_MAGIC };

/** struct statfs: sysfs below /sys, proc below /proc, else tmpfs. */
export function encodeStatfs(path: string): Buffer {
  const out = Buffer.alloc(120);
  out.writeBigUInt64LE(MAGICS[path.split('/', 2)[1]!] ?? TMPFS_MAGIC, 0);
  out.writeBigUInt64LE(4096n, 8);
  out.writeBigUInt64LE(255n, 64);
  out.writeBigUInt64LE(4096n, 72);
  return out;
}
