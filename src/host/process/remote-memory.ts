/** The memory of a waiting thread, from outside: copy_from_user() and copy_to_user() in its name, so that protections count. */
import { EFAULT, type Status } from '../../base/errno.ts';
import { refuse, type Facts } from '../../base/refuse.ts';
import type { UserMemory } from '../../base/task.ts';
import type { PlaceList } from '../../machine/memory/process-memory.ts';
import { callers } from '../sys/callers.ts';
import { syscall } from '../sys/ffi.ts';
import { iovec, remoteIovec } from '../sys/libc.ts';
import { LISTENER } from '../sys/listener-ioctls.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';
import { Steps } from '../sys/steps.ts';
import { callLook } from './call-look.ts';
import { isFilledByPrograms, slowPages } from './slow-pages.ts';

const PATH_MAX = 4096;
/** Nothing can be mapped there. */
export const NOWHERE = (1n << 63n) - 4096n;

/** Small copies go through one buffer. */
const bounce = Buffer.alloc(4096);
const bounceVector = iovec(bounce);
const remote = remoteIovec(0n, 0);
/** Its words, for a bigint costs a call where it is written as bytes. */
const remote64 = new BigUint64Array(remote.buffer, remote.byteOffset, 2);

/** process_vm_readv or process_vm_writev: bytes, or minus an errno. What a program has to fill first is not waited for. */
export function copy(nr: number, tid: number, addr: bigint, bytes: Uint8Array): number {
  if (!slowPages.possible) return copyNow(nr, tid, addr, bytes);
  const write = nr === NR.process_vm_writev;
  const there = slowPages.reachable(tid, { addr, length: bytes.length, write });
  return there > 0 ? copyNow(nr, tid, addr, bytes.subarray(0, there)) : -HOST_ERRNO.EFAULT;
}
function copyNow(nr: number, tid: number, addr: bigint, bytes: Uint8Array): number {
  const { length } = bytes;
  const small = length <= bounce.length;
  const writes = nr === NR.process_vm_writev;
  if (small && writes) bounce.set(bytes);
  bounceVector.writeUInt32LE(length, 8);
  remote64[0] = addr;
  remote.writeUInt32LE(length, 8);
  const vector = small ? bounceVector : iovec(bytes);
  if (writes) {
    const done = small ? smallWrite(tid) : write(tid, vector);
    callLook.wrote(tid, addr, bytes, done);
    return done;
  }
  const done = syscall(nr, tid, vector, 1, remote, 1, 0);
  if (callers.isGone(tid)) return -HOST_ERRNO.ESRCH;
  if (small && done > 0) bytes.set(bounce.subarray(0, done));
  return done;
}
function write(tid: number, vector: Uint8Array): number {
  if (callers.isGone(tid)) return -HOST_ERRNO.ESRCH;
  return syscall(NR.process_vm_writev, tid, vector, 1, remote, 1, 0);
}
/** What is in the buffer, and whether the caller still waits, in one crossing: an ioctl that writes its struct back took 6 % more. */
function smallWrite(tid: number): number {
  if (!callers.inSteps || !callers.aim(tid)) return write(tid, bounceVector);
  return (writeList ??= new WriteList()).run(tid);
}
let writeList: WriteList | undefined;

class WriteList {
  readonly #steps = new Steps(3);
  readonly #ask = this.#steps.call(NR.ioctl, 0, LISTENER.isValid, callers.id);
  readonly #isThere = this.#steps.expect(this.#ask, 0);
  readonly #write = this.#steps.call(NR.process_vm_writev, 0, bounceVector, 1, remote, 1, 0);

