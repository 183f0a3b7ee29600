/**
 * Pages that are memory to programs for a while, and at other times fault at each touch: a file that has bytes, or none.
 *
 * No store is lost. They appear with their content, as what is written past the end of a file does. Before the file becomes
 * empty they are put into a pipe (vmsplice), which keeps them: when no program reaches them any more, what the pipe has is
 * what was stored last.
 */
import { Shortage } from '../../base/shortage.ts';
import { syscall } from '../sys/ffi.ts';
import { canCopy } from '../sys/file-view.ts';
import { guardedCopy } from '../sys/guarded-copy.ts';
import * as libc from '../sys/libc.ts';
import { lookAt, objectOf } from '../sys/look.ts';
import {
  HOST_ERRNO,
  MAP_SHARED,
  NR,
  O_CLOEXEC,
  O_NONBLOCK,
  PROT_READ_WRITE,
} from '../sys/numbers.ts';
import { reopenMarked, seal } from '../sys/open-file-description.ts';
import { orShortage } from '../sys/shortage.ts';

const FROM_START = [0];

/** Descriptors and memory of ours that they are made of. */
interface LentParts {
  readonly fd: number;
  /** Where we have them mapped. */
  readonly at: number;
  readonly pipe: readonly [readEnd: number, writeEnd: number];
}

/** Pages of one file. */
export class LentPages {
  /** Their file, as /proc/PID/maps writes it. */
  readonly object: string;
  /** Bytes, of whole pages. */
  readonly length: number;
  readonly #parts: LentParts;
  readonly #vector = Buffer.alloc(16);
  #isLent = false;
  #isFree = false;

  /** Undefined: the host does not allow it, or has no room. */
  static create(length: number): LentPages | undefined {
    const fd = orShortage(() =>
      libc.memfdCreate('softiommu-doorbells', libc.MFD_CLOEXEC | libc.MFD_ALLOW_SEALING),
    );
    if (fd instanceof Shortage || fd < 0) return undefined;
    seal(fd, 0);
    const look = lookAt(`/proc/self/fd/${fd}`);
    const pipe = orShortage(() => libc.pipe2(O_CLOEXEC | O_NONBLOCK));
    const at = syscall(NR.mmap, 0, length, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    if (!look || pipe instanceof Shortage || typeof pipe === 'number' || at < 0) {
      if (at >= 0) syscall(NR.munmap, at, length);
      if (Array.isArray(pipe)) pipe.forEach(libc.close);
      libc.close(fd);
      return undefined;
    }
    const pages = new LentPages({ fd, at, pipe }, objectOf(look), length);
    // Nobody has it yet: what can fail fails now.
    if (pages.lend(Buffer.alloc(length)) && pages.takeBack(Buffer.alloc(length))) return pages;
    pages.free();
    return undefined;
  }
  private constructor(parts: LentParts, object: string, length: number) {
    this.#parts = parts;
    this.object = object;
    this.length = length;
    this.#vector.writeBigUInt64LE(BigInt(parts.at), 0);
    this.#vector.writeBigUInt64LE(BigInt(length), 8);
  }

  /**
   * An open file description of its own, for a program to map: it lives as long as what was mapped through it. Minus an errno;
   * throws Shortage.
   */
  reopen(mark: number): number {
    if (this.#isFree) return -HOST_ERRNO.EBADF; // the number may be another file's by now
    return reopenMarked(this.#parts.fd, mark);
  }
  /** Of their file. */
  get fd(): number {
    return this.#parts.fd;
  }
  get isLent(): boolean {
    return this.#isLent;
  }

  /** From now on they are memory, with this content, which is as long as they are. False: they are not. */
  lend(content: Uint8Array): boolean {
    this.#isLent = libc.pwrite(this.#parts.fd, content, 0) === this.length;
    return this.#isLent;
  }
  /** What is there, from their beginning on: by our own mapping, or without code of ours by a call, which takes thrice as long. */
  look(into: Uint8Array): void {
    const list = { bytes: into, places: FROM_START, lengths: [into.length] };
    const moved = canCopy() ? guardedCopy(this.#parts.at, list, false) : 0;
    if (moved < into.length) libc.pread(this.#parts.fd, into, 0);
  }
  /** From now on they fault; `into`, as long as they are, has what was there. False: they are memory as before. */
  takeBack(into: Uint8Array): boolean {
    const { fd, pipe } = this.#parts;
    const kept = syscall(NR.vmsplice, pipe[1], this.#vector, 1, 0);
    const isEmpty = kept === this.length && libc.ftruncate(fd, 0) === 0;
    if (kept > 0) libc.read(pipe[0], into.subarray(0, kept));
    this.#isLent &&= !isEmpty;
    return isEmpty;
  }
  free(): void {
    const { at, fd, pipe } = this.#parts;
    this.#isFree = true;
    syscall(NR.munmap, at, this.length);
    [fd, ...pipe].forEach(libc.close);
  }
}
