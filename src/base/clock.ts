/**
 * Simulated time. Tests advance it by hand; a live machine advances it from its wait loop.
 * Nothing below host/ reads any other clock, so that a run can be repeated.
 */
export class Clock {
  #nowNs = 0;
  /** Timers ever set. */
  #set = 0;
  readonly #timers: Timer[] = [];
  readonly #turns: Turns;

  /** `turns`: who is told what set a timer and when it runs. */
  constructor(turns: Turns = UNTOLD) {
    this.#turns = turns;
  }

  /** Nanoseconds since the machine started. */
  get nowNs(): number {
    return this.#nowNs;
  }
  /** Run once, `delayNs` from now, in the turn that advances the clock past it. Dispose cancels. */
  after(delayNs: number, run: () => void): Disposable {
    return this.#add(delayNs, run, false);
  }
  /** The same, for what only asks somebody again: whoever waits for that somebody waits no shorter for it. */
  remind(delayNs: number, run: () => void): Disposable {
    return this.#add(delayNs, run, true);
  }
  #add(delayNs: number, run: () => void, isReminder: boolean): Disposable {
    const { cause } = this.#turns;
    const timers = this.#timers;
    const atNs = this.#nowNs + Math.max(0, delayNs);
    const timer = new Timer(timers, { atNs, number: this.#set++, run, cause, isReminder });
    let at = timers.length;
    while (at > 0 && timers[at - 1]!.what.atNs > atNs) at--;
    timers.splice(at, 0, timer);
    return timer;
  }
  /** When the next timer is due, or undefined when none is set. */
  get nextDeadlineNs(): number | undefined {
    return this.#timers[0]?.what.atNs;
  }
  /** The same of the next that is no reminder: with none, what is waited for will not happen by itself. */
  get nextEventNs(): number | undefined {
    return this.#timers.find(({ what }) => !what.isReminder)?.what.atNs;
  }
  /** Run every timer due in this span. */
  advance(deltaNs: number): void {
    this.advanceTo(this.#nowNs + deltaNs);
  }
  /** Run every timer due up to then, in order of time and of setting; time never goes back. */
  advanceTo(nowNs: number): void {
    this.#runDue(nowNs, Infinity);
  }
  /** The same, but what is set by what runs now is left for the next time, even where it is due already. */
  advanceOnceTo(nowNs: number): void {
    this.#runDue(nowNs, this.#set);
  }
  #runDue(nowNs: number, before: number): void {
    const timers = this.#timers;
    for (let at = 0; at < timers.length && timers[at]!.what.atNs <= nowNs;) {
      if (timers[at]!.what.number >= before) {
        at++;
        continue;
      }
      const [next] = timers.splice(at, 1);
      const { atNs, cause, run } = next!.what;
      this.#nowNs = Math.max(this.#nowNs, atNs);
      this.#turns.turn('timer', cause, run);
      at = 0; // it may have set and cancelled others
    }
    this.#nowNs = Math.max(this.#nowNs, nowNs);
  }
}

interface Due {
  readonly atNs: number;
  /** In the order of setting. */
  readonly number: number;
  readonly run: () => void;
  readonly cause: number | undefined;
  readonly isReminder: boolean;
}
/** One that is set: among the others until it runs or is disposed of. */
class Timer implements Disposable {
  readonly what: Due;
  readonly #timers: Timer[];

  constructor(timers: Timer[], what: Due) {
    this.#timers = timers;
    this.what = what;
  }
  [Symbol.dispose](): void {
    const place = this.#timers.indexOf(this);
    if (place >= 0) this.#timers.splice(place, 1);
  }
}

/** What a clock asks of the event stream. */
export interface Turns {
  /** The event that sets going what happens now. */
  readonly cause: number | undefined;
  /** Run what was set going then, as a turn of its own. */
  turn(name: string, cause: number | undefined, run: () => void): void;
}
const UNTOLD: Turns = { cause: undefined, turn: (_name, _cause, run) => run() };
