/**
 * A call of a program, or a turn of the kernel's own, while it goes on: entered once, run once or, when it sleeps, several
 * times, left once. Trace makes them; whoever runs the call keeps it over a sleep.
 */
import type { CallInfo } from './events.ts';
import { listening, type Refusal } from './refuse.ts';

/** One call of a program or one turn of the kernel, from its enter event to its leave event. */
export class Call {
  /** `seq` of its enter event. */
  readonly id: number;
  readonly info: CallInfo;
  /** `seq` of the event that sets going what it does: itself, but for a timer what was going on when it was set. */
  readonly cause: number;
  /** Refusals met inside so far, innermost first. */
  readonly refusals: Refusal[] = [];

  constructor(id: number, info: CallInfo, cause: number) {
    this.id = id;
    this.info = info;
    this.cause = cause;
  }
  /** Run it, keeping the refusals. */
  collect<T>(run: () => T): T {
    return listening((refusal) => this.refusals.push(refusal), run);
  }
}
