/** The line of an event, made once. */
import type { Stamped } from '../base/events.ts';
import { formatEvent } from '../insight/views/event-text.ts';

const known = new WeakMap<Stamped, string>();

export function lineOf(stamped: Stamped): string {
  let line = known.get(stamped);
  if (line === undefined) {
    line = formatEvent(stamped);
    known.set(stamped, line);
  }
  return line;
}
