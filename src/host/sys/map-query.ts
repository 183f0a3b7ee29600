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

/** ioctl(2) of /proc/PID/maps */
export const PROCMAP_QUERY = 0xc0686611;
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
  readonly fd: number;
  /** Undefined when the thread is gone or we may not look into it. */
  static open(tid: number): MapsFile | undefined {
    const fd = libc.open(`/proc/${tid}/maps`, O_CLOEXEC);
    return fd < 0 ? undefined : new MapsFile(fd);
  }
  private constructor(fd: number) {
    this.fd = fd;
  }
  query(index: number): MapsLine | 'none' | 'unknown' {
    return queryMapping(this.fd, index);
  }
  /** Undefined: the address space is gone, or the thread it was opened through is. */
  text(): string | undefined {
    const parts: Buffer[] = [];
    libc.rewind(this.fd);
    for (;;) {
      const part = Buffer.alloc(1 << 16);
      const length = libc.read(this.fd, part);
      if (length <= 0)
        return parts.length === 0 ? undefined : Buffer.concat(parts).toString('latin1');
      parts.push(part.subarray(0, length));
    }
  }
  close(): void {
    libc.close(this.fd);
  }
}

/** The mapping at a page; 'none' when nothing is mapped there, 'unknown' when this kernel cannot say or the process is gone. */
export function queryMapping(mapsFd: number, index: number): MapsLine | 'none' | 'unknown' {
  question.address.writeBigUInt64LE(BigInt(index) << 12n);
  question.sizes.set(NAME_SIZES);
  const rc = libc.ioctl(mapsFd, PROCMAP_QUERY, question.bytes);
  if (rc === -HOST_ERRNO.ENOENT) return 'none';
  return rc < 0 ? 'unknown' : question.answer();
}

/** What is asked and answered: struct procmap_query, and the name. The answer is one object as long as it is the same. */
export class MapQuestion {
  readonly bytes = Buffer.alloc(QUERY_SIZE);
  /** 8 bytes: which mapping is asked for. */
  readonly address = this.bytes.subarray(AT.address, AT.address + 8);
  /** 8 bytes that are to be NAME_SIZES before each question, for the kernel writes there how long the name is. */
  readonly sizes = this.bytes.subarray(AT.nameSize, AT.nameSize + 8);
  readonly #name = Buffer.alloc(NAME_SIZE);
  /** Of the answer that was read last: its bytes, and the name. */
  readonly #last = Buffer.alloc(QUERY_SIZE);
  #lastName = Buffer.alloc(0);
  #line: MapsLine | undefined;

  constructor() {
    this.bytes.writeBigUInt64LE(BigInt(QUERY_SIZE), AT.size);
    setPointer(this.bytes, AT.nameAddress, this.#name);
  }
  answer(): MapsLine {
    const { bytes } = this;
    const name = this.#name.subarray(0, Math.max(0, bytes.readUInt32LE(AT.nameSize) - 1));
    const isSame =
      bytes.compare(this.#last, AT.start, QUERY_SIZE, AT.start, QUERY_SIZE) === 0 &&
      name.equals(this.#lastName);
    if (this.#line && isSame) return this.#line;
    bytes.copy(this.#last);
    this.#lastName = Buffer.from(name);
    this.#line = lineIn(bytes, name.toString('utf8'));
    return this.#line;
  }
}
/** A name may have so many bytes, and no build id is wanted. */
export const NAME_SIZES = Buffer.alloc(8);
NAME_SIZES.writeUInt32LE(NAME_SIZE);
const question = new MapQuestion();

function lineIn(answer: Buffer, name: string): MapsLine {
  const flags = answer.readUInt32LE(AT.flags);
  const inode = answer.readBigUInt64LE(AT.inode);
  const device = `${hex2(answer.readUInt32LE(AT.major))}:${hex2(answer.readUInt32LE(AT.minor))}`;
  // Exact for all 64 bits.
  const page = (at: number): number => Number(answer.readBigUInt64LE(at) >> 12n);
  return {
    start: page(AT.start),
    end: page(AT.end),
    readable: (flags & READABLE) !== 0,
    writable: (flags & WRITABLE) !== 0,
    executable: (flags & EXECUTABLE) !== 0,
    shared: (flags & SHARED) !== 0,
    object: inode === 0n ? undefined : `${device}:${inode}`,
    objectOffset: page(AT.offset),
    huge: answer.readBigUInt64LE(AT.pageSize) > 4096n,
    name,
  };
}
/** As in /proc/PID/maps. */
function hex2(value: number): string {
  return value.toString(16).padStart(2, '0');
}
