/**
 * Sleeping without async: a handler returns the queue it waits on and is run again when it is woken.
 *
 * Look first, change after: a handler that returns a queue has changed nothing and holds nothing, so that
 * cancelling (a signal, the death of the process) is just dropping the request.
 */
import type { Remark } from './events.ts';

export class WaitQueue {
  readonly #sleepers = new Set<() => void>();
  /** For whom its sleepers wait, as it is now; absent for those who wait for things to happen, such as readers. */
  readonly why: (() => Remark) | undefined;

  constructor(why?: () => Remark) {
    this.why = why;
  }
  /** Park a retry; the result cancels it. */
  add(retry: () => void): () => void {
    this.#sleepers.add(retry);
    return () => this.#sleepers.delete(retry);
  }
  wakeAll(): void {
    const woken = [...this.#sleepers];
    this.#sleepers.clear();
    for (const retry of woken) retry();
  }
  get idle(): boolean {
    return this.#sleepers.size === 0;
  }
}

/** The answer of a handler, or the queue it waits on before it is run again. */
export type Outcome<T> = T | WaitQueue;

/**
 * Run `handler` now, and again after every wake-up, until it gives an answer. Returns a cancel.
 *
 * Whoever wakes is in the middle of a call and holds its locks: `later` keeps the new attempt until that call is over.
 */
export function run<T>(
  handler: () => Outcome<T>,
  answer: (value: T) => void,
  later: (attempt: () => void) => void,
): () => void {
  let cancel: (() => void) | undefined;
  let cancelled = false;
  const attempt = (): void => {
    if (cancelled) return;
    const out = handler();
    if (out instanceof WaitQueue) cancel = out.add(() => later(attempt));
    else answer(out);
  };
  attempt();
  return () => {
    cancelled = true;
    cancel?.();
  };
}
