/**
 * Execs of processes that nothing else is known of: most processes of a run never ask for memory, and end without our hearing
 * of it. Should such a one be asked for its memory while its exec is under way, it is known to be.
 */
import * as libc from '../sys/libc.ts';

/** With so many it is time to look which of them are still there. */
const FIRST_SWEEP = 256;

export class OtherExecs {
  readonly #of = new Map<number, Set<number>>();
  #sweepAt = FIRST_SWEEP;

  /** The threads of a process whose exec was let go. */
  of(pid: number): Set<number> {
    if (this.#of.size >= this.#sweepAt) this.#sweep();
    const executing = this.#of.get(pid) ?? new Set();
    this.#of.set(pid, executing);
    return executing;
  }
  /** The same, of a process that is known from now on. */
  take(pid: number): Set<number> {
    const executing = this.#of.get(pid) ?? new Set();
    this.#of.delete(pid);
    return executing;
  }
  #sweep(): void {
    for (const pid of this.#of.keys()) if (!libc.exists(`/proc/${pid}`)) this.#of.delete(pid);
    this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.#of.size);
  }
}
