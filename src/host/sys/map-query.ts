/**
 * /proc/TID/maps, held open: it stays with the address space it was opened on.
 *
 * One mapping by PROCMAP_QUERY (Linux 6.11) costs a twentieth of reading all.
 * struct procmap_query of the public header linux/fs.h, 104 bytes.
 */
import { setPointer } from './ffi.ts';
import * as libc from './libc.ts';
import type { Vma } from '../../machine/memory/process-memory.ts';
import { HOST_ERRNO, O_CLOEXEC } from './numbers.ts';

const PROCMAP_QUERY = 0xc0686611;
const QUERY_SIZE = 104;
const NAME_SIZE = 4096;
const AT = {
  size: 0,
  address: 16,
  start: 24,
  end: 32,
  flags: 40,
  pageSize: 48,
  offset: 56,
  inode: 64,
  major: 72,
  minor: 76,
  nameSize: 80,
  nameAddress: 88,
} as const;
const READABLE = 1;
const WRITABLE = 2;
const EXECUTABLE = 4;
const SHARED = 8;

const query = Buffer.alloc(QUERY_SIZE);
const name = Buffer.alloc(NAME_SIZE);

/** Pages by index: of an address space, or of a file. */
export interface Span {
  readonly index: number;
  readonly count: number;
}

/** One mapping, as /proc/PID/maps has a line for it. */
export interface MapsLine extends Vma {
  readonly executable: boolean;
  /** The pathname column: '[heap]', '/memfd:x (deleted)', ''. */
  readonly name: string;
}

/** /proc/TID/maps of an address space. */
export class MapsFile {
  readonly #fd: number;
  /** Undefined when the thread is gone or we may not look into it. */
  static open(tid: number): MapsFile | undefined {
    const fd = libc.open(`/proc/${tid}/maps`, O_CLOEXEC);
    return fd < 0 ? undefined : new MapsFile(fd);
  }
  private constructor(fd: number) {
    this.#fd = fd;
  }
  query(index: number): MapsLine | 'none' | 'unknown' {
    return queryMapping(this.#fd, index);
  }
  /** Undefined: the address space is gone, or the thread it was opened through is. */
  text(): string | undefined {
    const parts: Buffer[] = [];
    libc.rewind(this.#fd);
    for (;;) {
      const part = Buffer.alloc(1 << 16);
      const length = libc.read(this.#fd, part);
      if (length <= 0)
        return parts.length === 0 ? undefined : Buffer.concat(parts).toString('latin1');
      parts.push(part.subarray(0, length));
    }
  }
  close(): void {
    libc.close(this.#fd);
  }
}

/** The mapping at a page; 'none' when nothing is mapped there, 'unknown' when this kernel cannot say or the process is gone. */
export function queryMapping(mapsFd: number, index: number): MapsLine | 'none' | 'unknown' {
  query.fill(0);
  query.writeBigUInt64LE(BigInt(QUERY_SIZE), AT.size);
  query.writeBigUInt64LE(BigInt(index) << 12n, AT.address);
  query.writeUInt32LE(NAME_SIZE, AT.nameSize);
  setPointer(query, AT.nameAddress, name);
  const rc = libc.ioctl(mapsFd, PROCMAP_QUERY, query);
  if (rc === -HOST_ERRNO.ENOENT) return 'none';
  return rc < 0 ? 'unknown' : answered();
}

function answered(): MapsLine {
  const flags = query.readUInt32LE(AT.flags);
  const inode = query.readBigUInt64LE(AT.inode);
  const device = `${hex2(query.readUInt32LE(AT.major))}:${hex2(query.readUInt32LE(AT.minor))}`;
  const length = query.readUInt32LE(AT.nameSize);
  const text = length === 0 ? '' : name.toString('utf8', 0, length - 1);
  return {
    start: page(AT.start),
    end: page(AT.end),
    readable: (flags & READABLE) !== 0,
    writable: (flags & WRITABLE) !== 0,
    executable: (flags & EXECUTABLE) !== 0,
    shared: (flags & SHARED) !== 0,
    object: inode === 0n ? undefined : `${device}:${inode}`,
    objectOffset: page(AT.offset),
    huge: query.readBigUInt64LE(AT.pageSize) > 4096n,
    name: text,
  };
}

/** Exact for all 64 bits. */
function page(at: number): number {
  return Number(query.readBigUInt64LE(at) >> 12n);
}
/** As in /proc/PID/maps. */
function hex2(value: number): string {
  return value.toString(16).padStart(2, '0');
}
