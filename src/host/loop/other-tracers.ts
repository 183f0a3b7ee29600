/**
 * Programs of a run that trace each other: debuggers, sanitizers. A thread has one tracer, and those with mapped registers
 * have us: we let go of a thread before it is attached to, and take it again when the other one lets go.
 *
 * What we need of a thread that another one traces is done through that one (by-tracer.ts), when it is about to let the
 * thread go on with a signal: with the SIGBUS of an access to registers, or with one that we have sent for that.
 */
import { syscall, type SyscallArgument } from '../sys/ffi.ts';
import {
  ours,
  wholeScript,
  type Hand,
  type Handled,
  type InThread,
  type Script,
} from '../seccomp/in-thread.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import type { InstructionFault } from '../process/instruction-memory.ts';
import { ERESTARTNOINTR, KNOCKS, NR, PTRACE, SIGBUS, SIGSEGV } from '../sys/numbers.ts';
import { hasEnded, isTraced, isWithin, parentOf, processIdOf, tracerOf } from '../sys/procfs.ts';
import { hasFault, unwelcomeSignals } from '../sys/signals.ts';
import {
  causeIn,
  faultInfo,
  isByInstruction,
  REGS_SIZE,
  REQUEST,
  SIGINFO_SIZE,
} from '../sys/ptrace.ts';
import type { Tracers } from '../calls/call-context.ts';
import { Attachments, type AttachmentParts } from './attachments.ts';
import { ByTracer, knockInfo } from './by-tracer.ts';

const ARGUMENTS = [0, 1, 2, 3];
/** Requests by which a stopped thread goes on: CONT, SINGLESTEP, SYSCALL, SYSEMU, SYSEMU_SINGLESTEP, SINGLEBLOCK. */
const GOING_ON: ReadonlySet<number> = new Set([7, 9, 24, 31, 32, 33]);
/** Signals by which accesses to registers come. */
const FAULTS: ReadonlySet<number> = new Set([SIGBUS, SIGSEGV]);
const LARGEST_VECTORS = 24_576;

/** What it needs of the loop. */
export interface OtherTracersParts extends Omit<AttachmentParts, 'stay' | 'takeHeld' | 'hasEnded'> {
  /** The process above all of the run. */
  readonly launcher: number;
  /** To the thread that waits in this call. */
  give(call: Notification, hands: readonly Hand[]): void;
}

/** What a thread is to do as soon as its tracer lets it go on with this signal. */
interface Waiting {
  readonly signal: number;
  readonly todo: InThread;
}

/** What is left of the signal that a thread is to go on with; `comesAgain`: by its instruction, with all that is told of it. */
interface Left {
  signal: number;
  comesAgain?: boolean;
}

