/**
 * What a signal means to a program with mapped registers, whose touches raise it. The kernel forces such a signal on the
 * thread: where it is blocked it is unblocked, and where it is blocked or ignored its meaning becomes the default.
 *
 * What was lost is put back. That something was shows in the handler that is gone; where a program has none, the kernel is
 * given one that is never run: the signal comes to us first, and what it means to the program is kept here.
 */
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  NR,
  PROT_READ_WRITE,
  SIG_DFL,
  SIG_IGN,
  SIGTRAP,
} from '../sys/numbers.ts';
import { parentOf } from '../sys/procfs.ts';
import * as ptrace from '../sys/ptrace.ts';
import { meaningsIn } from '../sys/signals.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import { ours, type Script } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import type { ThreadStats } from './thread-stats.ts';
import {
  syscallInstruction,
  ThreadCalls,
  type Faulted,
  type RemoteSyscall,
  type Stops,
} from './thread-call.ts';

const PAGE = 4096;
/** Of the kernel's struct sigaction: handler, flags, restorer, mask. */
const ACTION_SIZE = 32;
/** Of a mask. */
const MASK_SIZE = 8;
/** Below the red zone. */
const BELOW_STACK = 1024n;

const NO_ACTION = Buffer.alloc(ACTION_SIZE);

/** Of rt_sigaction: would the kernel wait for a program to copy what is new or what was? */
export function isActionSlow(call: Notification): boolean {
  const memory = new RemoteMemory(call.tid);
  const [to, from] = [call.arg(1), call.arg(2)];
  const isSlow = (at: bigint, write: boolean): boolean =>
    at !== 0n && memory.isSlow(at, ACTION_SIZE, write);
  return isSlow(to, false) || isSlow(from, true);
}

/** Of one process. */
interface Disposition {
  /** A page of the program's for struct sigaction; its address is the handler that is never run. */
  readonly page: bigint;
  readonly instruction: bigint;
  /** SIG_DFL, SIG_IGN, or the program's handler. */
  wanted: bigint;
  /** What the kernel is to have. */
  action: Buffer;
  /** The kernel has what the program wants, or the default to end it with: nothing is put back. */
  isReal: boolean;
  /** How often it has been put back. */
  restored: number;
  /** By thread: was it blocked at the last access? */
  readonly blocked: Map<number, boolean>;
  /** By thread: `restored` when it last went on. */
  readonly seen: Map<number, number>;
}

/** A thread whose access has been carried out; `stat`: the bytes of its /proc/…/stat since it stopped, if they are known. */
interface AccessedThread {
  readonly tid: number;
  readonly pid: number;
  readonly stat?: Buffer | undefined;
}

/** A thread whose process begins to have registers. */
interface Beginning {
  readonly tid: number;
  readonly pid: number;
  readonly run: RemoteSyscall<undefined>;
  readonly instruction: bigint;
}

/**
 * Keeps what one signal means to the processes that are traced. Threads are stopped when they are spoken of, and one at a time
 * of each process.
 */
export class FaultKeeper {
  readonly signal: number;
  readonly #dispositions = new Map<number, Disposition>();
  readonly #stats: ThreadStats;

  constructor(signal: number, stats: ThreadStats) {
    this.signal = signal;
    this.#stats = stats;
  }
  knows(pid: number): boolean {
    return this.#dispositions.has(pid);
  }

  /** Where the program has one that makes calls; undefined: it is not known yet. */
  instruction(pid: number): bigint | undefined {
    return this.#dispositions.get(pid)?.instruction;
  }

