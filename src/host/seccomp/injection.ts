/**
 * System calls made by a program's thread on our behalf (in-thread.ts), by ptrace.
 *
 * The trapped call is answered at the start, because only then can the thread be stopped; the real result is put into
 * its register at the end. All signals are held back meanwhile, except inside a call that is the program's own: none is
 * taken, so none is lost, changed or told in another order. The loop hands over each stop; only a short look at once, for
 * most calls are over in no time, is taken here.
 */
import { Shortage } from '../../base/shortage.ts';
import type { SyscallArgument } from '../sys/ffi.ts';
import { HOST_ERRNO, NR, SIGSYS } from '../sys/numbers.ts';
import * as libc from '../sys/libc.ts';
import { hasOwnFilter, nameOf } from '../sys/procfs.ts';
import { isPending, pendingSignals } from '../sys/signals.ts';
import { dyingThreads } from '../sys/dying-threads.ts';
import * as ptrace from '../sys/ptrace.ts';
import { orShortage } from '../sys/shortage.ts';
import { strangers } from '../sys/strangers.ts';
import { ALL_SIGNALS, EVENT, REGS, REGS_SIZE, SYSCALL_STOP } from '../sys/ptrace.ts';
import { marked, type InjectedCall, type Script } from './in-thread.ts';

const SYSCALL_LENGTH = 2n;
const SIGSYS_BIT = 1n << BigInt(SIGSYS - 1);
/** So long a call is waited for on the spot: it is what nearly all of them take. */
const SPIN_NS = 300_000;
/** The bound of a call whose result is needed in the middle of something. */
const MOST_MS = 2_000;

/** Where a thread is. */
type State =
  /** It is on its way to its first stop. */
  | 'coming'
  | 'stopped'
  /** Before the kernel has looked at the call. */
  | 'entering'
  | 'in-call'
  /** Gone on, dead, or another program. */
  | 'gone';

/** How a thread is taken. */
export interface Taking {
  /** A tracer of registers has it already. */
  readonly alreadySeized: boolean;
  /** Is it still the thread that made the call? Asked when its number can be no other's any more. */
  readonly isWaiting: () => boolean;
  /** Answers the trapped call, so that the thread comes out of it. */
  readonly release: () => void;
  /** The end of the thread, and whatever else concerns others too. */
  readonly pass: (status: number) => void;
  /** A seccomp filter of the program's own ends it, or calls its handler, for a call that it made for us: a line. */
  readonly filtered: (line: string) => void;
  /** What the trapped call returns when its script has ended with a shortage. */
  readonly short: (shortage: Shortage) => number;
}

/** For the user: how to run such a program. */
function forbiddenByFilter(tid: number, nr: number): string {
  const name = Object.entries(NR).find(([, number]) => number === nr)?.[0] ?? `call ${nr}`;
  return `${nameOf(tid)} has a seccomp filter of its own that forbids ${name}(2), which it made for softiommu: let its filter pass that, or run it without one`;
}

/** A thread that waits in a trapped call and makes system calls for us. */
export class Injection {
  readonly tid: number;
  readonly #how: Taking;
  readonly #saved = Buffer.alloc(REGS_SIZE);
  #mask = 0n;
  #state: State = 'coming';
  #call: InjectedCall | undefined;
  #result = 0;
  #script: Script | undefined;
  readonly #atEnd: (() => void)[] = [];
  /** The program has a seccomp filter of its own, which may send SIGSYS for a call of ours. */
  #isFiltered = false;
  /** Its process has been stopped: when it goes on, it is to stop as the others have. */
  #isStopping = false;
  #isHurried = false;
  /** What it goes on with as soon as it can. */
  #finish: number | bigint | undefined;

