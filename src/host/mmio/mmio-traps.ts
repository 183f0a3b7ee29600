/**
 * Loads and stores to mapped registers: SIGBUS, a ptrace stop, decode, emulate, go on.
 *
 * A process is seized when it maps registers, all threads at once, and its children with it. At exit and exec it is let
 * go again, so that its real parent sees it end.
 */
import { tellFault, tellSignal } from '../process/tell-signals.ts';
import type { Machine } from '../../machine/machine.ts';
import type { MappedRegisters } from '../process/mapped-registers.ts';
import type { Processes } from '../process/processes.ts';
import { readRegister } from './flags.ts';
import { LentProcesses } from './lent.ts';
import type { VectorState } from './stopped.ts';
import { NextStop, type ChildEvent } from './next-stop.ts';
import {
  RegisterAccesses,
  type AccessingThread,
  type AccessParts,
  type AccessSites,
  type AccessOutcome,
} from './register-accesses.ts';
import { isActionSlow, type FaultKeeper } from './fault-keeper.ts';
import { FaultKeepers } from './fault-keepers.ts';
import { StopWork } from './stop-work.ts';
import { holdBack, type Stops } from './thread-call.ts';
import type { InstructionFault } from '../process/instruction-memory.ts';
import type { Handled, InThread } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import { dyingThreads } from '../sys/dying-threads.ts';
import * as ptrace from '../sys/ptrace.ts';
import { EVENT } from '../sys/ptrace.ts';
import { isKeptByExec, KeptByExec } from '../sys/prompt-seize.ts';
import { hasFault } from '../sys/signals.ts';
import { strangers } from '../sys/strangers.ts';
import { interruptOn } from '../sys/ffi.ts';
import { waitNow } from '../sys/libc.ts';
import { HOST_ERRNO, SIGCHLD, SIGILL, SIGTRAP } from '../sys/numbers.ts';

/** A thread goes on as it is. */
const NOTHING: GoOn = { signal: 0 };

/** What serving an access needs of the rest. */
export interface MmioParts extends AccessParts {
  readonly machine: Pick<Machine, 'env' | 'syscalls'>;
  readonly processes: Pick<Processes, 'processOf'>;
  readonly registers: Pick<MappedRegisters, 'mapping' | 'mapsOf'>;
}

/** `sites`: undefined where nobody asks; `inSteps`: system calls that always come together are a list. */
interface MmioHow {
  readonly inSteps: boolean;
  readonly sites: AccessSites | undefined;
}

/** What a thread goes on with. */
interface GoOn {
  readonly signal: number;
  /** Undefined: those it has. */
  readonly regs?: Buffer | undefined;
}

/** A thread whose instruction was not carried out; `hasCalled`: it has made calls, and is not where it stopped. */
interface Raising {
  readonly tid: number;
  readonly pid: number;
  readonly hasCalled: boolean;
}

/** A thread that is to be let go of. */
interface LeavingThread {
  readonly done: (held?: Buffer) => void;
  readonly isHeld: boolean;
}

/** How a process is traced. */
export interface TraceHow {
  readonly storesFault?: boolean;
  /** Is it still the one that called? With it, KeptByExec is thrown where the threads cannot be had yet. */
  readonly isCaller?: () => boolean;
}

/** The backend of register accesses that needs nothing but ptrace. */
export class MmioTraps {
  readonly #parts: MmioParts;
  readonly #traced = new Set<number>();
  readonly #processes = new Map<number, number>();
  readonly #accesses: RegisterAccesses;
  readonly #keepers = new FaultKeepers();
  readonly #work = new StopWork();
  /** Threads that are to stop where the keeper can begin, and the registers they are to have then. */
  readonly #adopting = new Map<number, Buffer | undefined>();
  /** Threads that are let go of at their next stop, and what is to be done then. */
  readonly #leaving = new Map<number, LeavingThread>();
  readonly #lent = new LentProcesses();
  /** By thread: a fault whose signal is on its way. */
  readonly #faults = new Map<number, InstructionFault>();
  readonly #regs = Buffer.alloc(ptrace.REGS_SIZE);
  /** Undefined: each system call is made by itself. */
  readonly #next: NextStop | undefined;

  constructor(parts: MmioParts, how: MmioHow) {
    this.#parts = parts;
    this.#accesses = new RegisterAccesses(parts, how.sites);
    if (how.inSteps) this.#next = new NextStop();
  }
  get active(): boolean {
    return this.#traced.size > 0 || this.#lent.any;
  }
  isTraced(tid: number): boolean {
    return this.#traced.has(tid);
  }