  /** Bytes, or minus an errno. */
  run(tid: number): number {
    const steps = this.#steps;
    steps.set(this.#ask, 0, callers.listener);
    steps.set(this.#write, 0, tid);
    return steps.run() === this.#isThere ? -HOST_ERRNO.ESRCH : steps.result(this.#write);
  }
}

/** UIO_MAXIOV: more the kernel takes in no call. */
const MOST_PLACES = 1024;
const placeVectors = Buffer.alloc(MOST_PLACES * 16);
const placeWords = new Uint32Array(placeVectors.buffer, placeVectors.byteOffset, MOST_PLACES * 4);

/** The same for many addresses in one call, of which none may be slow: bytes from the first on, or minus an errno. */
export function copyPlaces(nr: number, tid: number, list: PlaceList): number {
  const { places, lengths } = list;
  const count = Math.min(places.length, MOST_PLACES);
  if (nr === NR.process_vm_writev) callLook.drop();
  for (let n = 0; n < count; n++) {
    placeWords[n * 4] = places[n]! >>> 0;
    placeWords[n * 4 + 1] = places[n]! / 2 ** 32;
    placeWords[n * 4 + 2] = lengths[n]!;
    placeWords[n * 4 + 3] = 0;
  }
  return syscall(nr, tid, iovec(list.bytes), 1, placeVectors, count, 0);
}

/** What the host's kernel finds nothing at, and we do. False: neither do we. */
export interface Beyond {
  read(addr: bigint, into: Uint8Array): boolean;
  write(addr: bigint, from: Uint8Array): boolean;
}

/** How copies are made. */
export interface CopyHow {
  /** Asked for what cannot be copied as a whole. */
  readonly beyond?: Beyond;
  /**
   * The thread has stopped at an instruction, not in a call that it can make again. Then only a page that a program fills is
   * not there; any other comes by itself.
   */
  readonly isStopped?: true;
}

/** A thread's memory, for copies in and out of it. EFAULT as copy_from_user and copy_to_user have it. */
export class RemoteMemory implements UserMemory {
  readonly #tid: number;
  readonly #how: CopyHow;
  constructor(tid: number, how: CopyHow = {}) {
    this.#tid = tid;
    this.#how = how;
  }
  #copy(nr: number, addr: bigint, bytes: Uint8Array): number {
    if (this.#how.isStopped !== true) return copy(nr, this.#tid, addr, bytes);
    const isSlow = this.isSlow(addr, bytes.length, nr === NR.process_vm_writev);
    return isSlow ? -HOST_ERRNO.EFAULT : copyNow(nr, this.#tid, addr, bytes);
  }
  read(addr: bigint, into: Uint8Array): Status<'EFAULT'> {
    if (into.length === 0 || callLook.read(this.#tid, addr, into)) return undefined;
    const done = this.#copy(NR.process_vm_readv, addr, into);
    if (done === into.length || this.#how.beyond?.read(addr, into) === true) return undefined;
    return refuse(EFAULT, 'the program gave an address it cannot read', facts(addr, into, done));
  }
  write(addr: bigint, from: Uint8Array): Status<'EFAULT'> {
    if (from.length === 0) return undefined;
    const done = this.#copy(NR.process_vm_writev, addr, from);
    if (done === from.length || this.#how.beyond?.write(addr, from) === true) return undefined;
    return refuse(EFAULT, 'the program gave an address it cannot write', facts(addr, from, done));
  }
  /** Up to the end of the mapping: how many bytes there were. */
  readSome(addr: bigint, into: Uint8Array): number {
    return Math.max(0, this.#copy(NR.process_vm_readv, addr, into));
  }
  /** Would a copy wait for a program? */
  isSlow(addr: bigint, length: number, write: boolean): boolean {
    if (!slowPages.possible) return false;
    const touched = { addr, length, write };
    return (
      slowPages.reachable(this.#tid, touched) < length && isFilledByPrograms(this.#tid, touched)
    );
  }
  /** May we look into this program at all? Not if its kernel makes it undumpable and we are an ordinary user. */
  get isDenied(): boolean {
    return isDenied(copyNow(NR.process_vm_readv, this.#tid, NOWHERE, Buffer.alloc(1)));
  }
  /** A path, NUL-terminated, one character a byte, for its bytes may be no text; or why there is none. */
  readString(addr: bigint): string | NoPath {
    const chunk = Buffer.alloc(PATH_MAX);
    let length = 0;
    while (length < PATH_MAX) {
      const at = addr + BigInt(length);
      const inPage = 4096 - Number(at & 0xfffn);
      const want = Math.min(length === 0 ? Math.min(inPage, 256) : inPage, PATH_MAX - length);
      const part = chunk.subarray(length, length + want);
      const got = this.#copy(NR.process_vm_readv, at, part);
      if (got <= 0) return { no: isDenied(got) ? 'right' : 'memory' };
      const end = chunk.subarray(0, length + got).indexOf(0, length);
      if (end >= 0) return chunk.toString('latin1', 0, end);
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
