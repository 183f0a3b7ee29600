/**
 * What a device may do in one turn of the machine, so that nobody else waits for it for long: counted as the bytes it
 * moves, registers dearer (DeviceDma.work). All models have their steps measured by it; what is left is for the next turn.
 */
import type { Clock } from '../../base/clock.ts';
import type { DeviceDma } from '../port.ts';

/** Of an engine whose steps are many commands: a millisecond or two of moving memory, or a thousand accesses. */
export const TURN_WORK = 0x10_0000;

/** What a budget counts by itself. */
export interface TurnMeter {
  readonly clock: Clock;
  readonly dma?: Pick<DeviceDma, 'work'> | undefined;
}

/** The work of one turn. */
export class TurnBudget {
  readonly #meter: TurnMeter;
  readonly #size: number;
  #startNs = -1;
  /** Of the meter, at the beginning of the turn. */
  #start = 0;
  #spent = 0;

  constructor(meter: TurnMeter, size = TURN_WORK) {
    this.#meter = meter;
    this.#size = size;
  }
  /** A turn of its own has come. */
  renew(): void {
    this.#startNs = this.#meter.clock.nowNs;
    this.#start = this.#work;
    this.#spent = 0;
  }
  /** Somebody rang: a turn of theirs, or still the same, where what another device does rings many times. */
  ring(): void {
    if (this.#meter.clock.nowNs !== this.#startNs) this.renew();
  }
  /** Work that the bus does not see. */
  spend(work: number): void {
    this.#spent += work;
  }
  /** What is left; 0: no further step is begun. */
  get left(): number {
    return Math.max(0, this.#size - this.spent);
  }
  get spent(): number {
    return this.#spent + this.#work - this.#start;
  }
  get #work(): number {
    return this.#meter.dma?.work ?? 0;
  }
}
