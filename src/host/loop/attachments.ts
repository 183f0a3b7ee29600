/**
 * A program of the run attaches to a thread that we trace, or that makes calls for us: it gets the thread as soon as we have let
 * go of it.
 *
 * A call that the thread waits in is interrupted, as by Linux, and made again when the thread goes on. Between our letting go
 * and the attachment the thread makes no calls for us, by which it would be ours again.
 */
import { ours, type Handled, type InThread, type Script } from '../seccomp/in-thread.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { ERESTARTNOINTR, HOST_ERRNO, NR, PTRACE } from '../sys/numbers.ts';
import { isTraced } from '../sys/procfs.ts';
import type { MmioBackend } from './backends.ts';
import { ByTracer } from './by-tracer.ts';

const ARGUMENTS = [0, 1, 2, 3];

/** What it needs of the loop. */
export interface AttachmentParts {
  readonly mmio: MmioBackend;
  /** For a call that was 'answered' later. */
  answer(call: Notification, handled: Handled): void;
  /** It is held back until somebody lets go of it, and goes on with these registers then; `call`: it waits for that. */
  stay(tid: number, regs: Buffer, call?: Notification): void;
  /** One that stays so is somebody else's to hold back: the registers it is to go on with. Undefined: it does not. */
  takeHeld(tid: number): Buffer | undefined;
  /** A thread that makes calls for us is to come to their end, of which `gone` is told. False: it makes none. */
  hurry(tid: number, gone: () => void): boolean;
  /** A thread will make no more requests. */
  hasEnded(tid: number): boolean;
}

/** On its way from us to another tracer. */
interface Leaving {
  readonly request: number;
  readonly wasTraced: boolean;
  /** The thread that attaches. */
  readonly tracer: number;
  hasLeft: boolean;
  /** What it goes on with when it has been attached to; until then all it does is to wait for us in a call. */
  held?: Buffer | undefined;
  waits?: Notification | undefined;
  isAttached?: boolean;
  /** What it wants to do in between. */
  postponed?: { readonly call: Notification; readonly todo: InThread };
}

/** Threads that are on their way to another tracer. */
export class Attachments {
  readonly #parts: AttachmentParts;
  readonly #leaving = new Map<number, Leaving>();
  constructor(parts: AttachmentParts) {
    this.#parts = parts;
  }

