/**
 * Simulated time. Tests advance it by hand; a live machine advances it from its wait loop.
 * Nothing below host/ reads any other clock, so that a run can be repeated.
 */
export class Clock {
  #nowNs = 0;
  readonly #timers: Timer[] = [];

  /** Nanoseconds since the machine started. */
  get nowNs(): number {
    return this.#nowNs;
  }
  /** Run once, `delayNs` from now, in the turn that advances the clock past it. Dispose cancels. */
  after(delayNs: number, run: () => void): Disposable {
    const timer = { atNs: this.#nowNs + Math.max(0, delayNs), run };
    const timers = this.#timers;
    let at = timers.length;
    while (at > 0 && timers[at - 1]!.atNs > timer.atNs) at--;
    timers.splice(at, 0, timer);
    return {
      [Symbol.dispose]() {
        const place = timers.indexOf(timer);
        if (place >= 0) timers.splice(place, 1);
      },
    };
  }
  /** When the next timer is due, or undefined when none is set. */
  get nextDeadlineNs(): number | undefined {
    return this.#timers[0]?.atNs;
  }
  /** Run every timer due in this span. */
  advance(deltaNs: number): void {
    this.advanceTo(this.#nowNs + deltaNs);
  }
  /** Run every timer due up to then, in order of time and of setting; time never goes back. */
  advanceTo(nowNs: number): void {
    for (;;) {
      const next = this.#timers[0];
      if (!next || next.atNs > nowNs) break;
      this.#timers.shift();
      this.#nowNs = Math.max(this.#nowNs, next.atNs);
      next.run();
    }
    this.#nowNs = Math.max(this.#nowNs, nowNs);
  }
}

interface Timer {
  readonly atNs: number;
  readonly run: () => void;
}
