/** What of a trace is shown, and how: options that `run` and `trace` share, named as strace's. */
import { Option, type CommandUnknownOpts } from '@commander-js/extra-typings';
import { SUMMARY_KEYS, type SummaryKey, type TraceChoice } from '../insight/trace/choice.ts';
import { FAULT_WORDS } from '../insight/inject/fault-words.ts';
import { collect } from './repeatable.ts';
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
/** `-k` of `run`: a trace that was written has no stacks. */
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

/** `token=` has expressions of a run before. */
const FAULT_EXPRESSION = new RegExp(`^(${[...FAULT_WORDS, 'token'].join('|')})=`);
/** Does an expression of `run` say what goes wrong, and not what is shown? */
export function isFault(expression: string): boolean {
  return FAULT_EXPRESSION.test(expression);
}

/** Options that count how often they are given: how often each was. */
const given = new WeakMap<CommandUnknownOpts, number>();
/** To be called once for a command that has `-t`. */
export function countTimestamps(command: CommandUnknownOpts): void {
  command.on('option:absolute-timestamps', () => {
    given.set(command, (given.get(command) ?? 0) + 1);
  });
}
/** The options of a command with how often `-t` was given. */
export function withTimestamps<F extends { absoluteTimestamps?: true }>(
  command: CommandUnknownOpts,
  { absoluteTimestamps, ...flags }: F,
): Omit<F, 'absoluteTimestamps'> & { absoluteTimestamps?: number } {
  if (!absoluteTimestamps) return flags;
  return { ...flags, absoluteTimestamps: given.get(command) ?? 1 };
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
  };
}
function timesOf({ absoluteTimestamps = 0, relativeTimestamps }: TraceFlags): TraceChoice['times'] {
  if (absoluteTimestamps > TIMES.length) {
    throw new UserMistake('-t is given more than three times; -ttt is the most');
  }
  return relativeTimestamps ? 'relative' : TIMES[absoluteTimestamps - 1];
}
function statusOf({ successfulOnly, failedOnly }: TraceFlags): TraceChoice['status'] {
  if (successfulOnly) return 'successful';
  return failedOnly ? 'failed' : undefined;
}
function summaryOf({ summaryOnly, summary, summarySortBy }: TraceFlags): TraceChoice['summary'] {
  if (summarySortBy !== undefined && !summary && !summaryOnly) {
    throw new UserMistake('-S sorts the table of -c or -C, and neither is given');
  }
  if (summaryOnly) return 'only';
  return summary ? 'too' : undefined;
}

/** Is one of the options given? */
export function asksForTrace(flags: TraceFlags): boolean {
  const { expression, tracePath, successfulOnly, failedOnly } = flags;
  const { absoluteTimestamps, relativeTimestamps, syscallTimes } = flags;
  const { stackTrace, summaryOnly, summary } = flags;
  const selects = [expression, tracePath, successfulOnly, failedOnly];
  const shows = [absoluteTimestamps, relativeTimestamps, syscallTimes, stackTrace];
  return [...selects, ...shows, summaryOnly, summary].some((each) => each !== undefined);
}
