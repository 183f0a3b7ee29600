/**
 * Work in steps, as much as is there, without keeping the machine from anything else: after a bounded part of it the
 * rest is done at the next tick.
 */
import type { Clock } from '../../base/clock.ts';
import { Delay } from './delay.ts';

/** Cost of a step that moves little. */
const LEAST_COST = 4096;
/** Of what is done at once. Of a step that moves bytes, the bytes. */
const BUDGET = 0x4_0000;

/** Does steps until none is left. */
export class Pump {
  readonly #step: () => number | undefined;
  readonly #rest: Delay;
  #running = false;

  /** `step` does one thing and gives the bytes it moved; undefined: there is nothing to do. */
  constructor(clock: Clock, step: () => number | undefined) {
    this.#step = step;
    this.#rest = new Delay(clock, () => this.run());
  }
  /** Nanoseconds until it goes on; undefined: it has nothing left to do. */
  get leftNs(): number | undefined {
    return this.#rest.leftNs;
  }
  /** There may be something to do. */
  run(): void {
    if (this.#running || this.#rest.leftNs !== undefined) return;
    this.#running = true;
    for (let spent = 0; spent < BUDGET;) {
      const moved = this.#step();
      if (moved === undefined) {
        this.#running = false;
        return;
      }
      spent += Math.max(moved, LEAST_COST);
    }
    this.#running = false;
    this.#rest.restart(0);
  }
  /** Nothing is left to do. */
  cancel(): void {
    this.#rest.cancel();
  }
  /** As at another time: what leftNs was then. */
  restore(leftNs: number | undefined): void {
    this.#rest.restart(leftNs);
  }
}
