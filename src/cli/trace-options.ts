/** What of a trace is shown, and how: options that `run` and `trace` share, named as strace's. */
import { InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { SUMMARY_KEYS, type SummaryKey, type TraceChoice } from '../insight/trace/choice.ts';
import {
  CONSTANT_STYLES,
  PLAIN_STYLE,
  type ConstantStyle,
  type TextStyle,
} from '../insight/trace/text-style.ts';
import { FAULT_WORDS } from '../insight/inject/fault-words.ts';
import { collect } from './option-values.ts';
import { UserMistake } from './user-mistake.ts';

/** The options as the command line gives them. */
export interface TraceFlags {
  readonly expression?: string[];
  readonly tracePath?: string[];
  readonly successfulOnly?: true;
  readonly failedOnly?: true;
  readonly absoluteTimestamps?: number;
  readonly relativeTimestamps?: true;
  readonly syscallTimes?: true;
  readonly stackTrace?: true;
  readonly summaryOnly?: true;
  readonly summary?: true;
  readonly summarySortBy?: SummaryKey;
  readonly summaryWallClock?: true;
  readonly outputSeparately?: number;
  readonly stringLimit?: number;
  /** False: -v. */
  readonly abbrev?: boolean;
  readonly stringsInHex?: number;
  readonly constPrintStyle?: ConstantStyle;
  readonly quiet?: number;
}

/** `-e` */
export const expressionOption = () =>
  new Option(
    '-e, --expression <expression>',
    'show of the trace: trace=SET (names, %class, /REGEX, ?name, ! before all), status=, bdf=, ioas=',
  ).argParser(collect);
/** `-e` of `run`, which is for what goes wrong as well. */
export const runExpressionOption = () =>
  new Option(
    '-e, --expression <expression>',
    'show of the trace: trace=SET, status=, bdf=, ioas= (docs/trace.md); or make something go wrong: inject=CALLS:error=ERRNO:when=N, device=ADDRESS:drop, fail=POINT (docs/inject.md)',
  ).argParser(collect);
/** `-o` of a run. */
export const outputOption = () =>
  new Option('-o, --output <file>', 'the same as --trace=FILE, and the trace in that file');
/** `-P` */
export const pathOption = () =>
  new Option('-P, --trace-path <path>', 'show calls that touch this path').argParser(collect);
/** `-z` */
export const successfulOption = () =>
  new Option('-z, --successful-only', 'show what succeeded').conflicts('failedOnly');
/** `-Z` */
export const failedOption = () => new Option('-Z, --failed-only', 'show what failed');
/** `-t`, which may be there three times. */
export const timestampsOption = () =>
  new Option(
    '-t, --absolute-timestamps',
    'times of day; -tt: with microseconds; -ttt: seconds since 1970',
  ).conflicts('relativeTimestamps');
/** `-r` */
export const relativeOption = () =>
  new Option('-r, --relative-timestamps', 'the time since the line before');
/** `-T` */
export const spentOption = () => new Option('-T, --syscall-times', 'the time each call took');
/** `-k` */
export const stackOption = () =>
  new Option('-k, --stack-trace', 'below each call the stack it came from');
/** `-c` */
export const summaryOnlyOption = () =>
  new Option('-c, --summary-only', 'a table of the calls, and no trace').conflicts('summary');
/** `-C` */
export const summaryOption = () => new Option('-C, --summary', 'a table of the calls at the end');
/** `-S` */
export const sortOption = () =>
  new Option('-S, --summary-sort-by <key>', 'what the table is sorted by').choices(SUMMARY_KEYS);

/** `-w` */
export const wallClockOption = () =>
  new Option('-w, --summary-wall-clock', 'the table counts the time that calls sleep, too');
/** `-ff`: twice, as strace has it, which follows children by one. */
export const separatelyOption = () =>
  new Option(
    '-f, --output-separately',
    "-ff: a file for each process, FILE.PID, and FILE.machine for what is nobody's; children are followed anyway",
  );
/** `-s` */
export const stringLimitOption = () =>
  new Option(
    '-s, --string-limit <bytes>',
    'so many bytes of data are shown (default: 32)',
  ).argParser(byteCount);
/** `-v` */
export const noAbbrevOption = () =>
  new Option('-v, --no-abbrev', 'nothing is abbreviated: paddings, births, repeats');
/** `-x`, which may be there twice. */
export const hexOption = () =>
  new Option('-x, --strings-in-hex', 'bytes that are no text in hex; -xx: all bytes');
/** `-X` */
export const constantsOption = () =>
  new Option('-X, --const-print-style <style>', 'constants by name, by number, or both').choices(
    CONSTANT_STYLES,
  );
/** `-q`, which may be there twice. */
export const quietOption = () =>
  new Option('-q, --quiet', 'no page walks; -qq: no ends of processes either');

const MOST_BYTES = 65536;
function byteCount(text: string): number {
  const bytes = /^\d{1,6}$/.test(text) ? Number(text) : Infinity;
  if (bytes <= MOST_BYTES) return bytes;
  throw new InvalidArgumentError(`a number of bytes up to ${MOST_BYTES} is wanted.`);
}

/** `token=` has expressions of a run before. */
const FAULT_EXPRESSION = new RegExp(`^(${[...FAULT_WORDS, 'token'].join('|')})=`);
/** Does an expression of `run` say what goes wrong, and not what is shown? */
export function isFault(expression: string): boolean {
  return FAULT_EXPRESSION.test(expression);
}

const TIMES = ['time', 'micros', 'epoch'] as const;

/** From the options to what they choose. Throws UserMistake. */
export function traceChoiceOf(flags: TraceFlags): TraceChoice {
  const times = timesOf(flags);
  const status = statusOf(flags);
  const summary = summaryOf(flags);
  return {
    expressions: flags.expression ?? [],
    paths: flags.tracePath ?? [],
    ...(status && { status }),
    ...(times && { times }),
    spent: flags.syscallTimes === true,
    stacks: flags.stackTrace === true,
    ...(summary && { summary }),
    sortBy: flags.summarySortBy ?? 'time',
    wallClock: flags.summaryWallClock === true,
    perProcess: isPerProcess(flags),
    style: styleOf(flags),
  };
}
function timesOf({ absoluteTimestamps = 0, relativeTimestamps }: TraceFlags): TraceChoice['times'] {
  return relativeTimestamps ? 'relative' : TIMES[absoluteTimestamps - 1];
}
/** One -f changes nothing: children are followed. */
function isPerProcess({ outputSeparately = 0 }: TraceFlags): boolean {
  return outputSeparately === 2;
}
const HEX_BYTES = ['never', 'unprintable', 'always'] as const;
function styleOf(flags: TraceFlags): TextStyle {
  const { stringLimit, stringsInHex = 0, constPrintStyle, quiet = 0, abbrev } = flags;
  return {
    shownBytes: stringLimit ?? PLAIN_STYLE.shownBytes,
    hexBytes: HEX_BYTES[stringsInHex]!,
    constants: constPrintStyle ?? PLAIN_STYLE.constants,
    whole: abbrev === false,
    quiet,
    pids: !isPerProcess(flags),
  };
}
function statusOf({ successfulOnly, failedOnly }: TraceFlags): TraceChoice['status'] {
  if (successfulOnly) return 'successful';
  return failedOnly ? 'failed' : undefined;
}
function summaryOf(flags: TraceFlags): TraceChoice['summary'] {
  const { summaryOnly, summary, summarySortBy, summaryWallClock } = flags;
  if (summarySortBy !== undefined && !summary && !summaryOnly) {
    throw new UserMistake('-S sorts the table of -c or -C, and neither is given');
  }
  if (summaryWallClock && !summary && !summaryOnly) {
    throw new UserMistake('-w is for the table of -c or -C, and neither is given');
  }
  if (summaryOnly) return 'only';
  return summary ? 'too' : undefined;
}

/** Is one of the options given that say what is shown, or how? */
export function asksForTrace(flags: TraceFlags): boolean {
  const { expression, tracePath, successfulOnly, failedOnly } = flags;
  const { absoluteTimestamps, relativeTimestamps, syscallTimes } = flags;
  const { stackTrace, summaryOnly, summary, stringLimit, stringsInHex } = flags;
  const { constPrintStyle, quiet, outputSeparately, abbrev } = flags;
  const selects = [expression, tracePath, successfulOnly, failedOnly];
  const shows = [absoluteTimestamps, relativeTimestamps, syscallTimes, stackTrace];
  const styles = [stringLimit, stringsInHex, constPrintStyle, quiet, outputSeparately];
  const given = [...selects, ...shows, ...styles, summaryOnly, summary];
  return abbrev === false || given.some((each) => each !== undefined);
}
