/** A trapped call as the kernel reports it (struct seccomp_notif), and what it can be answered. */

import { ARCH_X86_64 } from '../sys/bpf.ts';

/** What becomes of a trapped call: a result, minus an errno, done as it stands, or answered already. */
export type Answer = number | bigint | 'continue' | 'answered';

/** A struct seccomp_notif in memory of ours, which one call after the other is received into. */
export class CallBytes {
  readonly bytes: Buffer;
  /** Its words: what is read of each call is read without a copy. */
  readonly u64: BigUint64Array;
  readonly i32: Int32Array;
  constructor(bytes = Buffer.alloc(CALL_SIZE)) {
    this.bytes = bytes;
    this.u64 = new BigUint64Array(bytes.buffer, bytes.byteOffset, CALL_SIZE / 8);
    this.i32 = new Int32Array(bytes.buffer, bytes.byteOffset, CALL_SIZE / 4);
  }
}
const CALL_SIZE = 80;
/** Words of 32 bits: of struct seccomp_notif, and of struct seccomp_data in it. */
const WORD = { tid: 2, nr: 4, arch: 5, args: 8 } as const;

/** A system call that waits for our answer: who makes it, and its arguments. */
export class Notification {
  readonly id: bigint;
  /** The calling thread. */
  readonly tid: number;
  readonly nr: number;
  /** Made by a program of 32 bits, or as one makes it: the number is one of i386. */
  readonly isForeign: boolean;
  readonly #bytes: CallBytes;
  #isKept = false;
  constructor(bytes: CallBytes) {
    this.#bytes = bytes;
    this.id = bytes.u64[0]!;
    this.tid = bytes.i32[WORD.tid]!;
    this.nr = bytes.i32[WORD.nr]!;
    this.isForeign = bytes.i32[WORD.arch]! >>> 0 !== ARCH_X86_64;
  }
  /** All 64 bits: addresses, lengths, offsets. */
  arg(index: number): bigint {
    return this.#bytes.u64[WORD.args / 2 + index]!;
  }
  /** The lower half as an int: file descriptors. */
  int(index: number): number {
    return this.#bytes.i32[WORD.args + index * 2]!;
  }
  /** The lower half as an unsigned int: flags and commands. */
  uint(index: number): number {
    return this.int(index) >>> 0;
  }
  /** It will be asked after its answer too: its bytes are not for the next request. */
  keep(): void {
    this.#isKept = true;
  }
  /** For the next request: nobody may ask this notification any more. Undefined: somebody will. */
  reclaim(): CallBytes | undefined {
    return this.#isKept ? undefined : this.#bytes;
  }
}

/** Puts a descriptor of ours into the program that waits for an answer: its number there, or minus an errno. */
export interface FdInstaller {
  /** `at`: that number, whatever was open there; else the lowest free one. */
  addFd(
    to: Notification,
    fd: number,
    how: { readonly cloexec: boolean; readonly at?: number },
  ): number;
}
