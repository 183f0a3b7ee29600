/** Calls that sleep in the simulated kernel: each is tried again when something wakes it, and answered when it is done. */
import type { Result } from '../../base/errno.ts';
import { run as runOutcome, type Outcome } from '../../base/wait-queue.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';

/** What is done with a call. */
export interface ParkingParts {
  answer(call: Notification, given: Answer): void;
  /** When the call that woke it is over. */
  later(attempt: () => void): void;
}
interface Parked {
  readonly call: Notification;
  readonly cancel: () => void;
  readonly outlivesCaller: boolean;
}

/** Those of one run. */
export class ParkedCalls {
  readonly #parts: ParkingParts;
  readonly #parked = new Map<bigint, Parked>();

  constructor(parts: ParkingParts) {
    this.#parts = parts;
  }
  get size(): number {
    return this.#parked.size;
  }

  /** The answer where it comes at once; else the call sleeps. */
  park<T>(
    call: Notification,
    run: () => Outcome<Result<T>>,
    answer: (result: Result<T>) => Answer,
    how: { readonly outlivesCaller: boolean },
  ): Answer {
    const now: { answer?: Answer; parked: boolean } = { parked: false };
    const answered = (result: Result<T>): void => {
      const given = answer(result);
      if (!now.parked) now.answer = given;
      else if (this.#parked.delete(call.id)) this.#parts.answer(call, given);
    };
    const cancel = runOutcome(run, answered, (attempt) => this.#parts.later(attempt));
    if (now.answer !== undefined) return now.answer;
    now.parked = true;
    this.#parked.set(call.id, { call, cancel, ...how });
    return 'answered';
  }
  /** Those whose caller is gone give up, but for what goes on without one. */
  dropUnless(
    isThere: (call: Notification) => boolean,
    onGivenUp: (call: Notification) => void,
  ): void {
    for (const [id, { call, cancel, outlivesCaller }] of [...this.#parked]) {
      if (isThere(call)) continue;
      this.#parked.delete(id);
      if (outlivesCaller) continue;
      cancel();
      onGivenUp(call);
    }
  }
  /** The run is over. */
  cancelAll(): void {
    for (const { cancel } of this.#parked.values()) cancel();
  }
}
