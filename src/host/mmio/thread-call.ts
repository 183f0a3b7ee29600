/**
 * System calls made by a thread that has stopped for its tracer, wherever it was: its registers are afterwards what they were.
 *
 * Every signal is blocked meanwhile, so that what comes stays in the kernel, whole and in its order. The instruction that
 * makes the calls is one of the vDSO's. Nothing waits for the thread: its stops come from the loop, as all do.
 *
 * A call is followed through two stops, where it begins and where it ends. A thread at a fault is in no call, and makes one as a
 * single step: one stop less of the three that an access costs where SIGBUS is blocked. The SIGTRAP of a step is forced on
 * the thread, so whoever ignores that signal, or steps itself, goes the long way.
 */
import { parseMaps } from '../process/memory-map.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import { HOST_ERRNO, NR, PTRACE, SIGTRAP } from '../sys/numbers.ts';
import { textOf } from '../sys/procfs.ts';
import * as ptrace from '../sys/ptrace.ts';
import { ALL_SIGNALS, EVENT, REGS, REGS_SIZE, SYSCALL_STOP } from '../sys/ptrace.ts';
import { marked } from '../seccomp/in-thread.ts';

const SYSCALL = Buffer.of(0x0f, 0x05);
const PAGE = 4096;
/** EFLAGS.TF: the program steps itself. */
const TRAP_FLAG = 0x100;
const SIGTRAP_BIT = 1n << BigInt(SIGTRAP - 1);
/** Results of a call that is to be made again: ERESTARTSYS to ERESTARTNOHAND, and ERESTART_RESTARTBLOCK. */
const RESTARTS: ReadonlySet<bigint> = new Set([-512n, -513n, -514n]);
const RESTARTS_OTHERWISE = -516n;
const RESTART_SYSCALL = 219n;

/** Work on a stopped thread: each yield waits for its next stop, and is given its wait status. */
export type Stops<Result> = Generator<undefined, Result, number>;
/** Makes a system call in a program, by whatever steps: the result, or minus an errno. */
export type RemoteSyscall<Step> = (
  nr: number,
  ...args: readonly (number | bigint)[]
) => Generator<Step, number, number>;

/** A thread that has stopped at a fault, as far as it is known already. */
export interface Faulted {
  readonly tid: number;
  /** What it is to have afterwards. */
  readonly regs: Buffer;
  /** The mask it is to have afterwards. */
  readonly maskAfter: bigint;
  readonly ignoresTraps: boolean;
}

/** A stopped thread that makes calls for us; it is stopped again when they are over. */
export class ThreadCalls {
  readonly #tid: number;
  readonly #instruction: bigint;
  readonly #saved = Buffer.alloc(REGS_SIZE);
  readonly #mask: bigint;
  #isStepped: boolean;
  /** Its process has been stopped. */
  #isStopping = false;
  #alive = true;

