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
import { syscall } from '../sys/ffi.ts';
import { parseMaps } from '../process/memory-map.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import { HOST_ERRNO, NR, PTRACE, SIGSTOP, SIGTRAP } from '../sys/numbers.ts';
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
  readonly #isStepped: boolean;
  /** What cannot be blocked, or not now. */
  readonly #stops: number[] = [];
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
    for (let passed = this.#isStepped ? 1 : 0; passed < 2;) {
      if (!(yield* this.#toStop())) return -HOST_ERRNO.ESRCH;
      ptrace.getRegs(this.#tid, regs);
      if (regs.readBigUInt64LE(REGS.rip) === after) passed++;
      else if (this.#isStepped) this.#stops.push(SIGTRAP);
      // At the end of the call it was in, which has left its result in our registers.
      else ptrace.setRegs(this.#tid, before);
    }
    return Number(regs.readBigInt64LE(REGS.rax));
  }
  /** Where a call begins or ends, or the step is over. */
  *#toStop(): Stops<boolean> {
    const [go, wanted] = this.#isStepped
      ? [ptrace.step, SIGTRAP]
      : [ptrace.untilSyscall, SYSCALL_STOP];
    // A stop is passed on at once: kept for later, it would come after the SIGCONT that ends it.
    for (let passed = 0; this.#alive;) {
      go(this.#tid, passed);
      const status = yield;
      const [signal, event] = [(status >> 8) & 0xff, status >>> 16];
      if (signal === wanted && event === 0) return true;
      if (event === EVENT.exit) this.#alive = false;
      passed = event === 0 && signal === SIGSTOP ? signal : 0;
      this.#isStopping ||= ptrace.isGroupStop(status);
      if (event === 0 && signal !== SIGSTOP) this.#stops.push(signal);
    }
    ptrace.resume(this.#tid); // it ends, and is reaped as all are
    return false;
  }

  #end(): void {
    if (!this.#alive) return;
    ptrace.setRegs(this.#tid, restarted(this.#saved));
    ptrace.setSignalMask(this.#tid, this.#mask);
    for (const signal of this.#stops) syscall(NR.tkill, this.#tid, signal);
    if (this.#isStopping) ptrace.interrupt(this.#tid);
  }
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
