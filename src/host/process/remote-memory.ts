/**
 * The memory of a program, from outside.
 *
 * RemoteMemory is copy_from_user() and copy_to_user() in the name of a thread: protections count. AddressSpace is one
 * address space for longer than a call: it dies with it, at exec or at the last exit, and never shows its successor.
 */
import { closeSync, openSync } from 'node:fs';
import { EFAULT, type Status } from '../../base/errno.ts';
import { refuse, type Facts } from '../../base/refuse.ts';
import type { UserMemory } from '../../base/task.ts';
import type { HeldPages, ProcessMemory } from '../../machine/memory/process-memory.ts';
import type { ExactPins } from './exact-pins.ts';
import { syscall } from '../sys/ffi.ts';
import { iovec, pread, pwrite, remoteIovec } from '../sys/libc.ts';
import type { MemoryMap } from './memory-map.ts';
import type { MapsLine } from '../sys/map-query.ts';
import { holdObject, type HostObjects } from './objects.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';

/** Up to here a copy through /proc/PID/mem is the faster one. */
const SMALL = 16384;
const PATH_MAX = 4096;

/** Small copies go through one buffer. */
const bounce = Buffer.alloc(4096);
const bounceVector = iovec(bounce);
const remote = remoteIovec(0n, 0);

function copy(nr: number, tid: number, addr: bigint, bytes: Uint8Array): number {
  const { length } = bytes;
  const small = length <= bounce.length;
  if (small && nr === NR.process_vm_writev) bounce.set(bytes);
  bounceVector.writeUInt32LE(length, 8);
  remote.writeBigUInt64LE(BigInt.asUintN(64, addr), 0);
  remote.writeUInt32LE(length, 8);
  const done = syscall(nr, tid, small ? bounceVector : iovec(bytes), 1, remote, 1, 0);
  if (small && nr === NR.process_vm_readv && done > 0) bytes.set(bounce.subarray(0, done));
  return done;
}