  /** `instruction` is syscallInstruction() of the thread's program. Of a thread that dies a result is minus ESRCH. */
  static *in(
    tid: number,
    instruction: bigint,
    calls: (run: RemoteSyscall<undefined>, stack: bigint) => Stops<void>,
  ): Stops<void> {
    const regs = Buffer.alloc(REGS_SIZE);
    ptrace.getRegs(tid, regs);
    const known = { tid, regs, maskAfter: ptrace.signalMask(tid), ignoresTraps: true };
    yield* ThreadCalls.atFault(known, instruction, calls);
  }
  /** The same of a thread of which more is known: in fewer requests, and its calls in fewer stops. */
  static *atFault(
    known: Faulted,
    instruction: bigint,
    calls: (run: RemoteSyscall<undefined>, stack: bigint) => Stops<void>,
  ): Stops<void> {
    const thread = new ThreadCalls(known, instruction);
    const run: RemoteSyscall<undefined> = (nr, ...args) => thread.#run(nr, args);
    yield* calls(run, thread.#saved.readBigUInt64LE(REGS.rsp));
    thread.#end();
  }
  private constructor({ tid, regs, maskAfter, ignoresTraps }: Faulted, instruction: bigint) {
    this.#tid = tid;
    this.#instruction = instruction;
    this.#mask = maskAfter;
    this.#saved.set(regs);
    this.#isStepped = !ignoresTraps && (regs.readUInt32LE(REGS.eflags) & TRAP_FLAG) === 0;
    ptrace.setSignalMask(tid, this.#isStepped ? ALL_SIGNALS & ~SIGTRAP_BIT : ALL_SIGNALS);
  }

  *#run(nr: number, args: readonly (number | bigint)[]): Stops<number> {
    if (this.#instruction === 0n) return -HOST_ERRNO.EFAULT;
    const before = ptrace.registersForCall(this.#saved, this.#instruction, nr, marked(args));
    const regs = Buffer.from(before);
    ptrace.setRegs(this.#tid, before);
    const after = this.#instruction + BigInt(SYSCALL.length);
    for (let left = this.#isStepped ? 1 : 2; left > 0;) {
      if (!(yield* this.#toStop())) return -HOST_ERRNO.ESRCH;
      ptrace.getRegs(this.#tid, regs);
      const isAfter = regs.readBigUInt64LE(REGS.rip) === after;
      if (this.#isStepped && !(isAfter && isOfStep(this.#tid))) {
        if (!(yield* this.#putTrapBack())) return -HOST_ERRNO.ESRCH;
        left = isAfter ? 0 : 2; // of two that wait at once the kernel keeps one
      } else if (isAfter) left--;
      // At the end of the call it was in, which has left its result in our registers.
      else ptrace.setRegs(this.#tid, before);
    }
    return Number(regs.readBigInt64LE(REGS.rax));
  }
  /**
   * A SIGTRAP that is the program's own: one that is blocked as it is delivered the kernel keeps, with all that is told of it.
   * From here on the thread goes the long way, on which none comes.
   */
  *#putTrapBack(): Stops<boolean> {
    this.#isStepped = false;
    ptrace.setSignalMask(this.#tid, ALL_SIGNALS);
    ptrace.interrupt(this.#tid);
    return yield* this.#until(ptrace.resume, isInterrupted, SIGTRAP);
  }
  /** Where a call begins or ends, or the step is over. */
  #toStop(): Stops<boolean> {
    return this.#isStepped
      ? this.#until(ptrace.step, isAt(SIGTRAP))
      : this.#until(ptrace.untilSyscall, isAt(SYSCALL_STOP));
  }
  /** It goes on, with a signal first, until it is there. False: it ends, and is reaped as all are. */
  *#until(go: typeof ptrace.step, isThere: (status: number) => boolean, first = 0): Stops<boolean> {
    // A stop is passed on at once: kept for later, it would come after the SIGCONT that ends it.
    for (let passed = first; this.#alive;) {
      go(this.#tid, passed);
      const status = yield;
      this.#isStopping ||= ptrace.isGroupStop(status);
      if (isThere(status)) return true;
      const event = status >>> 16;
      if (event === EVENT.exit) this.#alive = false;
      passed = event === 0 ? (status >> 8) & 0xff : 0;
    }
    ptrace.resume(this.#tid);
    return false;
  }

  #end(): void {
    if (!this.#alive) return;
    ptrace.setRegs(this.#tid, restarted(this.#saved));
    ptrace.setSignalMask(this.#tid, this.#mask);
    if (this.#isStopping) ptrace.interrupt(this.#tid);
  }
}

/** Has a thread stopped for this signal, and no event? */
function isAt(signal: number): (status: number) => boolean {
  return (status) => status >>> 8 === signal;
}
function isInterrupted(status: number): boolean {
  return status >>> 16 === EVENT.stop;
}
/** Is the SIGTRAP at which a thread has stopped that of its step, which the kernel itself has sent? */
function isOfStep(tid: number): boolean {
  return ptrace.signalCause(tid).code > 0;
}
/** A call that was to be made again by the kernel, which has lost sight of it. */
function restarted(regs: Buffer): Buffer {
  const [call, result] = [regs.readBigInt64LE(REGS.origRax), regs.readBigInt64LE(REGS.rax)];
  const isOther = result === RESTARTS_OTHERWISE;
  if (call < 0n || !(RESTARTS.has(result) || isOther)) return regs;
  const again = Buffer.from(regs);
  again.writeBigInt64LE(isOther ? RESTART_SYSCALL : call, REGS.rax);
  const at = regs.readBigUInt64LE(REGS.rip) - BigInt(SYSCALL.length);
  again.writeBigUInt64LE(at, REGS.rip);
  return again;
}

/**
 * With these registers a thread makes a call that is trapped, in which it waits for us: the end of a tracing of itself, which
 * nobody else asks for. Undefined: the program has no instruction for it.
 */
export function heldRegisters(tid: number, regs: Buffer): Buffer | undefined {
  const at = syscallInstruction(tid);
  const args = [PTRACE.detach, tid, 0, 0, 0, 0];
  return at === 0n ? undefined : ptrace.registersForCall(regs, at, NR.ptrace, args);
}
/** A stopped thread makes a call that is trapped as soon as it goes on: the registers it had. Undefined: it does not. */
export function holdBack(tid: number): Buffer | undefined {
  const regs = Buffer.alloc(ptrace.REGS_SIZE);
  if (ptrace.getRegs(tid, regs) < 0) return undefined;
  const held = heldRegisters(tid, regs);
  return held && ptrace.setRegs(tid, held) >= 0 ? regs : undefined;
}
/** Where a program has one; 0n: nowhere, and no call can be made. */
export function syscallInstruction(tid: number): bigint {
  const vdso = parseMaps(textOf(`/proc/${tid}/maps`)).find(({ name }) => name === '[vdso]');
  if (!vdso) return 0n;
  const code = Buffer.alloc((vdso.end - vdso.start) * PAGE);
  const start = BigInt(vdso.start) * BigInt(PAGE);
  const at = code
    .subarray(0, new RemoteMemory(tid, { isStopped: true }).readSome(start, code))
    .indexOf(SYSCALL);
  return at < 0 ? 0n : start + BigInt(at);
}
