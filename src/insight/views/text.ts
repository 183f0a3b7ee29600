/**
 * The event stream for people: a call first, then what it made happen, indented.
 *
 * What happens in a system call is held back until it is answered, by the number of the call; all else is shown at once.
 */
import type { Stamped } from '../../base/events.ts';
import type { TraceSink } from '../trace/sink.ts';
import { formatEvent } from './event-text.ts';
import { momentOf, spentText, timePrefix, type Times } from './times.ts';

/** Lines to follow the line of an event, asked for when it happens. */
export type Footnotes = (stamped: Stamped) => readonly string[];

/** How the stream is shown. */
export interface TextOptions {
  readonly footnotes?: Footnotes;
  /** Times before each line. Without, the same again and again is shown once, with how often. */
  readonly times?: Times;
  /** Behind each call the time it took: `<0.000012>`. */
  readonly spent?: boolean;
}

/** For programs that keep count; what a call made is seen in its answer. */
const QUIET: ReadonlySet<string> = new Set(['object-born', 'object-gone']);

interface Line {
  readonly text: string;
  readonly stamped: Stamped;
  /** Added to the text, but not part of what is the same again. */
  readonly spent?: string;
}
/** A system call that goes on. */
interface Open {
  /** Its line, should it never be answered. */
  readonly begun: Line;
  /** The lines of what happened in it so far. */
  readonly inside: Line[];
}

/** Lines for a person. */
export function textView(print: (line: string) => void, options: TextOptions = {}): TraceSink {
  return new TextView(print, options);
}

class TextView implements TraceSink {
  readonly #print: (line: string) => void;
  readonly #options: TextOptions;
  readonly #prefix: (stamped: Stamped) => string;
  readonly #open = new Map<number, Open>();
  /** What was shown last, and how often. */
  #last = '';
  #count = 0;

  constructor(print: (line: string) => void, options: TextOptions) {
    this.#print = print;
    this.#options = options;
    this.#prefix = options.times ? timePrefix(options.times) : () => '';
  }

  take(stamped: Stamped): void {
    const { event, call = -1 } = stamped;
    if (event.kind === 'enter' || event.kind === 'leave') {
      if (event.what === 'syscall') this.#call(stamped, event.kind === 'enter');
      return;
    }
    if (QUIET.has(event.kind)) return;
    const texts = [formatEvent(stamped), ...this.#notes(stamped)];
    const lines = texts.map((text) => ({ text, stamped }));
    const inside = this.#open.get(call)?.inside;
    if (inside) inside.push(...lines);
    else this.#show(lines);
  }
  flush(): void {
    for (const { begun, inside } of this.#open.values()) this.#show([begun, ...inside]);
    this.#open.clear();
    this.#endOfSame();
  }

  #call(stamped: Stamped, begins: boolean): void {
    const { call = -1 } = stamped;
    const line = { text: formatEvent(stamped), stamped };
    if (begins) {
      this.#open.set(call, { begun: line, inside: [] });
      return;
    }
    const open = this.#open.get(call);
    this.#open.delete(call);
    const began = open?.begun.stamped ?? stamped;
    const spent = this.#options.spent
      ? { spent: spentText(momentOf(stamped) - momentOf(began)) }
      : {};
    const notes = this.#notes(stamped).map((text) => ({ text, stamped }));
    this.#show([{ ...line, stamped: began, ...spent }, ...notes, ...(open?.inside ?? [])]);
  }
  #notes(stamped: Stamped): readonly string[] {
    return this.#options.footnotes?.(stamped) ?? [];
  }
  /** A call with what it did, or what happened by itself. */
  #show(lines: readonly Line[]): void {
    const all = lines.map(({ text }) => text).join('\n');
    if (!this.#options.times && all === this.#last) {
      this.#count++;
      return;
    }
    this.#endOfSame();
    this.#last = all;
    this.#count = 1;
    for (const { text, stamped, spent = '' } of lines) {
      this.#print(`${this.#prefix(stamped)}${text}${spent}`);
    }
  }
  #endOfSame(): void {
    if (this.#count > 1) this.#print(`  x ${this.#count}`);
    this.#count = 0;
    this.#last = '';
  }
}