  /** Of a process that begins to have registers, or is traced by us again. */
  *adopt(beginning: Beginning): Stops<void> {
    const { pid, run, tid } = beginning;
    const known = this.#dispositions.get(pid);
    yield* known ? this.#observe(known, run, tid) : this.#begin(beginning);
  }
  *#begin({ tid, pid, run, instruction }: Beginning): Stops<void> {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const page = yield* run(NR.mmap, 0, PAGE, PROT_READ_WRITE, flags, -1, 0);
    if (page < 0) return;
    const disposition: Disposition = {
      page: BigInt(page),
      instruction,
      wanted: SIG_DFL,
      action: Buffer.alloc(ACTION_SIZE),
      isReal: false,
      restored: 0,
      blocked: new Map(),
      seen: new Map(),
    };
    this.#dispositions.set(pid, disposition);
    yield* this.#observe(disposition, run, tid);
  }
  /** Before somebody else traces it. */
  *release(tid: number, pid: number): Stops<void> {
    const disposition = this.#dispositions.get(pid);
    if (!disposition || disposition.isReal) return;
    disposition.isReal = true;
    if (disposition.wanted > SIG_IGN) return;
    const action = Buffer.from(disposition.action);
    action.writeBigUInt64LE(disposition.wanted);
    yield* this.#setAction(tid, disposition, { signal: this.signal, action });
  }
  /** A child has what its parent has. */
  inherit(pid: number, parent: number = parentOf(pid) ?? 0): void {
    const inherited = this.#dispositions.get(parent);
    if (!inherited || this.knows(pid)) return;
    this.#dispositions.set(pid, { ...inherited, blocked: new Map(), seen: new Map() });
  }
  /** rt_sigaction of the signal, made by a thread of the process. */
  *change(pid: number, tid: number, args: readonly bigint[]): Script<number> {
    const disposition = this.#dispositions.get(pid);
    const result = yield* ours(NR.rt_sigaction, ...args);
    if (!disposition) return result;
    const { page, wanted } = disposition;
    const memory = new RemoteMemory(tid, { isStopped: true });
    const old = Buffer.alloc(8);
    const oldAt = args[2]!;
    if (
      result === 0 &&
      oldAt !== 0n &&
      !memory.read(oldAt, old) &&
      old.readBigUInt64LE() === page
    ) {
      old.writeBigUInt64LE(wanted);
      void memory.write(oldAt, old);
    }
    yield* this.#observe(disposition, ours, tid);
    return result;
  }

  /**
   * An access has been carried out in place of the signal, and these are to be the thread's registers. True: they are, and the
   * thread has made calls and is elsewhere now.
   */
  *restore({ tid, pid, stat }: AccessedThread, regs: Buffer): Stops<boolean> {
    const disposition = this.#dispositions.get(pid);
    if (!disposition || disposition.isReal) return false;
    const { caught, ignored } = stat ? meaningsIn(stat) : this.#stats.meanings(tid, pid);
    const isLost = !isIn(caught, this.signal);
    const isBlocked = wasBlocked(disposition, tid, isLost);
    disposition.blocked.set(tid, isBlocked);
    if (!isLost && !isBlocked) return false;
    const mask = ptrace.signalMask(tid);
    const maskAfter = isBlocked ? mask | bitOf(this.signal) : mask;
    const ignoresTraps = isIn(ignored, SIGTRAP);
    if (isLost) yield* this.#putBack(disposition, { tid, regs, maskAfter, ignoresTraps });
    else ptrace.setSignalMask(tid, maskAfter);
    return isLost;
  }
  *#putBack(disposition: Disposition, thread: Faulted): Stops<void> {
    const { action, instruction, page } = disposition;
    const { tid } = thread;
    yield* ThreadCalls.atFault(thread, instruction, (run) =>
      setAction({ tid, run, at: page }, { signal: this.signal, action }),
    );
    disposition.restored++;
  }

  /**
   * A signal that is the program's: what to go on with, where 0 is that it is not to hear of it, or not yet. `code`: its si_code.
   */
  *deliver(tid: number, pid: number, code: number): Stops<number> {
    const disposition = this.#dispositions.get(pid);
    if (!disposition || !pretends(disposition)) return this.signal;
    if (!isIn(this.#stats.meanings(tid, pid).caught, this.signal)) return this.signal; // the kernel has made it the default
    if (code <= 0 && disposition.wanted === SIG_IGN) return 0;
    yield* this.#setAction(tid, disposition, { signal: this.signal, action: NO_ACTION });
    disposition.isReal = true;
    return ptrace.isByInstruction({ code }) ? 0 : this.signal;
  }

  /**
   * A signal is to be forced on a thread, as the kernel does: blocked or ignored, or without a handler, it ends the program. True: as
   * above.
   */
  *force(tid: number, pid: number, signal: number): Stops<boolean> {
    const disposition = this.#dispositions.get(pid);
    const mask = ptrace.signalMask(tid);
    const isBlocked = (mask & bitOf(signal)) !== 0n;
    const isIgnored = isIn(this.#stats.meanings(tid, pid).ignored, signal);
    const isPretended =
      signal === this.signal && disposition !== undefined && pretends(disposition);
    if (!isBlocked && !isIgnored && !isPretended) return false;
    if (isPretended) disposition.isReal = true;
    if (disposition) yield* this.#setAction(tid, disposition, { signal, action: NO_ACTION });
    ptrace.setSignalMask(tid, mask & ~bitOf(signal));
    return disposition !== undefined;
  }
  #setAction(
    tid: number,
    { instruction, page }: Disposition,
    what: { readonly signal: number; readonly action: Buffer },
  ): Stops<void> {
    return ThreadCalls.in(tid, instruction, (run) => setAction({ tid, run, at: page }, what));
  }

  /** A thread has executed another program: what was ignored still is. */
  *executed(tid: number, pid: number): Stops<void> {
    const ignored = this.#dispositions.get(pid)?.wanted === SIG_IGN;
    this.forgetProcess(pid);
    if (!ignored) return;
    const action = Buffer.alloc(ACTION_SIZE);
    action.writeBigUInt64LE(SIG_IGN);
    yield* ThreadCalls.in(tid, syscallInstruction(tid), (run, stack) =>
      setAction({ tid, run, at: stack - BELOW_STACK }, { signal: this.signal, action }),
    );
  }

  /** Before a stopped thread goes on: what is lost from now on, it may have lost. */
  goesOn(tid: number, pid: number): void {
    const disposition = this.#dispositions.get(pid);
    disposition?.seen.set(tid, disposition.restored);
  }
  forgetProcess(pid: number): void {
    this.#dispositions.delete(pid);
  }
  forgetThread(tid: number, pid: number): void {
    const disposition = this.#dispositions.get(pid);
    disposition?.blocked.delete(tid);
    disposition?.seen.delete(tid);
  }

  /** What the program has set, and a handler in the place of none. */
  *#observe<Step>(
    disposition: Disposition,
    run: RemoteSyscall<Step>,
    tid: number,
  ): Generator<Step, void, number> {
    const { page } = disposition;
    const action = Buffer.alloc(ACTION_SIZE);
    const memory = new RemoteMemory(tid, { isStopped: true });
    // The page is the program's to lose: a thread that waits for it would keep us waiting.
    if (memory.isSlow(page, ACTION_SIZE, true)) return;
    if ((yield* run(NR.rt_sigaction, this.signal, 0, page, MASK_SIZE)) < 0) return;
    if (memory.read(page, action)) return;
    const wanted = action.readBigUInt64LE();
    if (wanted === page) return; // as before
    disposition.isReal = false;
    disposition.wanted = wanted;
    disposition.action = action;
    if (wanted > SIG_IGN) return;
    action.writeBigUInt64LE(page);
    yield* setAction({ tid, run, at: page }, { signal: this.signal, action });
  }
}

