/**
 * Calls whose arguments lie in pages that a program has to fill first (process/slow-pages.ts): the caller's thread waits for
 * them as Linux would let it, and makes its call again.
 *
 * A call that fails with EFAULT has undone what it did, and one that goes on as it stands has done nothing.
 */
import { ours, type InThread } from '../seccomp/in-thread.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { slowPages } from '../process/slow-pages.ts';
import { ERESTARTNOINTR, HOST_ERRNO, MADV_POPULATE, NR } from '../sys/numbers.ts';

/** So often a thread touches the same page before its call fails: another thread may take it away again. */
const MOST_TRIES = 3;

export class SlowCalls {
  readonly #processOf: (tid: number) => number;
  /** By thread: the page it has touched last, and how often. */
  readonly #tried = new Map<number, { readonly page: bigint; times: number }>();

  constructor(processOf: (tid: number) => number) {
    this.#processOf = processOf;
  }

  /** In place of an answer; undefined: it stands. */
  instead(call: Notification, answer: Answer): InThread | undefined {
    const missing = slowPages.take();
    const { tid } = call;
    if (!missing || !isUndone(answer) || !this.#isOf(tid, missing.tid)) {
      if (this.#tried.size > 0) this.#tried.delete(tid);
      return undefined;
    }
    const { addr, length, write } = missing;
    if (!this.#mayTry(tid, addr)) return undefined;
    const how = write ? MADV_POPULATE.write : MADV_POPULATE.read;
    return {
      *run() {
        // Should it fail, the call finds out what the matter is.
        yield* ours(NR.madvise, addr, length, how);
        return -ERESTARTNOINTR;
      },
      otherwise: () => answer,
    };
  }
  #isOf(tid: number, other: number): boolean {
    return tid === other || this.#processOf(tid) === this.#processOf(other);
  }
  #mayTry(tid: number, page: bigint): boolean {
    const tried = this.#tried.get(tid);
    if (tried?.page !== page) {
      this.#tried.set(tid, { page, times: 1 });
      return true;
    }
    if (tried.times++ < MOST_TRIES) return true;
    this.#tried.delete(tid);
    return false;
  }
}

function isUndone(answer: Answer): boolean {
  return answer === -HOST_ERRNO.EFAULT || answer === 'continue';
}
