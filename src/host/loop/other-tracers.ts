/**
 * Programs of a run that trace each other: debuggers, sanitizers. A thread has one tracer, and those with mapped registers
 * have us: we let go of a thread before it is attached to, and take it again when the other one lets go.
 */
import { ours, type Handled, type InThread } from '../seccomp/in-thread.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { ERESTARTNOINTR, NR, PTRACE } from '../sys/numbers.ts';
import type { MmioBackend } from './backends.ts';

const ARGUMENTS = [0, 1, 2, 3];

/** What it needs of the loop. */
export interface OtherTracersParts {
  readonly mmio: MmioBackend;
  /** For a call that was 'answered' later. */
  answer(call: Notification, handled: Handled): void;
  /** Does the thread wait in a call, or make calls for us? It cannot be let go of then. */
  isBusy(tid: number): boolean;
}

/** Answers ptrace(2), as far as it begins or ends. */
export class OtherTracers {
  readonly #parts: OtherTracersParts;
  constructor(parts: OtherTracersParts) {
    this.#parts = parts;
  }

  answer(call: Notification): Handled {
    const request = call.uint(0);
    if (request === PTRACE.traceMe) return this.#traceMe(call);
    return request === PTRACE.detach ? this.#detach(call) : this.#attach(call);
  }

  #traceMe(call: Notification): Answer {
    const leaves = this.#parts.mmio.release(call.tid, () => undefined);
    return leaves ? -ERESTARTNOINTR : 'continue';
  }
  #attach(call: Notification): Answer {
    const { mmio } = this.#parts;
    const tid = call.int(1);
    if (this.#parts.isBusy(tid)) return 'continue';
    // An attachment that is refused has ended already.
    const attach = carriedOut(call, () => mmio.lend(tid));
    const leaves = mmio.release(tid, () => this.#parts.answer(call, attach));
    return leaves ? 'answered' : 'continue';
  }
  #detach(call: Notification): Handled {
    const { mmio } = this.#parts;
    return mmio.isLent(call.int(1)) ? carriedOut(call, () => mmio.retake()) : 'continue';
  }
}

/** By the thread itself, so that what follows comes after it, and the answer after that. */
function carriedOut(call: Notification, then: () => void): InThread {
  return {
    *run() {
      const result = yield* ours(NR.ptrace, ...ARGUMENTS.map((n) => call.arg(n)));
      then();
      return result;
    },
    // Somebody traces the tracer.
    otherwise: () => {
      then();
      return 'continue';
    },
  };
}