  /** PTRACE_ATTACH or PTRACE_SEIZE. EPERM: another one is about to have the thread. */
  attach(call: Notification): Answer {
    const { mmio } = this.#parts;
    const tid = call.int(1);
    if (this.#leaving.has(tid)) return -HOST_ERRNO.EPERM;
    const waiting = this.#parts.takeHeld(tid);
    if (waiting) {
      this.#leaving.set(tid, newLeaving(call, true));
      this.#left(tid, call, waiting);
      return 'answered';
    }
    const leaves = (held?: Buffer): void => this.#left(tid, call, held);
    // What is held back goes on by its new tracer's thread, which must be ours to have.
    const wasTraced = mmio.release(tid, leaves, !isTraced(call.tid) || mmio.isTraced(call.tid));
    const makesCalls = this.#parts.hurry(tid, wasTraced ? () => undefined : leaves);
    if (!wasTraced && !makesCalls) return 'continue';
    this.#leaving.set(tid, newLeaving(call, wasTraced));
    return 'answered';
  }
  /** Is a thread between us and its new tracer, where nobody else may take it? One whose tracer has ended is so no more. */
  isUnderWay(): boolean {
    if (this.#leaving.size === 0) return false; // asked in every turn
    for (const [tid, leaving] of this.#leaving) {
      if (leaving.hasLeft && this.#parts.hasEnded(leaving.tracer)) {
        this.#attached(tid, leaving, undefined);
      }
    }
    return [...this.#leaving.values()].some(({ hasLeft }) => hasLeft);
  }
  /** Is somebody waiting for it? */
  isLeaving(tid: number): boolean {
    return this.#leaving.has(tid);
  }
  /** A thread that is held back has come to its call: undefined if it is none. */
  wait(call: Notification): Answer | undefined {
    const leaving = this.#leaving.get(call.tid);
    if (!leaving?.held) return undefined;
    if (leaving.isAttached) return -ERESTARTNOINTR; // its new tracer has a stop for it
    call.keep();
    leaving.waits = call;
    return 'answered';
  }
  /** A thread is to make calls for us: undefined if it is here. */
  postpone(call: Notification, todo: InThread): Answer | undefined {
    const leaving = this.#leaving.get(call.tid);
    if (!leaving?.hasLeft) return undefined;
    leaving.postponed = { call, todo };
    return 'answered';
  }

  #left(tid: number, call: Notification, held: Buffer | undefined): void {
    const leaving = this.#leaving.get(tid);
    if (!leaving) return;
    leaving.hasLeft = true;
    leaving.held = held;
    const attached = carriedOut(call, {
      goOn: (result) => this.#goOn(call, leaving, result),
      then: (result) => this.#attached(tid, leaving, result),
    });
    this.#parts.answer(call, attached);
  }
  /** By its tracer, if it is that now. Else it stays where it is. */
  *#goOn(call: Notification, leaving: Leaving, result: number): Script<number> {
    const { held, request } = leaving;
    const tid = call.int(1);
    if (!held) return 0;
    let rc = -HOST_ERRNO.ESRCH;
    try {
      const thread = new ByTracer({ tid, tracer: call.tid });
      const isSeized = request === PTRACE.seize;
      const toItsStop = (): void => this.#toItsStop(leaving);
      if (result === 0) rc = yield* thread.within(() => thread.goOn(isSeized, held, toItsStop));
      return rc;
    } finally {
      if (rc < 0) this.#stay(tid, leaving);
      leaving.held = undefined;
    }
  }
  /** Nobody has made it go on. */
  #stay(tid: number, { held, waits }: Leaving): void {
    if (held) this.#parts.stay(tid, held, waits);
  }
  /** No signal takes it out of its call before we answer. */
  #toItsStop(leaving: Leaving): void {
    const { waits } = leaving;
    leaving.isAttached = true;
    leaving.waits = undefined;
    if (waits) this.#parts.answer(waits, -ERESTARTNOINTR);
  }
  /** By that request, with its result; undefined: it is still to be made. One that is refused has ended already. */
  #attached(tid: number, leaving: Leaving, result: number | undefined): void {
    const { postponed, request, wasTraced } = leaving;
    if (this.#leaving.get(tid) !== leaving) return; // it was given up before
    this.#leaving.delete(tid);
    this.#stay(tid, leaving);
    leaving.held = undefined;
    if (wasTraced) this.#parts.mmio.lend(tid);
    if (!postponed) return;
    // Its SIGSTOP is on its way: the call is made again when the new tracer lets it.
    const stops = result === 0 && request === PTRACE.attach;
    this.#parts.answer(postponed.call, stops ? -ERESTARTNOINTR : postponed.todo);
  }
}

function newLeaving(call: Notification, wasTraced: boolean): Leaving {
  return { request: call.uint(0), wasTraced, tracer: call.tid, hasLeft: false };
}

/** By the thread itself, so that what follows comes after it, and the answer after that. */
function carriedOut(
  call: Notification,
  {
    goOn,
    then,
  }: {
    readonly goOn: (result: number) => Script<number>;
    readonly then: (result: number | undefined) => void;
  },
): InThread {
  return {
    *run() {
      let result: number | undefined;
      try {
        result = yield* ours(NR.ptrace, ...ARGUMENTS.map((n) => call.arg(n)));
        yield* goOn(result);
        return result;
      } finally {
        then(result); // also when it is killed meanwhile
      }
    },
    // Somebody traces the tracer.
    otherwise: () => {
      then(undefined);
      return 'continue';
    },
  };
}