  look(): ChildEvent | undefined {
    return this.#next ? this.#next.look() : waitNow(-1);
  }
  endLook(): void {
    this.#next?.flush();
  }

  trace(pid: number, tid: number, how?: TraceHow): boolean {
    if (!this.active) interruptOn(SIGCHLD);
    const before = how?.isCaller && new Set(this.#traced);
    const rc = ptrace.seizeProcess(pid, this.#traced);
    if (before) this.#onlyOfCaller(rc, before, how);
    if (rc !== 0) return false;
    this.#processes.set(tid, pid);
    if (how?.storesFault) this.#keepers.expectStores(pid);
    if (this.#keepers.lacks(pid)) this.#adopt(tid); // it stops before it can touch what it maps
    return true;
  }
  #onlyOfCaller(rc: number, before: ReadonlySet<number>, how: TraceHow | undefined): void {
    if (isKeptByExec(rc)) throw new KeptByExec();
    if (how?.isCaller?.() !== false) return;
    for (const tid of this.#traced) {
      if (before.has(tid)) continue;
      this.#traced.delete(tid);
      strangers.letGo(tid);
    }
    throw new KeptByExec(); // whoever tries again finds that nobody waits
  }
  #adopt(tid: number, regs?: Buffer): void {
    this.#adopting.set(tid, regs ?? this.#adopting.get(tid));
    ptrace.interrupt(tid);
  }
  changeFault(call: Notification, answer: (handled: Handled) => void): Handled {
    const { tid } = call;
    const pid = this.#processOf(tid);
    const keeper = this.#keepers.of(call.uint(0), pid);
    if (!this.#traced.has(tid) || !keeper) return 'continue';
    if (isActionSlow(call)) return -HOST_ERRNO.EFAULT; // its thread fills the page and makes the call again
    const args = [0, 1, 2, 3].map((n) => call.arg(n));
    this.#work.inTurn({ pid, tid }, () => answer(this.#changing(keeper, { pid, tid }, args)));
    return 'answered';
  }
  #changing(
    keeper: FaultKeeper,
    { pid, tid }: { readonly pid: number; readonly tid: number },
    args: readonly bigint[],
  ): InThread {
    const work = this.#work;
    work.occupy({ pid, tid });
    return {
      *run() {
        try {
          return yield* keeper.change(pid, tid, args);
        } finally {
          work.over({ pid, tid });
        }
      },
      otherwise: () => {
        work.over({ pid, tid });
        return 'continue';
      },
    };
  }

  release(tid: number, done: (held?: Buffer) => void, isHeld = false): boolean {
    if (!this.#traced.has(tid)) return false;
    this.#leaving.set(tid, { done, isHeld });
    ptrace.interrupt(tid);
    return true;
  }
  lend(tid: number): void {
    this.#lent.add(this.#processOf(tid));
  }
  isLent(tid: number): boolean {
    return this.#lent.has(this.#processOf(tid));
  }
  take(tid: number, regs: Buffer): boolean {
    if (!this.active) interruptOn(SIGCHLD);
    if (!this.#traced.has(tid) && ptrace.seize(tid) < 0) return false;
    this.#traced.add(tid);
    this.#keepers.expectStores(this.#processOf(tid));
    this.#adopt(tid, regs);
    return true;
  }
  retake(): void {
    if (!this.#lent.any) return;
    const taken = this.#lent.retake(this.#traced, (pid) => this.#keepers.forgetProcess(pid));
    for (const pid of taken) {
      this.#keepers.expectStores(pid);
      this.#adopt(pid);
    }
  }

  onExit(tid: number): void {
    this.#leave(tid);
  }
  /** A thread is no longer traced by us, and has been let go of. */
  #leave(tid: number, held?: Buffer): void {
    const leaving = this.#leaving.get(tid);
    this.#leaving.delete(tid);
    this.#forget(tid);
    leaving?.done(held);
  }

  onStop(tid: number, status: number): void {
    const pid = this.#processOf(tid);
    // A new thread or child reports itself by its first stop.
    if (!this.#traced.has(tid)) this.#keepers.inherit(pid);
    this.#traced.add(tid);
    this.#work.onStop({ pid, tid }, status, () => this.#stopped(tid, status));
  }
  *#stopped(tid: number, status: number): Stops<void> {
    const signal = (status >> 8) & 0xff;
    const event = status >>> 16;
    const keeper = this.#keepers.by(signal);
    if (event !== 0) yield* this.#onEvent(tid, event, signal);
    else if (this.#faults.get(tid)?.signal === signal) {
      this.#goOn(tid, { signal: this.#told(tid, signal) });
    } else if (keeper) this.#goOn(tid, yield* this.#onFault(tid, keeper));
    else if (signal === SIGILL) this.#goOn(tid, { signal: yield* this.#onSigill(tid) });
    else this.#goOn(tid, { signal: this.#told(tid, signal) });
  }
  #goOn(tid: number, { signal, regs }: GoOn = NOTHING): void {
    this.#keepers.goesOn(tid, this.#processOf(tid));
    // Asked for in the middle of work, whose stops it has been taken for.
    if (this.#leaving.has(tid) || this.#adopting.has(tid)) ptrace.interrupt(tid);
    if (regs && signal === 0 && this.#next?.goOn(tid, regs)) return;
    if (regs) ptrace.setRegs(tid, regs);
    ptrace.resume(tid, signal);
  }
  *#onEvent(tid: number, event: number, signal: number): Stops<void> {
    if (event === EVENT.exec) {
      yield* this.#keepers.executed(tid, this.#processOf(tid));
      const before = ptrace.eventMessage(tid);
      if (before !== tid) this.#forget(before); // another number, of which nothing more is heard
    }
    if (event === EVENT.stop) yield* this.#onInterrupt(tid, signal);
    else if (event === EVENT.exit || event === EVENT.exec) this.#letGo(tid);
    else {
      this.#keepers.inherit(this.#processOf(ptrace.eventMessage(tid)), this.#processOf(tid));
      this.#goOn(tid);
    }
  }
  /** Or a group stop, which only we are told of by its signal, or the first stop of a thread. */
  *#onInterrupt(tid: number, signal: number): Stops<void> {
    const leaving = this.#leaving.get(tid);
    if (leaving && hasFault(tid)) {
      // Its stop comes before that of the access it is at, which nobody would look at.
      this.#keepers.goesOn(tid, this.#processOf(tid));
      ptrace.resume(tid);
      return;
    }
    if (leaving) {
      this.#giveBack(tid); // it was asked for before it was ours again
      yield* this.#keepers.release(tid, this.#processOf(tid));
      this.#letGo(tid, leaving.isHeld && signal === SIGTRAP ? holdBack(tid) : undefined);
      return;
    }
    if (signal !== SIGTRAP) {
      ptrace.listen(tid); // until the group goes on, of which we are told
      return;
    }
    if (this.#adopting.has(tid)) yield* this.#adopted(tid);
    this.#goOn(tid);
  }
  *#adopted(tid: number): Stops<void> {
    this.#giveBack(tid);
    yield* this.#keepers.adopt(tid, this.#processOf(tid));
  }
  /** A thread that was held back for us has the registers of that: those it is to go on with, before anything else. */
  #giveBack(tid: number): void {
    const regs = this.#adopting.get(tid);
    this.#adopting.delete(tid);
    if (regs) ptrace.setRegs(tid, regs);
  }
  #letGo(tid: number, held?: Buffer): void {
    dyingThreads.letGo(tid);
    this.#leave(tid, held);
  }

