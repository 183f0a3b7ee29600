/**
 * A thread that another program of the run traces, steered by that one: its tracer's own thread makes the requests of
 * ptrace(2) for us, as a script (seccomp/in-thread.ts), while the thread is in a stop that the tracer is about to end.
 *
 * Stops of the thread meanwhile are looked at and left: none is taken from the tracer, which hears of the last one only if
 * it waits for it. The end of the thread is the tracer's to hear of.
 */
import { copy } from '../process/remote-memory.ts';
import { syscall, type SyscallArgument } from '../sys/ffi.ts';
import { heldRegisters } from '../mmio/thread-call.ts';
import { WALL, WNOHANG } from '../sys/libc.ts';
import {
  ERESTARTNOINTR,
  HOST_ERRNO,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  NR,
  PROT_READ_WRITE,
  SIGSTOP,
  SIGTRAP,
} from '../sys/numbers.ts';
import {
  ALL_SIGNALS,
  EVENT,
  isBeforeCall,
  isInterrupted,
  NT_X86_XSTATE,
  registersForCall,
  REGS,
  REGS_SIZE,
  REQUEST,
  SIGINFO_SIZE,
  SYSCALL_STOP,
} from '../sys/ptrace.ts';
import { pendingSignals } from '../sys/signals.ts';
import {
  marked,
  NO_FILE,
  ours,
  poke,
  type InjectedCall,
  type Script,
} from '../seccomp/in-thread.ts';

/** Room in the tracer: for what is small, and then for an XSAVE area. */
const VECTORS = 4096;
const VECTOR_SIZE = 24_576;
const ROOM = VECTORS + VECTOR_SIZE;
const SYSCALL_LENGTH = 2n;
const SIGINFO = { code: 8, pid: 16, status: 24, size: 128 } as const;
const CLD_TRAPPED = 4;
const P_PID = 1;
const WNOWAIT = 0x0100_0000;
/** Of waitid(2): WSTOPPED | WEXITED | WNOWAIT | __WALL */
const LOOK = 2 | 4 | WNOWAIT | WALL;
/** What waitid(2) says of a stop by PTRACE_INTERRUPT: SIGTRAP, and PTRACE_EVENT_STOP above it. */
const INTERRUPTED = SIGTRAP | (EVENT.stop << 8);
/**
 * So long, in milliseconds, the tracer sleeps between looks at a call that waits. Then the call is interrupted, and made again when
 * the program makes its own again: what it waits for may be another program of the same tracer.
 */
const PATIENCE = [0, 1, 2, 4, 8, 16, 32, 64];
const EXECS: ReadonlySet<number> = new Set([NR.execve, NR.execveat]);

/** So many of a program's own may come before one of ours. */
const MOST_SIGNALS = 8;
/** si_code of a signal that a process has made up. */
const SI_QUEUE = -1;

