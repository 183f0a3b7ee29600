/**
 * A thread that another program of the run traces, steered by that one: its tracer's own thread makes the requests of
 * ptrace(2) for us, as a script (seccomp/in-thread.ts), while the thread is in a stop that the tracer is about to end.
 *
 * Stops of the thread meanwhile are looked at and left: none is taken from the tracer, which hears of the last one only if
 * it waits for it. The end of the thread is the tracer's to hear of.
 */
import { copy } from '../process/remote-memory.ts';
import type { SyscallArgument } from '../sys/ffi.ts';
import { syscallInstruction } from '../mmio/thread-call.ts';
import { HOST_ERRNO, MAP_ANONYMOUS, MAP_PRIVATE, NR, PTRACE, SIGTRAP } from '../sys/numbers.ts';
import { ALL_SIGNALS, NT_X86_XSTATE, REGS, REGS_SIZE, REQUEST } from '../sys/ptrace.ts';
import { registersForCall, SYSCALL_STOP } from '../sys/ptrace.ts';
import { syscall } from '../sys/ffi.ts';
import {
  marked,
  NO_FILE,
  ours,
  poke,
  type InjectedCall,
  type Script,
} from '../seccomp/in-thread.ts';

const PROT_READ_WRITE = 3;
/** Room in the tracer: for what is small, and then for an XSAVE area. */
const VECTORS = 4096;
const VECTOR_SIZE = 24_576;
const ROOM = VECTORS + VECTOR_SIZE;
const SYSCALL_LENGTH = 2n;
const SIGINFO = { code: 8, status: 24, size: 128 } as const;
const CLD_TRAPPED = 4;
const P_PID = 1;
/** WSTOPPED | WEXITED | WNOWAIT | __WALL */
const LOOK = 2 | 4 | 0x0100_0000 | 0x4000_0000;
const EXECS: ReadonlySet<number> = new Set([NR.execve, NR.execveat]);

/** Who is who. */
export interface Traced {
  readonly tid: number;
  /** The thread that traces it. */
  readonly tracer: number;
}

/** Requests about a stopped thread. Results are those of ptrace(2). */
export class ByTracer {
  readonly #of: Traced;
  #room = 0n;
  constructor(traced: Traced) {
    this.#of = traced;
  }

  /** `use` finds room for what requests point to. */
  *within(use: () => Script<number>): Script<number> {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const room = yield* ours(NR.mmap, 0, ROOM, PROT_READ_WRITE, flags, NO_FILE, 0);
    if (room < 0) return room;
    this.#room = BigInt(room);
    const result = yield* use();
    yield* ours(NR.munmap, room, ROOM);
    return result;
  }

