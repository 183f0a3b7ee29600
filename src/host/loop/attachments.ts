/**
 * A program of the run attaches to a thread that we trace, or that makes calls for us: it gets the thread as soon as we have let
 * go of it.
 *
 * A call that the thread waits in is interrupted, as by Linux, and made again when the thread goes on. Between our letting go
 * and the attachment the thread makes no calls for us, by which it would be ours again.
 */
import { ours, type Handled, type InThread } from '../seccomp/in-thread.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { ERESTARTNOINTR, HOST_ERRNO, NR, PTRACE } from '../sys/numbers.ts';
import type { MmioBackend } from './backends.ts';

const ARGUMENTS = [0, 1, 2, 3];

/** What it needs of the loop. */
export interface AttachmentParts {
  readonly mmio: MmioBackend;
  /** For a call that was 'answered' later. */
  answer(call: Notification, handled: Handled): void;
  /** A thread that makes calls for us is to come to their end, of which `gone` is told. False: it makes none. */
  hurry(tid: number, gone: () => void): boolean;
}

/** On its way from us to another tracer. */
interface Leaving {
  readonly request: number;
  readonly wasTraced: boolean;
  hasLeft: boolean;
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
    const leaves = (): void => this.#left(tid, call);
    const wasTraced = mmio.release(tid, leaves);
    const makesCalls = this.#parts.hurry(tid, wasTraced ? () => undefined : leaves);
    if (!wasTraced && !makesCalls) return 'continue';
    this.#leaving.set(tid, { request: call.uint(0), wasTraced, hasLeft: false });
    return 'answered';
  }
  /** Is somebody waiting for it? */
  isLeaving(tid: number): boolean {
    return this.#leaving.has(tid);
  }
  /** A thread is to make calls for us: undefined if it is here. */
  postpone(call: Notification, todo: InThread): Answer | undefined {
    const leaving = this.#leaving.get(call.tid);
    if (!leaving?.hasLeft) return undefined;
    leaving.postponed = { call, todo };
    return 'answered';
  }

  #left(tid: number, call: Notification): void {
    const leaving = this.#leaving.get(tid);
    if (!leaving) return;
    leaving.hasLeft = true;
    const attached = carriedOut(call, (result) => this.#attached(tid, leaving, result));
    this.#parts.answer(call, attached);
  }
  /** By that request, with its result; undefined: it is still to be made. One that is refused has ended already. */
  #attached(tid: number, leaving: Leaving, result: number | undefined): void {
    const { postponed, request, wasTraced } = leaving;
    this.#leaving.delete(tid);
    if (wasTraced) this.#parts.mmio.lend(tid);
    if (!postponed) return;
    // Its SIGSTOP is on its way: the call is made again when the new tracer lets it.
    const stops = result === 0 && request === PTRACE.attach;
    this.#parts.answer(postponed.call, stops ? -ERESTARTNOINTR : postponed.todo);
  }
}

/** By the thread itself, so that what follows comes after it, and the answer after that. */
function carriedOut(call: Notification, then: (result: number | undefined) => void): InThread {
  return {
    *run() {
      const result = yield* ours(NR.ptrace, ...ARGUMENTS.map((n) => call.arg(n)));
      then(result);
      return result;
    },
    // Somebody traces the tracer.
    otherwise: () => {
      then(undefined);
      return 'continue';
    },
  };
}