/** The siginfo_t of a signal that only the tracer of a thread is to hear of: nobody is named as its sender. */
export function knockInfo(signal: number): Buffer {
  const info = Buffer.alloc(SIGINFO_SIZE);
  info.writeInt32LE(signal, 0);
  info.writeInt32LE(SI_QUEUE, 8);
  return info;
}

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
  /** A SIGSTOP of ours is on its way, which takes the thread out of a call that waits. */
  #isHurried = false;
  constructor(traced: Traced) {
    this.#of = traced;
  }

  get tid(): number {
    return this.#of.tid;
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
   * registers it is to go on with then: `held` where it is still about to make such a call, because it has been attached to
   * before it could.
   */
  *hold(regs: Buffer, held?: Buffer): Script<number> {
    const { tid } = this.#of;
    const rc = yield* this.get(REQUEST.getRegs, regs);
    if (rc < 0) return rc;
    const waiting = heldRegisters(tid, regs);
    if (!waiting) return -HOST_ERRNO.EFAULT;
    if (held && isHolding(regs, waiting)) {
      held.copy(regs);
      return rc;
    }
    if (yield* this.#isBeforeCall()) makeAgain(regs);
    return yield* this.set(REQUEST.setRegs, waiting);
  }
  *#isBeforeCall(): Generator<InjectedCall, boolean, number> {
    const info = Buffer.alloc(SIGINFO_SIZE);
    const message = Buffer.alloc(8);
    const rc = yield* this.get(REQUEST.getSigInfo, info);
    return rc >= 0 && (yield* this.get(REQUEST.getEventMessage, message)) >= 0
      ? isBeforeCall(info, message)
      : false;
  }
  /**
   * It has been held back for an attachment, which has just been made: it goes on as it was before. After PTRACE_SEIZE as if it
   * had never stopped, but where something else stops it, which is for its tracer.
   */
  *goOn(isSeized: boolean, regs: Buffer, toItsStop: () => void): Script<number> {
    if (isSeized) yield* this.request(REQUEST.interrupt);
    toItsStop();
    const stop = yield* this.#stop(LOOK);
    if (stop < 0) return stop;
    const rc = yield* this.restore(regs);
    if (rc < 0 || !isSeized || stop !== INTERRUPTED) return rc;
    yield* this.#stop(LOOK & ~WNOWAIT);
    return yield* this.request(REQUEST.cont);
  }
  /** It goes on to what comes next: a signal that it has already. */
  *toNextStop(): Script<number> {
    const rc = yield* this.request(REQUEST.cont);
    return rc < 0 ? rc : yield* this.#stop(LOOK);
  }
  /** A signal that we have sent to the thread, as knockInfo() says, is taken from it. */
  *takeKnock(signal: number): Script<number> {
    const info = Buffer.alloc(SIGINFO_SIZE);
    let rc = yield* this.get(REQUEST.getSigInfo, info);
    let passed = info.equals(knockInfo(signal)) ? signal : 0;
    for (let stops = 0; rc >= 0 && passed !== signal && stops < MOST_SIGNALS; stops++) {
      // It is in the kernel, and comes to the next signal before it does anything else.
      rc = yield* this.request(REQUEST.untilSyscall, 0, passed);
      if (rc >= 0) passed = yield* this.#stop(LOOK);
    }
    return rc;
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
    let rc = yield* this.#begin(saved, mask);
    if (rc < 0) return rc;
    const stops: number[] = [];
    let step = script.next(0);
    while (!step.done) {
      const registers = callIn(saved, step.value);
      rc = yield* this.set(REQUEST.setRegs, registers);
      // It is another program afterwards: its tracer sees the call as any other.
      if (step.value.own && EXECS.has(step.value.nr)) return yield* this.#leave(script, mask);
      if (rc >= 0) rc = yield* this.#through(stops, step.value.own === true);
      if (rc >= 0) rc = yield* this.get(REQUEST.getRegs, registers);
      if (rc < 0) {
        script.return(0);
        return rc;
      }
      step = script.next(Number(registers.readBigInt64LE(REGS.rax)));
    }
    if (this.#isHurried) rc = yield* this.#takeStop(saved, stops);
    if (rc < 0) return rc;
    rc = yield* this.set(REQUEST.setRegs, this.#answered(saved, Number(step.value), mask));
    yield* this.set(REQUEST.setSigMask, mask, mask.length);
    for (const signal of stops) syscall(NR.tkill, this.#of.tid, signal);
    return rc;
  }
  /** Its registers and its mask, and all signals held back. */
  *#begin(saved: Buffer, mask: Buffer): Script<number> {
    let rc = yield* this.get(REQUEST.getRegs, saved);
    if (rc >= 0) rc = yield* this.get(REQUEST.getSigMask, mask, mask.length);
    return rc < 0 ? rc : yield* this.#setMask(ALL_SIGNALS);
  }
  /** Our SIGSTOP came too late for a call that waits: it is taken in another. */
  *#takeStop(saved: Buffer, stops: number[]): Script<number> {
    const rc = yield* this.set(REQUEST.setRegs, callIn(saved, { nr: NR.getpid, args: [] }));
    return rc < 0 ? rc : yield* this.#through(stops, false);
  }
  /**
   * The registers of a thread whose call has had this result. One that was interrupted is made again: by the kernel, as the meaning
   * of the signal says, or here where no signal of the program's waits.
   */
  #answered(saved: Buffer, result: number, mask: Buffer): Buffer {
    const waiting = pendingSignals(this.#of.tid) & ~mask.readBigUInt64LE();
    if (isInterrupted(result) && waiting === 0n) {
      const call = saved.readBigInt64LE(REGS.origRax);
      saved.writeBigInt64LE(call, REGS.rax);
      saved.writeBigUInt64LE(saved.readBigUInt64LE(REGS.rip) - SYSCALL_LENGTH, REGS.rip);
    } else saved.writeBigInt64LE(BigInt(result), REGS.rax);
    return saved;
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
  /** Into a system call, which may wait, and out of it. What cannot be held back is for later. */
  *#through(stops: number[], mayWait: boolean): Script<number> {
    for (let passed = 0; passed < 2;) {
      const rc = yield* this.request(REQUEST.untilSyscall);
      if (rc < 0) return rc;
      const status = yield* mayWait && passed === 1 ? this.#stopInTime() : this.#stop(LOOK);
      if (status < 0) return status;
      if (status === SYSCALL_STOP || status === SIGTRAP) passed++;
      else if (status === SIGSTOP && this.#isHurried) this.#isHurried = false;
      else if (status >> 8 === 0) stops.push(status);
    }
    return 0;
  }
  /** The next one, for which the thread is hurried when it does not come. */
  *#stopInTime(): Script<number> {
    for (const ms of PATIENCE) {
      const status = yield* this.#stop(LOOK | WNOHANG);
      if (status !== 0) return status;
      yield* ours(NR.poll, 0, 0, ms);
    }
    if (!this.#isHurried) syscall(NR.tkill, this.#of.tid, SIGSTOP);
    this.#isHurried = true;
    return yield* this.#stop(LOOK);
  }
  /** The next one: its signal, and above it its event. 0: there is none yet. */
  *#stop(how: number): Script<number> {
    const { tid, tracer } = this.#of;
    let rc = -ERESTARTNOINTR;
    // Whoever traces the tracer may want it to stop; no signal comes through.
    while (isInterrupted(rc)) rc = yield* ours(NR.waitid, P_PID, tid, this.#room, how, 0);
    if (rc < 0) return rc;
    const info = Buffer.alloc(SIGINFO.size);
    copy(NR.process_vm_readv, tracer, this.#room, info);
    if (info.readInt32LE(SIGINFO.pid) === 0) return 0;
    const hasStopped = info.readInt32LE(SIGINFO.code) === CLD_TRAPPED;
    return hasStopped ? info.readInt32LE(SIGINFO.status) : -HOST_ERRNO.ESRCH;
  }
}

/** The call that a thread is about to make, and that others keep it from, is made when it goes on with these registers. */
function makeAgain(regs: Buffer): void {
  regs.writeBigInt64LE(regs.readBigInt64LE(REGS.origRax), REGS.rax);
  regs.writeBigInt64LE(-1n, REGS.origRax);
  regs.writeBigUInt64LE(regs.readBigUInt64LE(REGS.rip) - SYSCALL_LENGTH, REGS.rip);
}
/** Before the call by which it is held, or in it. */
function isHolding(regs: Buffer, waiting: Buffer): boolean {
  const [rip, at] = [regs, waiting].map((one) => one.readBigUInt64LE(REGS.rip));
  return (
    (rip === at || rip === at! + SYSCALL_LENGTH) &&
    [REGS.rdi, REGS.rsi].every((n) => regs.readBigUInt64LE(n) === waiting.readBigUInt64LE(n))
  );
}

function callIn(saved: Buffer, { nr, args }: InjectedCall): Buffer {
  const rip = saved.readBigUInt64LE(REGS.rip) - SYSCALL_LENGTH;
  return registersForCall(saved, rip, nr, marked(args));
}
