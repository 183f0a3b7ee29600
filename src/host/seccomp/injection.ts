/**
 * System calls made by a program's thread on our behalf, while it waits for the answer to a trapped call:
 * what only the process itself can do, as going to a directory, mapping memory, or pinning it.
 *
 * The trapped call is answered at the start, because only then can the thread be stopped; the real result is put into
 * its register at the end.
 */
import { addressOf, syscall } from '../sys/ffi.ts';
import { HOST_ERRNO, INJECTED_CALL, NR, SIGTRAP } from '../sys/numbers.ts';
import { iovec, waitFor } from '../sys/libc.ts';
import * as ptrace from '../sys/ptrace.ts';
import { REGS, REGS_SIZE } from '../sys/ptrace.ts';

const SYSCALL_LENGTH = 2n;
const ARGUMENTS = [REGS.rdi, REGS.rsi, REGS.rdx, REGS.r10, REGS.r8, REGS.r9];
/** Lets the filter pass what it would otherwise trap, which would never be answered while we wait. */
const NOT_GIVEN = [0, 0, 0, 0, 0, INJECTED_CALL << 32n];
/** Below the red zone of the stack: nobody minds what is there while the thread is stopped. */
const SCRATCH_BELOW_STACK = 1024n;

/** A thread that waits in a trapped call and makes system calls for us. */
export class Injection {
  readonly tid: number;
  readonly #alreadySeized: boolean;
  readonly #saved = Buffer.alloc(REGS_SIZE);
  /** Signals that came in between, for the thread to get afterwards. */
  readonly #signals: number[] = [];
  readonly #atEnd: (() => void)[] = [];
  #alive = true;

  /** Minus an errno when the thread cannot be traced: the trapped call is not answered then. */
  static begin(
    tid: number,
    how: { readonly alreadySeized: boolean; readonly release: () => void },
  ): Injection | number {
    if (!how.alreadySeized) {
      const rc = ptrace.seize(tid, 0);
      if (rc < 0) return rc;
    }
    ptrace.interrupt(tid);
    how.release();
    return new Injection(tid, how.alreadySeized);
  }

  private constructor(tid: number, alreadySeized: boolean) {
    this.tid = tid;
    this.#alreadySeized = alreadySeized;
    this.#alive = isStop(waitFor(tid)?.status);
    if (this.#alive) ptrace.getRegs(tid, this.#saved);
  }

  /** Room for 512 bytes in the program's memory. */
  get scratch(): bigint {
    return this.#saved.readBigUInt64LE(REGS.rsp) - SCRATCH_BELOW_STACK;
  }

  /** The result of the call as the kernel gave it to the program. */
  run(nr: number, ...args: readonly (number | bigint)[]): number {
    const regs = Buffer.from(this.#saved);
    regs.writeBigInt64LE(BigInt(nr), REGS.rax);
    regs.writeBigInt64LE(-1n, REGS.origRax);
    ARGUMENTS.forEach((at, index) =>
      regs.writeBigInt64LE(BigInt.asIntN(64, BigInt(args[index] ?? NOT_GIVEN[index]!)), at),
    );
    regs.writeBigUInt64LE(this.#saved.readBigUInt64LE(REGS.rip) - SYSCALL_LENGTH, REGS.rip);
    ptrace.setRegs(this.tid, regs);
    if (!this.#step()) return -HOST_ERRNO.ESRCH;
    ptrace.getRegs(this.tid, regs);
    return Number(regs.readBigInt64LE(REGS.rax));
  }
  /** Until the system call instruction is done: a signal stops the thread before it. */
  #step(): boolean {
    while (this.#alive) {
      ptrace.singleStep(this.tid);
      const status = waitFor(this.tid)?.status;
      this.#alive = isStop(status);
      const signal = ((status ?? 0) >> 8) & 0xff;
      if (signal === SIGTRAP) return this.#alive;
      if (this.#alive) this.#signals.push(signal);
    }
    return false;
  }

  /** Something to do in the thread before it goes on. */
  atEnd(run: () => void): void {
    this.#atEnd.push(run);
  }
  /** The thread goes on as if its trapped call had returned `result`. */
  finish(result: number | bigint): void {
    for (const run of this.#atEnd) run();
    if (!this.#alive) return;
    this.#saved.writeBigInt64LE(BigInt(result), REGS.rax);
    ptrace.setRegs(this.tid, this.#saved);
    for (const signal of this.#signals) syscall(NR.tkill, this.tid, signal);
    if (this.#alreadySeized) ptrace.resume(this.tid);
    else ptrace.detach(this.tid);
  }
}

function isStop(status: number | undefined): boolean {
  return status !== undefined && (status & 0xff) === 0x7f;
}

/** Write into the program's memory while it is stopped. */
export function poke(tid: number, at: bigint, bytes: Uint8Array): boolean {
  const local = iovec(addressOf(bytes), bytes.length);
  const remote = iovec(at, bytes.length);
  const args = [addressOf(local), 1, addressOf(remote), 1, 0];
  return syscall(NR.process_vm_writev, tid, ...args) === bytes.length;
}
