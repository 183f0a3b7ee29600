/** The clock of one device that can be stopped: its time stands still, and what it has set waits (vfio.md 2.10). */
import { Clock } from '../../base/clock.ts';

interface Waiting {
  readonly run: () => void;
  /** When it is due, in the device's own time. */
  readonly dueNs: number;
  timer: Disposable | undefined;
}

export class DeviceClock extends Clock {
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiting>();
  /** Time of the machine at which it was stopped. */
  #stoppedNs: number | undefined;
  /** Time of the machine that was none of the device's. */
  #lostNs = 0;

  constructor(clock: Clock) {
    super();
    this.#clock = clock;
  }
  override get nowNs(): number {
    return (this.#stoppedNs ?? this.#clock.nowNs) - this.#lostNs;
  }
  override after(delayNs: number, run: () => void): Disposable {
    const waiting: Waiting = {
      run,
      dueNs: this.nowNs + Math.max(0, delayNs),
      timer: undefined,
    };
    this.#waiting.add(waiting);
    if (this.#stoppedNs === undefined) this.#arm(waiting);
    return {
      [Symbol.dispose]: () => {
        this.#waiting.delete(waiting);
        waiting.timer?.[Symbol.dispose]();
      },
    };
  }
  override get nextDeadlineNs(): number | undefined {
    const due = [...this.#waiting].map(({ dueNs }) => dueNs);
    return due.length > 0 ? Math.min(...due) : undefined;
  }

  stop(): void {
    if (this.#stoppedNs !== undefined) return;
    this.#stoppedNs = this.#clock.nowNs;
    for (const { timer } of this.#waiting) timer?.[Symbol.dispose]();
  }
  /** What was due at the same time is done in the order in which it was set. */
  start(): void {
    if (this.#stoppedNs === undefined) return;
    this.#lostNs += this.#clock.nowNs - this.#stoppedNs;
    this.#stoppedNs = undefined;
    for (const waiting of this.#waiting) this.#arm(waiting);
  }

  #arm(waiting: Waiting): void {
    waiting.timer = this.#clock.after(waiting.dueNs - this.nowNs, () => {
      this.#waiting.delete(waiting);
      waiting.run();
    });
  }
}