/** Answers ptrace(2), as far as it begins, ends, or goes on with a signal that is ours. */
export class OtherTracers implements Tracers {
  readonly #parts: OtherTracersParts;
  /** By thread. */
  readonly #waiting = new Map<number, Waiting>();
  /** Threads that wait for us after their tracer, and their registers. */
  readonly #held = new Map<number, Buffer>();
  readonly attachments: Attachments;
  constructor(parts: OtherTracersParts) {
    this.#parts = parts;
    this.attachments = new Attachments({
      ...parts,
      hasEnded,
      takeHeld: (tid) => {
        const regs = this.#held.get(tid);
        this.#held.delete(tid);
        return regs;
      },
      stay: (tid, regs, call) => {
        this.#held.set(tid, regs);
        if (call) parts.answer(call, this.#heldBack(call, regs));
      },
    });
  }

  answer(call: Notification): Handled {
    const request = call.uint(0);
    if (call.int(1) === call.tid) {
      const held = this.#held.get(call.tid);
      const waits = held ? this.#heldBack(call, held) : this.attachments.wait(call);
      if (waits !== undefined) return waits;
    }
    if (request === PTRACE.traceMe) return this.#traceMe(call);
    if (GOING_ON.has(request)) return this.#goingOn(call);
    if (request === PTRACE.attach || request === PTRACE.seize) {
      return this.attachments.attach(call);
    }
    return request === PTRACE.detach ? this.#detach(call) : 'continue';
  }

  /** Is the tracer of a thread a program of the run, whose requests we see? */
  isWithin(tid: number): boolean {
    const tracer = tracerOf(tid);
    return tracer !== 0 && isWithin(processIdOf(tracer), this.#parts.launcher);
  }

  /** Trace again what nobody else does any more, at the latest when the next call or stop is looked at. */
  retake(): void {
    const { mmio } = this.#parts;
    if (this.attachments.isUnderWay()) return;
    mmio.retake();
    // One that is ours before it has come to its call is held back no more.
    for (const [tid, regs] of this.#held) {
      if (mmio.isTraced(tid) && mmio.take(tid, regs)) this.#held.delete(tid);
    }
  }
  lend(tid: number): void {
    this.#parts.mmio.lend(tid);
  }

  /**
   * A thread that another one traces is to make calls: its trapped call is interrupted by a signal that only its tracer hears
   * of. Undefined: that one is none of ours, or has not passed the signal on.
   */
  byTracer(call: Notification, todo: InThread): Answer | undefined {
    const { tid } = call;
    if (this.#waiting.delete(tid) || !this.isWithin(tid)) return undefined;
    const signal = knockFor(tid);
    if (signal === undefined) return undefined;
    const info = knockInfo(signal);
    if (syscall(NR.rt_tgsigqueueinfo, processIdOf(tid), tid, signal, info) < 0) return undefined;
    call.keep();
    // Later there is no call to give them by. Should the tracer swallow the signal, they stay in the program until its exec.
    this.#parts.give(call, todo.hands ?? []);
    for (const other of this.#waiting.keys()) if (!isTraced(other)) this.#waiting.delete(other);
    this.#waiting.set(tid, { signal, todo });
    return -ERESTARTNOINTR;
  }

  #goingOn(call: Notification): Handled {
    const tid = call.int(1);
    const signal = call.int(3);
    const waiting = this.#waiting.get(tid);
    const script =
      waiting?.signal === signal
        ? this.#called(call, tid, waiting.todo)
        : FAULTS.has(signal)
          ? this.#access(call, tid)
          : undefined;
    return script ? { run: () => script, otherwise: () => 'continue' } : 'continue';
  }
  /** The tracer goes on with its request: with another signal, or none. */
  #asked(call: Notification, signal: number): Script<number> {
    return ours(NR.ptrace, call.uint(0), call.int(1), call.arg(2), signal);
  }

  *#called(call: Notification, tid: number, todo: InThread): Script<number> {
    this.#waiting.delete(tid);
    const thread = new ByTracer({ tid, tracer: call.tid });
    yield* thread.within(() => thread.follow(wholeScript(todo, tid)));
    return yield* this.#asked(call, 0);
  }

  *#access(call: Notification, tid: number): Script<number> {
    const thread = new ByTracer({ tid, tracer: call.tid });
    const left: Left = { signal: call.int(3) };
    yield* thread.within(() => this.#carryOut(thread, left));
    return yield* this.#asked(call, left.signal);
  }
  /** Of a thread that is about to be let go of, and may not have come to the stop of its access yet. */
  *#atLast(thread: ByTracer, left: Left): Script<number> {
    if (!FAULTS.has(left.signal)) {
      if (!hasFault(thread.tid)) return 0;
      left.signal = Math.max(0, yield* thread.toNextStop());
    }
    return FAULTS.has(left.signal) ? yield* this.#carryOut(thread, left) : 0;
  }
  /** An access, if the signal is of one. */
  *#carryOut(thread: ByTracer, left: Left): Script<number> {
    const { tid } = thread;
    const info = Buffer.alloc(SIGINFO_SIZE);
    const regs = Buffer.alloc(REGS_SIZE);
    const state = Buffer.alloc(LARGEST_VECTORS);
    let changed: Buffer | undefined;
    let rc = yield* thread.get(REQUEST.getSigInfo, info);
    if (rc >= 0) rc = yield* thread.get(REQUEST.getRegs, regs);
    if (rc < 0) return rc;
    const length = yield* thread.getVectors(state);
    const vectors = {
      get: (into: Uint8Array): number => {
        into.set(state.subarray(0, Math.max(0, length)));
        return length;
      },
      set: (from: Uint8Array): number => {
        changed = Buffer.from(from);
        return 0;
      },
    };
    const cause = causeIn(info);
    left.comesAgain = isByInstruction(cause);
    const done = this.#parts.mmio.carryOut({ tid, regs, vectors }, left.signal, cause);
    if (done === 'not ours') return 0;
    yield* thread.set(REQUEST.setRegs, regs);
    if (changed) yield* thread.setVectors(changed);
    left.signal = done === 'done' ? 0 : done.signal;
    return done === 'done' ? 0 : yield* this.#tell(thread, done);
  }
  #tell(thread: ByTracer, fault: InstructionFault): Script<number> {
    return thread.set(REQUEST.setSigInfo, faultInfo(fault));
  }

  #traceMe(call: Notification): Answer {
    const leaves = this.#parts.mmio.release(call.tid, () => undefined);
    return leaves ? -ERESTARTNOINTR : 'continue';
  }
  #detach(call: Notification): Handled {
    const { mmio } = this.#parts;
    const tid = call.int(1);
    // A child has its parent's registers.
    if (!mmio.isLent(tid) && mmio.isLent(parentOf(processIdOf(tid)) ?? 0)) mmio.lend(tid);
    if (!mmio.isLent(tid) && !this.#waiting.has(tid)) return 'continue';
    return { run: () => this.#letGo(call, tid), otherwise: () => 'continue' };
  }
  *#letGo(call: Notification, tid: number): Script<number> {
    const thread = new ByTracer({ tid, tracer: call.tid });
    return yield* thread.within(() => this.#detached(call, thread, tid));
  }
  /** A signal of ours that is still on its way is for nobody then. */
  *#detached(call: Notification, thread: ByTracer, tid: number): Script<number> {
    const { mmio } = this.#parts;
    const args: SyscallArgument[] = ARGUMENTS.map((n) => call.arg(n));
    const knock = this.#waiting.get(tid)?.signal;
    this.#waiting.delete(tid);
    if (knock !== undefined) {
      yield* thread.takeKnock(knock);
      if (call.int(3) === knock) args[3] = 0n;
    }
    const left: Left = { signal: Number(args[3]) };
    yield* this.#atLast(thread, left);
    const regs = Buffer.alloc(REGS_SIZE);
    const isHeld = mmio.isLent(tid) && (yield* thread.hold(regs, this.#held.get(tid))) >= 0;
    if (isHeld) this.#held.set(tid, regs);
    args[3] = isHeld && left.comesAgain === true ? 0 : left.signal;
    const result = yield* ours(NR.ptrace, ...args);
    if (result < 0 && isHeld) {
      this.#held.delete(tid);
      yield* thread.restore(regs);
    }
    this.retake();
    return result;
  }
  /** A thread has been let go of, and waits for us. Until somebody else has let go of it too. */
  #heldBack(call: Notification, regs: Buffer): Answer {
    if (!this.#parts.mmio.take(call.tid, regs)) return -ERESTARTNOINTR;
    this.#held.delete(call.tid);
    return 0;
  }
}

/** A signal that the thread does not hold back, and that is not on its way to it. */
function knockFor(tid: number): number | undefined {
  const busy = unwelcomeSignals(tid);
  return KNOCKS.find((signal) => (busy & (1n << BigInt(signal - 1))) === 0n);
}
