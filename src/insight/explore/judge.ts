/** What is wrong with how a disturbed run ended, held against the same program undisturbed. */
import type { RunRecord } from './run-record.ts';

/** How a run came to its end. */
export interface EndedRun {
  /** Exit status; undefined: by a signal, or not by itself. */
  readonly status: number | undefined;
  readonly signal: string | undefined;
  /** It was still running when its time was up. */
  readonly hung: boolean;
  /** Status of the user's check behind it; undefined: there is none. */
  readonly check: number | undefined;
  readonly record: RunRecord;
  /** What the DMA sanitizer has found: 'failed-map-used', each kind once. */
  readonly sanitizer: readonly string[];
}

export type TrialFindingKind =
  'crash' | 'hang' | 'check' | 'fault' | 'sanitizer' | 'left' | 'unsteady';

/** Something that should not be. Two with the same key are the same. */
export interface TrialFinding {
  readonly kind: TrialFindingKind;
  /** What happened, for people. */
  readonly text: string;
  /** What went wrong before: the names of calls and devices. */
  readonly targets: readonly string[];
}

/** By which findings are told apart. */
export function keyOf({ kind, text, targets }: TrialFinding): string {
  return [kind, text, ...targets].join('\t');
}

/** Undefined: nothing. The gravest, where there are several. */
export function judge(
  base: EndedRun,
  now: EndedRun,
  targets: readonly string[],
): TrialFinding | undefined {
  const found = (kind: TrialFindingKind, text: string): TrialFinding => ({ kind, text, targets });
  if (now.hung) return found('hang', 'it does not end');
  if (now.signal !== undefined) return found('crash', `it ends by ${now.signal}`);
  if ((now.check ?? 0) !== 0) return found('check', `the check ends with ${now.check}`);
  if (now.record.faults > base.record.faults) {
    return found('fault', 'a device is let loose on memory that is not mapped');
  }
  const wrong = now.sanitizer.filter((kind) => !base.sanitizer.includes(kind));
  if (wrong.length > 0) return found('sanitizer', `the DMA sanitizer finds ${wrong.join(', ')}`);
  // One that gives up leaves it to the kernel to clean up; one that ends well has to do it.
  const left = now.status === base.status ? more(now.record.left, base.record.left) : [];
  return left.length > 0 ? found('left', `it leaves behind ${left.join(', ')}`) : undefined;
}

/** Kinds that are there more often than before. */
function more(now: readonly string[], before: readonly string[]): string[] {
  const count = (all: readonly string[], kind: string): number =>
    all.filter((each) => each === kind).length;
  return [...new Set(now)].filter((kind) => count(now, kind) > count(before, kind));
}

/** Did two undisturbed runs do the same? Else what differs. */
export function unsteady(one: EndedRun, other: EndedRun): string | undefined {
  if (one.status !== other.status || one.signal !== other.signal) return 'how it ends';
  const [a, b] = [one, other].map(({ record }) => record.calls.map(({ name }) => name).join(' '));
  return a === b ? undefined : 'the calls it makes';
}
