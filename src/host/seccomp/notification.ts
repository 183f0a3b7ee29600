/** A trapped call as the kernel reports it (struct seccomp_notif), and what it can be answered. */

import { ARCH_X86_64 } from '../sys/bpf.ts';

/** What becomes of a trapped call: a result, minus an errno, done as it stands, or answered already. */
export type Answer = number | bigint | 'continue' | 'answered';

/** A system call that waits for our answer: who makes it, and its arguments. */
export class Notification {
  readonly id: bigint;
  /** The calling thread. */
  readonly tid: number;
  readonly nr: number;
  /** Made by a program of 32 bits, or as one makes it: the number is one of i386. */
  readonly isForeign: boolean;
  /** struct seccomp_notif of this call. */
  readonly #bytes: Buffer;
  #isKept = false;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.id = bytes.readBigUInt64LE(0);
    this.tid = bytes.readUInt32LE(8);
    this.nr = bytes.readInt32LE(16);
    this.isForeign = bytes.readUInt32LE(20) !== ARCH_X86_64;
  }
  /** All 64 bits: addresses, lengths, offsets. */
  arg(index: number): bigint {
    return this.#bytes.readBigUInt64LE(32 + index * 8);
  }
  /** The lower half as an int: file descriptors. */
  int(index: number): number {
    return this.#bytes.readInt32LE(32 + index * 8);
  }
  /** The lower half as an unsigned int: flags and commands. */
  uint(index: number): number {
    return this.#bytes.readUInt32LE(32 + index * 8);
  }
  /** It will be asked after its answer too: its bytes are not for the next request. */
  keep(): void {
    this.#isKept = true;
  }
  /** For the next request: nobody may ask this notification any more. Undefined: somebody will. */
  reclaim(): Buffer | undefined {
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