/** `at` is room for it in the program. */
function* setAction<Step>(
  { tid, run, at }: { tid: number; run: RemoteSyscall<Step>; at: bigint },
  { signal, action }: { readonly signal: number; readonly action: Buffer },
): Generator<Step, void, number> {
  if (new RemoteMemory(tid, { isStopped: true }).write(at, action)) return;
  yield* run(NR.rt_sigaction, signal, at, 0, MASK_SIZE);
}

/**
 * The handler is the process's: with faults of several threads at a time the one that has lost it may be another, and a
 * thread that has lost it too may find it put back. Then a thread is taken to be as it was, and a new one as the others.
 */
function wasBlocked(
  { blocked, restored, seen }: Disposition,
  tid: number,
  isLost: boolean,
): boolean {
  const others = [...blocked].some(([other, is]) => other !== tid && is);
  if (isLost) return !(others && blocked.get(tid) === false);
  return seen.get(tid) !== restored && (blocked.get(tid) ?? others);
}

/** The kernel has a handler that is never run. */
function pretends({ isReal, wanted }: Disposition): boolean {
  return !isReal && wanted <= SIG_IGN;
}
function bitOf(signal: number): bigint {
  return 1n << BigInt(signal - 1);
}
function isIn(set: number, signal: number): boolean {
  return ((set >> (signal - 1)) & 1) !== 0;
}
