/** What is asked of a trace on a command line: plain data, for it crosses to the thread of the kernel. */
import { PLAIN_STYLE, type TextStyle } from './text-style.ts';
import type { CallStatus } from './expression.ts';

/** How a summary is sorted. */
export type SummaryKey = 'time' | 'calls' | 'errors' | 'name';
/** The orders there are. */
export const SUMMARY_KEYS: readonly SummaryKey[] = ['time', 'calls', 'errors', 'name'];

/** Forms of a trace that are lines of text. */
const LINE_FORMS = ['text', 'json', 'ftrace', 'dmesg'] as const;
/** One of them. */
export type LineForm = (typeof LINE_FORMS)[number];
/** Every form. */
export const TRACE_FORMS = [...LINE_FORMS, 'perfetto'] as const;
/** One of them. */
export type TraceForm = (typeof TRACE_FORMS)[number];

/** Which events are shown, and how. */
export interface TraceChoice {
  /** Each of `-e`. */
  readonly expressions: readonly string[];
  /** Each of `-P`. */
  readonly paths: readonly string[];
  /** `-z`, `-Z`. */
  readonly status?: CallStatus;
  readonly times?: 'time' | 'micros' | 'epoch' | 'relative';
  /** Behind each call the time it took. */
  readonly spent: boolean;
  /** Below each call the stack of its caller: of a run, or where a trace has it. */
  readonly stacks: boolean;
  /** A table of the calls: instead of the trace, or below it. */
  readonly summary?: 'only' | 'too';
  readonly sortBy: SummaryKey;
  /** The table counts the time that calls sleep, too. */
  readonly wallClock: boolean;
  /** A part, and a file, for each process. */
  readonly perProcess: boolean;
  readonly style: TextStyle;
}
/** Everything, without times. */
export const WHOLE_TRACE: TraceChoice = {
  expressions: [],
  paths: [],
  spent: false,
  stacks: false,
  sortBy: 'time',
  wallClock: false,
  perProcess: false,
  style: PLAIN_STYLE,
};
