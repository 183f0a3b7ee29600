/**
 * The event stream for people: a call first, then what it made happen, indented.
 *
 * What happens in a system call is held back until it is answered, by the number of the call; all else is shown at once.
 */
import type { Stamped } from '../../base/events.ts';
import { stackLines } from '../sites/site-text.ts';
import type { TraceSink } from '../trace/sink.ts';
import { formatEvent } from './event-text.ts';
import { PLAIN_STYLE, type TextStyle } from '../trace/text-style.ts';
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
  /** Below each call the stack it came from, where the trace has it. */
  readonly stacks?: boolean;
  readonly style?: TextStyle;
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
  readonly #style: TextStyle;
  readonly #prefix: (stamped: Stamped) => string;
  readonly #open = new Map<number, Open>();
  /** What was shown last, and how often. */
  #last = '';
  #count = 0;

  constructor(print: (line: string) => void, options: TextOptions) {
    this.#print = print;
    this.#options = options;
    this.#style = options.style ?? PLAIN_STYLE;
    this.#prefix = options.times ? timePrefix(options.times) : () => '';
  }

  take(stamped: Stamped): void {
    const { event, call = -1 } = stamped;
    if (event.kind === 'enter' || event.kind === 'leave') {
      if (event.what === 'syscall') this.#call(stamped, event.kind === 'enter');
      return;
    }
    if (this.#isLeftOut(event.kind)) return;
    const texts = [formatEvent(stamped, this.#style), ...this.#notes(stamped)];
    const lines = texts.map((text) => ({ text, stamped }));
    // Whoever sleeps may do so for ever.
    const inside = event.kind === 'sleep' ? undefined : this.#open.get(call)?.inside;
    if (inside) inside.push(...lines);
    else this.#show(lines);
  }
  #isLeftOut(kind: Stamped['event']['kind']): boolean {
    const { quiet, whole } = this.#style;
    return (QUIET.has(kind) && !whole) || (kind === 'exit' && quiet > 1);
  }
  flush(): void {
    for (const { begun, inside } of this.#open.values()) this.#show([begun, ...inside]);
    this.#open.clear();
    this.#endOfSame();
  }

  #call(stamped: Stamped, begins: boolean): void {
    const { call = -1 } = stamped;
    const line = { text: formatEvent(stamped, this.#style), stamped };
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
    const { footnotes, stacks } = this.#options;
    const walks = this.#style.quiet > 0 ? [] : (footnotes?.(stamped) ?? []);
    return stacks && stamped.stack ? [...walks, ...stackLines(stamped.stack)] : walks;
  }
  /** A call with what it did, or what happened by itself. */
  #show(lines: readonly Line[]): void {
    const all = lines.map(({ text }) => text).join('\n');
    if (!this.#options.times && !this.#style.whole && all === this.#last) {
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
