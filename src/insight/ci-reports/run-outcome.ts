/** How a run went, for machines: what was noticed, held against a list of checks that is the same for every run. */
import { onOneLine } from '../../machine/description/wording.ts';
import type { FindingKind } from '../sanitizer/finding.ts';
import { failReasonOf, type FailReason } from './fail-reason.ts';
import { placeText, type Seen } from './seen.ts';

/** How a program ended: one of the three. */
export interface ProgramEnd {
  readonly status?: number;
  /** Its name. */
  readonly signal?: string;
  /** Why softiommu could not run it to its end. */
  readonly failed?: string;
}

/** One run. */
export interface RunOutcome {
  /** The program and its arguments. */
  readonly program: readonly string[];
  readonly version: string;
  readonly end: ProgramEnd;
  readonly seconds: number;
  readonly seen: readonly Seen[];
  /** What makes a check fail. */
  readonly failsOn: readonly FailReason[];
  /** What the sanitizer looked for; undefined: it did not. */
  readonly sought: readonly FindingKind[] | undefined;
}

/** One thing that a run can do well or not. */
export interface RunCheck {
  readonly name: string;
  /** Why it was not looked at. */
  readonly skipped?: string;
  /** What is wrong. */
  readonly failure?: string;
  /** What belongs to it, whether or not it failed. */
  readonly seen: readonly Seen[];
}
/** How grave something is. */
export type SeenLevel = 'error' | 'warning' | 'note';

/** 'Exit status 3' */
export function endText({ status, signal, failed }: ProgramEnd): string {
  if (failed !== undefined) return onOneLine(`softiommu failed: ${failed}`);
  return signal === undefined ? `Exit status ${status}` : `Killed by ${signal}`;
}
/** The program as one line. */
export function programText({ program }: Pick<RunOutcome, 'program'>): string {
  return onOneLine(program.join(' '));
}
/** Did the program do what it was asked to? */
export function endedWell({ status, failed }: ProgramEnd): boolean {
  return failed === undefined && status === 0;
}

/** A check besides that of the program's end: of all that may fail a run for its reason. */
interface Rule {
  readonly name: string;
  readonly reason: FailReason;
  readonly skipped?: (outcome: RunOutcome) => string | undefined;
}
const NO_SANITIZER = 'the run was without --sanitize';
const RULES: readonly Rule[] = [
  { name: 'no DMA was stopped', reason: 'fault' },
  { name: 'the kernel did not warn', reason: 'warn' },
  { name: 'mappings are used as they should', reason: 'finding', skipped: unsanitized },
  { name: 'nothing was left behind', reason: 'leak', skipped: leaksUnsought },
];
function unsanitized({ sought }: RunOutcome): string | undefined {
  return sought === undefined ? NO_SANITIZER : undefined;
}
function leaksUnsought({ sought }: RunOutcome): string | undefined {
  if (sought === undefined) return NO_SANITIZER;
  return sought.includes('leak') ? undefined : 'leaks were not looked for: --sanitize=all';
}

/** Every run has all of them, in this order. */
export function checksOf(outcome: RunOutcome): RunCheck[] {
  const { end, seen } = outcome;
  const causes = seen.filter(({ kind }) => failReasonOf(kind) === undefined);
  const ending = endedWell(end) ? {} : { failure: endText(end) };
  return [
    { name: 'the program ends well', seen: causes, ...ending },
    ...RULES.map((rule) => checkOf(rule, outcome)),
  ];
}
function checkOf({ name, reason, skipped }: Rule, outcome: RunOutcome): RunCheck {
  const reasonToSkip = skipped?.(outcome);
  if (reasonToSkip !== undefined) return { name, skipped: reasonToSkip, seen: [] };
  const seen = outcome.seen.filter(({ kind }) => failReasonOf(kind) === reason);
  const [first] = seen;
  if (!first) return { name, seen };
  if (outcome.failsOn.includes(reason)) return { name, seen, failure: onOneLine(first.title) };
  return { name, seen, skipped: `it does not hold, and --fail-on does not name ${reason}` };
}
/** Is all well? */
export function isGood(checks: readonly RunCheck[]): boolean {
  return checks.every(({ failure }) => failure === undefined);
}

/** What makes a check fail is an error; what explains a program that failed is what others asked for, as refused calls. */
export function levelOf(seen: Seen, outcome: RunOutcome): SeenLevel {
  const reason = failReasonOf(seen.kind);
  if (reason === undefined) return endedWell(outcome.end) ? 'note' : 'warning';
  return outcome.failsOn.includes(reason) ? 'error' : 'warning';
}

/** What is said of a program that did not do what it was asked to. */
export const NOT_WELL = 'the program did not end well';

/** All of it in lines for people, the title first. */
export function seenLines(seen: Seen): string[] {
  const { title, reasons, place, placeTitle, others, count } = seen;
  const at = place && `${placeTitle ?? 'at'} ${placeText(place)}`;
  return [
    count > 1 ? `${title}, ${count} times` : title,
    ...(at !== undefined && placeTitle === undefined ? [at] : []),
    ...reasons,
    ...(at !== undefined && placeTitle !== undefined ? [at] : []),
    ...others.map((other) => `${other.title} ${placeText(other.place)}`),
  ].map(onOneLine);
}
/** The same as one text; of several with a line between. */
export function seenText(...seen: readonly Seen[]): string {
  return seen.map((one) => seenLines(one).join('\n')).join('\n\n');
}
