/** The clock of a run's machine, which the wait loop moves with that of the host; and how long a wait may be for it. */
import { isErrno } from '../../base/errno.ts';
import type { Machine } from '../../machine/machine.ts';
import * as libc from '../sys/libc.ts';

const NS_PER_MS = 1e6;

/** The machine's time began with the run. */
export class RunClock {
  readonly #machine: Pick<Machine, 'advanceOnceTo' | 'env'>;
  readonly #warn: (text: string) => void;
  readonly #startNs = libc.monotonicNs();

  constructor(machine: Pick<Machine, 'advanceOnceTo' | 'env'>, warn: (text: string) => void) {
    this.#machine = machine;
    this.#warn = warn;
  }
  /** Run the timers whose time has come. True: there were some. */
  advance(): boolean {
    const now = libc.monotonicNs();
    const isDue = this.isDue(now);
    const rc = this.#machine.advanceOnceTo(now - this.#startNs);
    if (isErrno(rc)) this.#warn('a timer of the machine failed; see the report above');
    return isDue;
  }
  /** Has the time of one come? */
  isDue(now: number): boolean {
    const due = this.#machine.env.clock.nextDeadlineNs;
    return due !== undefined && due <= now - this.#startNs;
  }
  /** Until the next, in whole milliseconds. Infinity: none is set. */
  get leftMs(): number {
    const due = this.#machine.env.clock.nextDeadlineNs;
    if (due === undefined) return Infinity; // asked in every turn
    return Math.max(0, Math.ceil((due - libc.monotonicNs() + this.#startNs) / NS_PER_MS));
  }
}