/** A thread's memory, for copies in and out of it. EFAULT as copy_from_user and copy_to_user have it. */
export class RemoteMemory implements UserMemory {
  readonly #tid: number;
  constructor(tid: number) {
    this.#tid = tid;
  }
  read(addr: bigint, into: Uint8Array): Status<'EFAULT'> {
    if (into.length === 0) return undefined;
    const done = copy(NR.process_vm_readv, this.#tid, addr, into);
    if (done === into.length) return undefined;
    return refuse(EFAULT, 'the program gave an address it cannot read', facts(addr, into, done));
  }
  write(addr: bigint, from: Uint8Array): Status<'EFAULT'> {
    if (from.length === 0) return undefined;
    const done = copy(NR.process_vm_writev, this.#tid, addr, from);
    if (done === from.length) return undefined;
    return refuse(EFAULT, 'the program gave an address it cannot write', facts(addr, from, done));
  }
  /** Up to the end of the mapping: how many bytes there were. */
  readSome(addr: bigint, into: Uint8Array): number {
    return Math.max(0, copy(NR.process_vm_readv, this.#tid, addr, into));
  }
  /** May we look into this program at all? Not if its kernel makes it undumpable and we are an ordinary user. */
  get isDenied(): boolean {
    return isDenied(copy(NR.process_vm_readv, this.#tid, 0n, Buffer.alloc(1)));
  }
  /** A path, NUL-terminated, or why there is none. */
  readString(addr: bigint): string | NoPath {
    const chunk = Buffer.alloc(PATH_MAX);
    let length = 0;
    while (length < PATH_MAX) {
      const at = addr + BigInt(length);
      const inPage = 4096 - Number(at & 0xfffn);
      const want = Math.min(length === 0 ? Math.min(inPage, 256) : inPage, PATH_MAX - length);
      const part = chunk.subarray(length, length + want);
      const got = copy(NR.process_vm_readv, this.#tid, at, part);
      if (got <= 0) return { no: isDenied(got) ? 'right' : 'memory' };
      const end = chunk.subarray(0, length + got).indexOf(0, length);
      if (end >= 0) return chunk.toString('utf8', 0, end);
      length += got;
    }
    return { no: 'end' };
  }
}

/**
 * Why there is no path: nothing is mapped there (EFAULT to the caller), it is longer than any (ENAMETOOLONG), or we have no
 * right to look: then the host's kernel answers the call, for it can.
 */
export interface NoPath {
  readonly no: 'memory' | 'end' | 'right';
}

/** EFAULT says that nothing is there, EPERM that we may not know. */
function isDenied(done: number): boolean {
  return done === -HOST_ERRNO.EPERM;
}

function facts(addr: bigint, { length }: Uint8Array, done = 0): Facts {
  return isDenied(done) ? { addr, length, unseen: 'softiommu may not look' } : { addr, length };
}

/** What an address space needs to know of the run. */
export interface SpaceParts {
  readonly map: MemoryMap;
  readonly objects: HostObjects;
  warn(text: string): void;
  /** Present with `--pin=exact`. */
  readonly pins?: ExactPins | undefined;
  /** Address spaces that show a page of an object, and where. */
  showing(
    object: string,
    page: number,
  ): Iterable<{ readonly space: AddressSpace; readonly at: number }>;
}

/** One address space, for pinning: dead after exec or the last exit, whatever the process shows then. */
export class AddressSpace implements ProcessMemory {
  readonly pid: number;
  readonly #memFd: number;
  readonly #parts: SpaceParts;
  readonly #probe = Buffer.alloc(1);
  #alive = true;
  #loss = false;

  /** Undefined when the process is gone or we may not look into it. */
  static open(pid: number, parts: SpaceParts): AddressSpace | undefined {
    try {
      return new AddressSpace(pid, openSync(`/proc/${pid}/mem`, 'r+'), parts);
    } catch {
      return undefined;
    }
  }
  private constructor(pid: number, memFd: number, parts: SpaceParts) {
    this.pid = pid;
    this.#memFd = memFd;
    this.#parts = parts;
  }
  /** /proc/PID/mem stays with the address space it was opened on, and reads as empty when that is gone. */
  get alive(): boolean {
    if (this.#alive && pread(this.#memFd, this.#probe, 0) === 0) this.close();
    return this.#alive;
  }
  read(addr: bigint, into: Uint8Array): Status<'EFAULT'> {
    if (into.length === 0) return undefined;
    if (this.#transfer(pread, NR.process_vm_readv, addr, into) === into.length) return undefined;
    return refuse(EFAULT, 'the address space has nothing readable there', facts(addr, into));
  }
  write(addr: bigint, from: Uint8Array): Status<'EFAULT'> {
    if (from.length === 0) return undefined;
    if (this.#transfer(pwrite, NR.process_vm_writev, addr, from) === from.length) return undefined;
    return refuse(EFAULT, 'the address space has nothing writable there', facts(addr, from));
  }
  vma(index: number): MapsLine | undefined {
    return this.alive ? this.#parts.map.find(this.pid, index) : undefined;
  }
  /** Shared pages by their object; private ones by the host's kernel, if that is wanted. */
  hold(index: number, count: number): HeldPages | undefined {
    const vma = this.vma(index);
    if (!vma) return undefined;
    if (!vma.shared || vma.object === undefined) {
      return this.#parts.pins?.hold(this.pid, index, count);
    }
    const first = vma.objectOffset + (index - vma.start);
    const object = this.#parts.objects.ofMapping(this.pid, vma);
    return object ? holdObject(object, first) : this.#holdMapped(vma.object, first, index);
  }
  /** An object without a descriptor: through this address space, and when it is gone through another that maps it. */
  #holdMapped(object: string, first: number, index: number): HeldPages {
    const copy = (
      page: number,
      use: (space: AddressSpace, at: number) => Status<'EFAULT'>,
    ): Status<'EFAULT'> => {
      if (this.#shows(index + page, object, first + page) && !use(this, index + page)) {
        return undefined;
      }
      for (const { space, at } of this.#parts.showing(object, first + page)) {
        if (space.alive && !use(space, at)) return undefined;
      }
      return refuse(EFAULT, 'no process maps this shared memory any more', { object });
    };
    const va = (at: number, offset: number): bigint => (BigInt(at) << 12n) + BigInt(offset);
    return {
      read: (page, offset, into) => copy(page, (space, at) => space.read(va(at, offset), into)),
      write: (page, offset, from) => copy(page, (space, at) => space.write(va(at, offset), from)),
      release: this.#parts.objects.mappedOnly(object),
    };
  }
  #shows(index: number, object: string, objectIndex: number): boolean {
    const vma = this.vma(index);
    return vma?.object === object && vma.objectOffset + (index - vma.start) === objectIndex;
  }
  lost(): void {
    if (this.#loss) return;
    this.#loss = true;
    const advice = '--pin=exact would have kept them';
    this.#parts.warn(`a device lost its pages of process ${this.pid}, which was killed: ${advice}`);
  }
  close(): void {
    if (!this.#alive) return;
    this.#alive = false;
    closeSync(this.#memFd);
  }
  #transfer(small: typeof pread, large: number, addr: bigint, bytes: Uint8Array): number {
    if (!this.#alive || addr >= 1n << 63n) return -1;
    if (bytes.length <= SMALL) return small(this.#memFd, bytes, addr);
    if (!this.alive) return -1;
    const done = copy(large, this.pid, addr, bytes);
    // What mprotect forbids the program now, a pin still reaches.
    return done === bytes.length ? done : small(this.#memFd, bytes, addr);
  }
}
