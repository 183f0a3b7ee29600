/**
 * Work in steps, as much as is there, without keeping the machine from anything else: after a bounded part of it the
 * rest is done at the next tick.
 *
 * A step may ring for itself, by a register its transfers reach: that is remembered, and nothing is run inside of it.
 */
import type { Clock } from '../../base/clock.ts';
import type { DeviceDma } from '../port.ts';
import { Delay } from './delay.ts';
import { TurnBudget } from './turn-budget.ts';

/** Cost of a step that moves little. */
const LEAST_COST = 4096;
/** Of what is done at once. Of a step that moves bytes, the bytes. */
const BUDGET = 0x4_0000;

/** What a pump may be told besides. */
export interface PumpOptions {
  /** Its transfers are counted, and what their registers cost. */
  readonly dma?: Pick<DeviceDma, 'work'>;
  /** Work of one turn. */
  readonly budget?: number;
}

/** Does steps until none is left. */
export class Pump {
  readonly #step: (left: number) => number | undefined;
  readonly #rest: Delay;
  readonly #budget: TurnBudget;
  #running = false;
  #rung = false;

  /**
   * `step` does one thing, with so much work left, and gives the bytes it moved; undefined: there is nothing to do.
   */
  constructor(
    clock: Clock,
    step: (left: number) => number | undefined,
    { dma, budget = BUDGET }: PumpOptions = {},
  ) {
    this.#step = step;
    this.#budget = new TurnBudget({ clock, dma }, budget);
    this.#rest = new Delay(clock, () => {
      this.#budget.renew();
      this.#work();
    });
  }
  /** Nanoseconds until it goes on; undefined: it has nothing left to do. */
  get leftNs(): number | undefined {
    return this.#rest.leftNs;
  }
  /** There may be something to do. */
  run(): void {
    this.#rung = true;
    if (this.#running || this.#rest.leftNs !== undefined) return;
    this.#budget.renew();
    this.#work();
  }
  /** There may be something to do, in a turn of its own. */
  runLater(): void {
    if (!this.#running && this.#rest.leftNs === undefined) this.#rest.restart(0);
    this.#rung = true;
  }
  /** Nothing is left to do. */
  cancel(): void {
    this.#rest.cancel();
    this.#rung = false;
  }
  /** As at another time: what leftNs was then. */
  restore(leftNs: number | undefined): void {
    this.#rest.restart(leftNs);
  }

  #isRung(): boolean {
    return this.#rung;
  }
  #work(): void {
    const budget = this.#budget;
    this.#running = true;
    let isLeft = true;
    while (isLeft && budget.left > 0) {
      this.#rung = false;
      const before = budget.spent;
      const moved = this.#step(budget.left);
      isLeft = moved !== undefined || this.#isRung();
      const cost = Math.max(moved ?? 0, LEAST_COST) - (budget.spent - before);
      if (isLeft) budget.spend(Math.max(0, cost));
    }
    this.#running = false;
    if (isLeft) this.#rest.restart(0);
  }
}
