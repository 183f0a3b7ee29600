/** The clock of one device that can be stopped: its time stands still, and what it has set waits (vfio.md 2.10). */
import { Clock } from '../../base/clock.ts';

/** Something that is set; its timer is there while time goes on. */
class Waiting implements Disposable {
  readonly run: () => void;
  /** When it is due, in the device's own time. */
  readonly dueNs: number;
  timer: Disposable | undefined;
  readonly #all: Set<Waiting>;

  constructor(all: Set<Waiting>, dueNs: number, run: () => void) {
    this.#all = all;
    this.dueNs = dueNs;
    this.run = run;
    all.add(this);
  }
  [Symbol.dispose](): void {
    this.#all.delete(this);
    this.timer?.[Symbol.dispose]();
  }
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
    const waiting = new Waiting(this.#waiting, this.nowNs + Math.max(0, delayNs), run);
    if (this.#stoppedNs === undefined) this.#arm(waiting);
    return waiting;
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
