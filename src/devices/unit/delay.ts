/** Work of a device that takes time: started, cancelled, and part of the device's state by what is left of it. */
import type { Clock } from '../../base/clock.ts';

/** One thing that is done later; at most one is under way. */
export class Delay {
  readonly #clock: Clock;
  readonly #run: () => void;
  #timer: Disposable | undefined;
  #dueNs = 0;

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock;
    this.#run = run;
  }
  /** Nanoseconds until it is done; undefined: nothing is under way. */
  get leftNs(): number | undefined {
    return this.#timer && this.#dueNs - this.#clock.nowNs;
  }
  /** In so many nanoseconds, instead of what was under way; undefined: not at all. */
  restart(delayNs: number | undefined): void {
    this.cancel();
    if (delayNs === undefined) return;
    this.#dueNs = this.#clock.nowNs + delayNs;
    this.#timer = this.#clock.after(delayNs, () => {
      this.#timer = undefined;
      this.#run();
    });
  }
  /** It will not be done. */
  cancel(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }
}
