/**
 * The event stream for people: a call first, then what it made happen, indented.
 *
 * What happens in a system call is held back until it is answered, by the number of the call; all else is shown at once.
 */
import type { Stamped } from '../../base/events.ts';
import { formatEvent } from './event-text.ts';

/** A listener for `Trace.listen`, with what it still holds. */
export interface TraceView {
  readonly take: (stamped: Stamped) => void;
  /** Print what is held back: at the end. */
  readonly flush: () => void;
}

/** Lines to follow the line of an event, asked for when it happens. */
export type Footnotes = (stamped: Stamped) => readonly string[];

/** For programs that keep count; what a call made is seen in its answer. */
const QUIET: ReadonlySet<string> = new Set(['object-born', 'object-gone']);

/** A system call that goes on. */
interface Open {
  /** Its line, should it never be answered. */
  readonly begun: string;
  /** The lines of what happened in it so far. */
  readonly inside: string[];
}

/** Lines for a person. */
export function textView(
  print: (line: string) => void,
  footnotes: Footnotes = () => [],
): TraceView {
  const open = new Map<number, Open>();
  const show = (line: string, inside: readonly string[] = []): void => {
    print(line);
    for (const each of inside) print(each);
  };
  return {
    take(stamped) {
      const { event, call = -1 } = stamped;
      const line = formatEvent(stamped);
      if (event.kind === 'enter' || event.kind === 'leave') {
        if (event.what !== 'syscall') return;
        if (event.kind === 'enter') open.set(call, { begun: line, inside: [] });
        else {
          show(line, open.get(call)?.inside);
          open.delete(call);
        }
        return;
      }
      if (QUIET.has(event.kind)) return;
      const lines = [line, ...footnotes(stamped)];
      const inside = open.get(call)?.inside;
      if (inside) inside.push(...lines);
      else lines.forEach(print);
    },
    flush() {
      for (const { begun, inside } of open.values()) show(begun, inside);
      open.clear();
    },
  };
}