  /** Of a signal by which touches of registers come. */
  *#onFault(tid: number, keeper: FaultKeeper): Stops<GoOn> {
    const pid = this.#processOf(tid);
    const found = this.#next?.found(tid);
    const cause = found?.cause ?? ptrace.signalCause(tid);
    const thread = stoppedThread({ tid, pid, regs: found?.regs ?? this.#regs, found });
    const touch = this.#accesses.touched(thread, keeper.signal, cause);
    if (touch && !found) {
      this.#keepers.stats.of(tid, pid); // throws Shortage: afterwards the access cannot be made again
      ptrace.getRegs(tid, thread.regs);
    }
    const outcome = this.#accesses.carryOut(thread, touch);
    if (outcome === 'not ours') {
      const signal = yield* keeper.deliver(tid, pid, cause.code);
      if (signal !== 0) tellFault(this.#parts, { tid, pid }, signal, cause);
      return { signal };
    }
    if (!found) this.#follow(tid, pid);
    return yield* this.#accessed(keeper, thread, outcome);
  }
  *#accessed(
    keeper: FaultKeeper,
    { tid, pid, regs, found }: Omit<AccessingThread, 'vectors'>,
    outcome: 'done' | InstructionFault,
  ): Stops<GoOn> {
    const hasCalled = yield* keeper.restore({ tid, pid, stat: found?.stat }, regs);
    if (outcome === 'done') return hasCalled ? NOTHING : { signal: 0, regs };
    if (!hasCalled) ptrace.setRegs(tid, regs);
    return { signal: yield* this.#raise({ tid, pid, hasCalled }, outcome) };
  }
  /** Its next access is looked at together with the stop. */
  #follow(tid: number, pid: number): void {
    if (!this.#next) return;
    const maps = this.#parts.registers.mapsOf({ tid, pid });
    const stat = this.#keepers.stats.of(tid, pid);
    if (maps && stat >= 0) this.#next.follow(tid, { maps, stat });
  }
  /** The signal it is to go on with. */
  *#raise({ tid, pid, hasCalled }: Raising, fault: InstructionFault): Stops<number> {
    tellFault(this.#parts, { tid, pid }, fault.signal, fault);
    const hasForced = yield* this.#keepers.force(tid, pid, fault.signal);
    if (hasCalled || hasForced) this.#faults.set(tid, fault);
    else ptrace.setFault(tid, fault);
    return fault.signal;
  }
  /** A processor without MOVDIR64B: to registers of ours it is carried out all the same. */
  *#onSigill(tid: number): Stops<number> {
    const { code } = ptrace.signalCause(tid);
    if (code <= 0) return this.#told(tid, SIGILL);
    ptrace.getRegs(tid, this.#regs);
    const rip = this.#regs.readBigUInt64LE(ptrace.REGS.rip);
    const access = this.#accesses.instructions.at(tid, rip, { quietly: true });
    const to = access?.operation === 'move-64-bytes' ? access.operands[0] : undefined;
    if (to?.kind !== 'register') return this.#told(tid, SIGILL);
    const pid = this.#processOf(tid);
    const regs = this.#regs;
    const address = readRegister(regs, to.at, to.width);
    const thread = stoppedThread({ tid, pid, regs });
    const touch = this.#accesses.touched(thread, SIGILL, { code, address });
    const outcome = this.#accesses.carryOut(thread, touch);
    if (outcome === 'not ours') return this.#told(tid, SIGILL);
    ptrace.setRegs(tid, this.#regs);
    return outcome === 'done' ? 0 : yield* this.#raise({ tid, pid, hasCalled: false }, outcome);
  }
  /** A thread that has made calls is not where its signal was delivered: it is sent anew, and told of then. */
  #told(tid: number, signal: number): number {
    const fault = this.#faults.get(tid);
    if (signal === ptrace.SYSCALL_STOP) return 0; // of work that a shortage has ended
    const { trace } = this.#parts.machine.env;
    const thread = { tid, pid: this.#processOf(tid) };
    if (fault?.signal !== signal) {
      if (trace.on) tellSignal(trace, thread, signal, ptrace.signalCause(tid));
      return signal;
    }
    ptrace.setFault(tid, fault);
    this.#faults.delete(tid);
    return signal;
  }

  carryOut(
    thread: { readonly tid: number; readonly regs: Buffer; readonly vectors: VectorState },
    signal: number,
    cause: ptrace.SignalCause,
  ): AccessOutcome {
    const accessing = { ...thread, pid: this.#parts.processes.processOf(thread.tid) };
    const touch = this.#accesses.touched(accessing, signal, cause);
    return this.#accesses.carryOut(accessing, touch);
  }

  /** A thread stays in its process, and we are told of its end. */
  #processOf(tid: number): number {
    let pid = this.#processes.get(tid);
    if (pid === undefined) {
      pid = this.#parts.processes.processOf(tid);
      this.#processes.set(tid, pid);
    }
    return pid;
  }

  #forget(tid: number): void {
    const pid = this.#processes.get(tid);
    this.#next?.forget(tid);
    this.#traced.delete(tid);
    this.#processes.delete(tid);
    this.#adopting.delete(tid);
    this.#faults.delete(tid);
    if (pid === undefined) return;
    this.#work.forget({ pid, tid });
    this.#keepers.forgetThread(tid, pid);
    const isLast = ![...this.#processes.values()].includes(pid);
    if (isLast && !this.#lent.has(pid)) this.#keepers.forgetProcess(pid);
  }
}

/** One that we trace ourselves. */
function stoppedThread({
  tid,
  pid,
  regs,
  found,
}: Omit<AccessingThread, 'vectors'>): AccessingThread {
  const vectors = {
    get: (into: Uint8Array) => ptrace.getVectorState(tid, into),
    set: (from: Uint8Array) => ptrace.setVectorState(tid, from),
  };
  return { tid, pid, regs, vectors, found };
}
