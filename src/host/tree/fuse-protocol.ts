/**
 * The FUSE wire format as far as a read-mostly tree needs it: numbers and layouts of the public header linux/fuse.h.
 *
 * Every reply is built in one buffer behind its 16-byte header.
 */
import type { NodeStat } from './stat.ts';

/** Operations by their numbers in linux/fuse.h. */
export const FUSE = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  getxattr: 22,
  listxattr: 23,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  access: 34,
  create: 35,
  interrupt: 36,
  destroy: 38,
  ioctl: 39,
  batchForget: 42,
} as const;

/** Request header, then the arguments of the operation. */
export const ARGS = 40;
/** Reply header, then the result. */
export const RESULT = 16;
/** sizeof(struct fuse_entry_out) */
export const ENTRY_SIZE = 128;
/** sizeof(struct fuse_attr_out) */
export const ATTR_REPLY_SIZE = 104;
/** Lowest buffer the kernel takes: a page of data and the largest header. */
export const BUFFER_SIZE = 65536 + 4096;
const MAX_WRITE = 65536;

const ATOMIC_O_TRUNC = 1 << 3;
const PARALLEL_DIROPS = 1 << 18;

/** Reads and writes are calls of ours each time, never the page cache's. */
export const FOPEN_DIRECT_IO = 1;

/** struct fuse_in_header, and what follows it. */
export interface Request {
  readonly op: number;
  readonly unique: bigint;
  readonly node: number;
  /** The calling thread, and its ids of the file system; those of access(2) are the real ones. */
  readonly tid: number;
  readonly uid: number;
  readonly gid: number;
  /** Arguments; only good until the next request. */
  readonly args: Buffer;
}

/** The request that is in the buffer. */
export function decodeRequest(bytes: Buffer, length: number): Request {
  return {
    op: bytes.readUInt32LE(4),
    unique: bytes.readBigUInt64LE(8),
    node: Number(bytes.readBigUInt64LE(16)),
    uid: bytes.readUInt32LE(24),
    gid: bytes.readUInt32LE(28),
    tid: bytes.readUInt32LE(32),
    args: bytes.subarray(ARGS, length),
  };
}

/** A NUL-terminated name. */
export function nameOf(args: Buffer): string {
  const end = args.indexOf(0);
  return args.toString('utf8', 0, end < 0 ? args.length : end);
}

/** struct fuse_init_out: protocol 7.31 or what the kernel speaks, if that is older. */
export function encodeInit(args: Buffer): Buffer {
  const out = Buffer.alloc(64);
  out.writeUInt32LE(7, 0);
  out.writeUInt32LE(Math.min(args.readUInt32LE(4), 31), 4);
  out.writeUInt32LE(args.readUInt32LE(8), 8);
  out.writeUInt32LE(args.readUInt32LE(12) & (ATOMIC_O_TRUNC | PARALLEL_DIROPS), 12);
  out.writeUInt16LE(16, 16);
  out.writeUInt16LE(12, 18);
  out.writeUInt32LE(MAX_WRITE, 20);
  out.writeUInt32LE(1, 24);
  return out;
}

/** struct fuse_attr, 88 bytes. */
function encodeAttr(out: Buffer, at: number, stat: Omit<NodeStat, 'links'>, nowS: number): void {
  out.writeBigUInt64LE(BigInt(stat.inode), at);
  out.writeBigUInt64LE(BigInt(stat.size), at + 8);
  for (const time of [24, 32, 40]) out.writeBigUInt64LE(BigInt(nowS), at + time);
  out.writeUInt32LE(stat.mode, at + 60);
  out.writeUInt32LE(stat.uid, at + 68);
  out.writeUInt32LE(stat.gid, at + 72);
  const { major, minor } = stat;
  out.writeUInt32LE(((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, at + 76);
  out.writeUInt32LE(4096, at + 80);
}

/** In struct fuse_attr. */
const LINKS_AT = 64;

/** Nothing may be cached: the tree is asked afresh at each look, stat(2) too, for which alone links are counted. */
export function encodeEntry(id: number, stat: NodeStat, nowS: number): Buffer {
  const out = Buffer.alloc(ENTRY_SIZE);
  out.writeBigUInt64LE(BigInt(id), 0);
  encodeAttr(out, 40, stat, nowS);
  out.writeUInt32LE(1, 40 + LINKS_AT);
  return out;
}
/** struct fuse_attr_out, valid for no time. */
export function encodeAttrReply(stat: NodeStat, nowS: number): Buffer {
  const out = Buffer.alloc(ATTR_REPLY_SIZE);
  encodeAttr(out, 16, stat, nowS);
  out.writeUInt32LE(stat.links, 16 + LINKS_AT);
  return out;
}
/** struct fuse_open_out */
export function encodeOpen(handle: number, flags: number): Buffer {
  const out = Buffer.alloc(16);
  out.writeBigUInt64LE(BigInt(handle), 0);
  out.writeUInt32LE(flags, 8);
  return out;
}
/** struct fuse_write_out: bytes. */
export function encodeWritten(count: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeUInt32LE(count, 0);
  return out;
}
/** struct fuse_statfs_out of a file system without blocks. */
export function encodeStatfs(): Buffer {
  const out = Buffer.alloc(80);
  out.writeUInt32LE(4096, 40);
  out.writeUInt32LE(255, 44);
  out.writeUInt32LE(4096, 48);
  return out;
}

/** struct fuse_dirent */
export interface DirectoryEntry {
  readonly name: string;
  readonly inode: number;
  /** Type bits of the mode. */
  readonly mode: number;
}

/** As many struct fuse_dirent from `from` on as fit. */
export function encodeDirectory(
  entries: readonly DirectoryEntry[],
  from: number,
  size: number,
): Buffer {
  const parts: Buffer[] = [];
  let room = size;
  for (let index = from; index < entries.length; index++) {
    const { name, inode, mode } = entries[index]!;
    const text = Buffer.from(name);
    const entry = Buffer.alloc((24 + text.length + 7) & ~7);
    if (entry.length > room) break;
    room -= entry.length;
    entry.writeBigUInt64LE(BigInt(inode), 0);
    entry.writeBigUInt64LE(BigInt(index + 1), 8);
    entry.writeUInt32LE(text.length, 16);
    entry.writeUInt32LE(mode >> 12, 20);
    text.copy(entry, 24);
    parts.push(entry);
  }
  return Buffer.concat(parts);
}

/** A whole reply: header and result. */
export function encodeReply(unique: bigint, errno: number, result?: Uint8Array): Buffer {
  const out = Buffer.alloc(RESULT + (result?.length ?? 0));
  out.writeUInt32LE(out.length, 0);
  out.writeInt32LE(-errno, 4);
  out.writeBigUInt64LE(unique, 8);
  if (result) out.set(result, RESULT);
  return out;
}