  request(request: number, addr: SyscallArgument = 0, data: SyscallArgument = 0): Script<number> {
    return ours(NR.ptrace, request, this.#of.tid, addr, data);
  }
  /** One that gives bytes. */
  *get(request: number, into: Uint8Array, addr = 0): Script<number> {
    const rc = yield* this.request(request, addr, this.#room);
    if (rc < 0) return rc;
    const got = copy(NR.process_vm_readv, this.#of.tracer, this.#room, into);
    return got === into.length ? rc : -HOST_ERRNO.EFAULT;
  }
  /** One that takes bytes. */
  *set(request: number, from: Uint8Array, addr = 0): Script<number> {
    if (!poke(this.#of.tracer, this.#room, from)) return -HOST_ERRNO.EFAULT;
    return yield* this.request(request, addr, this.#room);
  }
  /** An XSAVE area: its length. */
  *getVectors(into: Buffer): Script<number> {
    this.#pokeVector(VECTOR_SIZE);
    const rc = yield* this.request(REQUEST.getRegSet, NT_X86_XSTATE, this.#room);
    if (rc < 0) return rc;
    const iov = Buffer.alloc(16);
    copy(NR.process_vm_readv, this.#of.tracer, this.#room, iov);
    const length = Number(iov.readBigUInt64LE(8));
    const at = this.#room + BigInt(VECTORS);
    return copy(NR.process_vm_readv, this.#of.tracer, at, into.subarray(0, length));
  }
  *setVectors(from: Uint8Array): Script<number> {
    this.#pokeVector(from.length);
    poke(this.#of.tracer, this.#room + BigInt(VECTORS), from);
    return yield* this.request(REQUEST.setRegSet, NT_X86_XSTATE, this.#room);
  }
  #pokeVector(length: number): void {
    const iov = Buffer.alloc(16);
    iov.writeBigUInt64LE(this.#room + BigInt(VECTORS), 0);
    iov.writeBigUInt64LE(BigInt(length), 8);
    poke(this.#of.tracer, this.#room, iov);
  }

  /**
   * As soon as its tracer lets go of it, it is to make a call that is trapped, so that it does nothing before we have it. The
   * registers it is to go on with then.
   */
  *hold(regs: Buffer): Script<number> {
    const { tid } = this.#of;
    const at = syscallInstruction(tid);
    if (at === 0n) return -HOST_ERRNO.EFAULT;
    const rc = yield* this.get(REQUEST.getRegs, regs);
    if (rc < 0) return rc;
    return yield* this.set(
      REQUEST.setRegs,
      registersForCall(regs, at, NR.ptrace, [PTRACE.detach, tid, 0, 0, 0, 0]),
    );
  }
  /** Its tracer has not let go of it. */
  restore(regs: Buffer): Script<number> {
    return this.set(REQUEST.setRegs, regs);
  }

  /**
   * The thread, which has come out of a system call, makes the calls of a script, and has the result of the script as the
   * result of its call. Minus an errno when it is no more there.
   */
  *follow(script: Script): Script<number> {
    const saved = Buffer.alloc(REGS_SIZE);
    const mask = Buffer.alloc(8);
    let rc = yield* this.get(REQUEST.getRegs, saved);
    if (rc >= 0) rc = yield* this.get(REQUEST.getSigMask, mask, mask.length);
    if (rc >= 0) rc = yield* this.#setMask(ALL_SIGNALS);
    if (rc < 0) return rc;
    const stops: number[] = [];
    let step = script.next(0);
    while (!step.done) {
      const registers = callIn(saved, step.value);
      rc = yield* this.set(REQUEST.setRegs, registers);
      // It is another program afterwards: its tracer sees the call as any other.
      if (step.value.own && EXECS.has(step.value.nr)) return yield* this.#leave(script, mask);
      if (rc >= 0) rc = yield* this.#through(stops);
      if (rc >= 0) rc = yield* this.get(REQUEST.getRegs, registers);
      if (rc < 0) {
        script.return(0);
        return rc;
      }
      step = script.next(Number(registers.readBigInt64LE(REGS.rax)));
    }
    saved.writeBigInt64LE(BigInt(step.value), REGS.rax);
    rc = yield* this.set(REQUEST.setRegs, saved);
    yield* this.set(REQUEST.setSigMask, mask, mask.length);
    for (const signal of stops) syscall(NR.tkill, this.#of.tid, signal);
    return rc;
  }
  *#leave(script: Script, mask: Buffer): Script<number> {
    script.return(0);
    return yield* this.set(REQUEST.setSigMask, mask, mask.length);
  }
  *#setMask(mask: bigint): Script<number> {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(mask);
    return yield* this.set(REQUEST.setSigMask, bytes, bytes.length);
  }
  /** Into a system call and out of it. What cannot be held back is for later. */
  *#through(stops: number[]): Script<number> {
    for (let passed = 0; passed < 2;) {
      const rc = yield* this.request(REQUEST.untilSyscall);
      if (rc < 0) return rc;
      const status = yield* this.#stop();
      if (status < 0) return status;
      if (status === SYSCALL_STOP || status === SIGTRAP) passed++;
      else if (status >> 8 === 0) stops.push(status);
    }
    return 0;
  }
  /** The next one: its signal, and above it its event. */
  *#stop(): Script<number> {
    const { tid, tracer } = this.#of;
    const rc = yield* ours(NR.waitid, P_PID, tid, this.#room, LOOK, 0);
    if (rc < 0) return rc;
    const info = Buffer.alloc(SIGINFO.size);
    copy(NR.process_vm_readv, tracer, this.#room, info);
    const hasStopped = info.readInt32LE(SIGINFO.code) === CLD_TRAPPED;
    return hasStopped ? info.readInt32LE(SIGINFO.status) : -HOST_ERRNO.ESRCH;
  }
}

function callIn(saved: Buffer, { nr, args }: InjectedCall): Buffer {
  const rip = saved.readBigUInt64LE(REGS.rip) - SYSCALL_LENGTH;
  return registersForCall(saved, rip, nr, marked(args));
}