  /** Minus an errno when the thread cannot be traced, or is gone: the trapped call is not answered then. */
  static begin(tid: number, how: Taking): Injection | number {
    if (!how.alreadySeized) {
      const rc = ptrace.seize(tid, ptrace.INJECTION_OPTIONS);
      if (rc < 0) return rc;
    }
    if (!how.isWaiting()) {
      if (!how.alreadySeized) strangers.letGo(tid);
      return -HOST_ERRNO.ESRCH;
    }
    ptrace.interrupt(tid);
    how.release();
    return new Injection(tid, how);
  }

  private constructor(tid: number, how: Taking) {
    this.tid = tid;
    this.#how = how;
    this.#spin(SPIN_NS);
  }

  get gone(): boolean {
    return this.#state === 'gone';
  }

  /** From now on its calls are those of a script, and its end is the end of the script. */
  follow(script: Script): void {
    this.#script = script;
    if (this.#state === 'stopped') this.#next(0);
  }

  /**
   * A call of ours whose result is needed at once: -EINTR when it does not come in time (the thread goes on when it does),
   * -ESRCH when the thread is gone.
   */
  runNow(nr: number, ...args: readonly SyscallArgument[]): number {
    if (this.#state === 'coming') this.#wait();
    if (!this.#isStopped()) return this.#noResult;
    this.#start({ nr, args });
    this.#wait();
    return this.#isStopped() ? this.#result : this.#noResult;
  }
  #isStopped(): boolean {
    return this.#state === 'stopped';
  }
  get #noResult(): number {
    return this.gone ? -HOST_ERRNO.ESRCH : -HOST_ERRNO.EINTR;
  }
  /** Somebody else wants the thread: a call of the program's own is interrupted, and it stops once more as it goes on. */
  hurry(): void {
    this.#isHurried = true;
    if (this.#moving && this.#call?.own) ptrace.interrupt(this.tid);
  }
  /** Something to do in the thread before it goes on. */
  atEnd(run: () => void): void {
    this.#atEnd.push(run);
  }
  /** The thread goes on as if its trapped call had returned `result`. */
  finish(result: number | bigint): void {
    for (const run of this.#atEnd.splice(0)) run();
    if (this.#state === 'stopped') this.#goOn(result);
    else this.#finish = result;
  }

  /** A stop or the end of the thread, as wait4 tells it. */
  onStatus(status: number): void {
    const event = status >>> 16;
    this.#isStopping ||= ptrace.isGroupStop(status);
    if (!ptrace.isStopped(status) || event === EVENT.exit) this.#lost(status);
    else if (event === EVENT.exec) this.#replaced(status);
    else if (this.#state === 'coming') this.#arrived();
    else {
      const signal = (status >> 8) & 0xff;
      if (event === 0 && signal === SYSCALL_STOP) this.#syscallStop();
      else this.#passOver(event === 0 ? signal : 0);
    }
  }
  /** It ends. */
  #lost(status: number): void {
    this.abandon();
    this.#how.pass(status);
  }
  /** Its own call was an exec, and has worked. */
  #replaced(status: number): void {
    this.abandon();
    if (this.#how.alreadySeized) this.#how.pass(status);
    else dyingThreads.letGo(this.tid);
  }
  /** The thread is no more what it was: nothing will be heard of it. */
  abandon(): void {
    this.#state = 'gone';
    this.#script?.return(0);
  }
  /**
   * Anything else that stops it: it goes on. SIGSTOP, which nobody can hold back, stops the process at once: kept for later, it
   * would come after the SIGCONT that ends it.
   */
  #passOver(signal: number): void {
    ptrace.untilSyscall(this.tid, signal);
  }

  /** A thread that is killed while it is stopped answers nothing any more: its end is all that comes. */
  #arrived(): void {
    if (ptrace.getRegs(this.tid, this.#saved) < 0) return;
    this.#mask = ptrace.signalMask(this.tid);
    ptrace.setSignalMask(this.tid, ALL_SIGNALS);
    this.#isFiltered = hasOwnFilter(this.tid);
    this.#settled(0);
  }
  #syscallStop(): void {
    if (this.#state === 'entering') {
      this.#state = 'in-call';
      if (this.#call?.own) this.#asItsOwn();
      else if (this.#isFiltered) this.#asFiltered();
      ptrace.untilSyscall(this.tid);
      return;
    }
    const regs = Buffer.alloc(REGS_SIZE);
    if (ptrace.getRegs(this.tid, regs) < 0) return;
    ptrace.setSignalMask(this.tid, ALL_SIGNALS);
    const result = Number(regs.readBigInt64LE(REGS.rax));
    if (this.#isFilteredOut(result)) this.#endByFilter();
    else this.#settled(result);
  }
  /** The kernel puts the number of a call back that a filter ends or traps, and leaves SIGSYS behind. */
  #isFilteredOut(result: number): boolean {
    if (!this.#isFiltered || this.#call?.own === true || result !== this.#call?.nr) return false;
    return isPending(this.tid, SIGSYS);
  }
  /** It goes on to what its filter wants of it. */
  #endByFilter(): void {
    this.#how.filtered(forbiddenByFilter(this.tid, this.#call!.nr));
    const script = this.#script;
    this.#goOn(-HOST_ERRNO.EPERM);
    script?.return(0);
  }
  /**
   * A SIGSYS that the kernel forces on a thread which holds it back is its end. One that waits already is not taken by the call,
   * nor told: the thread is back in the kernel's hands before it could be.
   */
  #asFiltered(): void {
    const waits = (pendingSignals(this.tid) & SIGSYS_BIT) !== 0n;
    if (!waits) ptrace.setSignalMask(this.tid, ALL_SIGNALS & ~SIGSYS_BIT);
  }
  #asItsOwn(): void {
    ptrace.setSignalMask(this.tid, this.#mask);
    if (this.#isHurried) ptrace.interrupt(this.tid);
  }
  /** Stopped, with nothing under way. */
  #settled(result: number): void {
    this.#state = 'stopped';
    this.#result = result;
    if (this.#finish !== undefined) this.#goOn(this.#finish);
    else if (this.#script) this.#next(result);
  }
  #next(result: number): void {
    const script = this.#script!;
    const step = orShortage(() => script.next(result));
    if (step instanceof Shortage) this.finish(this.#how.short(step));
    else if (step.done) this.finish(step.value);
    else {
      this.#start(step.value);
      this.#spin(SPIN_NS);
    }
  }

  #start(call: InjectedCall): void {
    const rip = this.#saved.readBigUInt64LE(REGS.rip) - SYSCALL_LENGTH;
    const regs = ptrace.registersForCall(this.#saved, rip, call.nr, marked(call.args));
    ptrace.setRegs(this.tid, regs);
    this.#call = call;
    this.#state = 'entering';
    ptrace.untilSyscall(this.tid);
  }

  #goOn(result: number | bigint): void {
    this.#saved.writeBigInt64LE(BigInt(result), REGS.rax);
    ptrace.setRegs(this.tid, this.#saved);
    ptrace.setSignalMask(this.tid, this.#mask);
    this.#state = 'gone';
    if (!this.#how.alreadySeized) {
      dyingThreads.letGo(this.tid);
      return;
    }
    // Only a look for signals stops it, or turns a restart code into a restart; detaching makes the kernel look as well.
    if (ptrace.isInterrupted(Number(result)) || this.#isHurried || this.#isStopping)
      ptrace.interrupt(this.tid);
    ptrace.resume(this.tid);
  }

  #spin(ns: number): void {
    const until = libc.monotonicNs() + ns;
    while (this.#moving && libc.monotonicNs() < until) this.#look();
  }
  /** Bounded, and asleep between the looks. */
  #wait(): void {
    this.#spin(SPIN_NS);
    for (let waited = 0; this.#moving && waited < MOST_MS; waited++) {
      libc.sleepMs(1);
      this.#look();
    }
  }
  get #moving(): boolean {
    return this.#state !== 'stopped' && this.#state !== 'gone';
  }
  #look(): void {
    const event = libc.waitNow(this.tid);
    if (event) this.onStatus(event.status);
  }
}
