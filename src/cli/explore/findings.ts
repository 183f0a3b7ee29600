/** What an exploration found, each once: for people, for a baseline of what is known, and as JUnit. */
import { tokenOf } from '../../insight/inject/token.ts';
import { keyOf, type TrialFinding } from '../../insight/explore/judge.ts';
import type { TrialResult } from './campaign.ts';

/** A finding, with the shortest way to it. */
export interface ToldFinding {
  readonly finding: TrialFinding;
  readonly token: string;
  /** Trials that end so. */
  readonly times: number;
  /** A baseline has it. */
  readonly isKnown: boolean;
}

/** Equal ones once, those of fewer failures first. */
export function findingsOf(
  results: readonly TrialResult[],
  baseline: ReadonlySet<string>,
): readonly ToldFinding[] {
  const found = new Map<string, ToldFinding>();
  const shortFirst = [...results].sort((a, b) => a.expressions.length - b.expressions.length);
  for (const { finding, expressions } of shortFirst) {
    if (!finding) continue;
    const key = keyOf(finding);
    const token = tokenOf(expressions);
    const known = found.get(key);
    if (!known) found.set(key, { finding, token, times: 1, isKnown: baseline.has(key) });
    else found.set(key, { ...known, token: shorter(known.token, token), times: known.times + 1 });
  }
  return [...found.values()];
}
function shorter(a: string, b: string): string {
  const parts = (token: string): number => token.split('~').length;
  return parts(b) < parts(a) || (parts(b) === parts(a) && b.length < a.length) ? b : a;
}

/** Lines for a person. `words`: what stands behind `run`. */
export function findingsText(found: readonly ToldFinding[], words: readonly string[]): string[] {
  return found.flatMap(({ finding, token, times, isKnown }, n) => [
    `${n + 1}. ${titleOf(finding)}${times > 1 ? `, ${times} times` : ''}${isKnown ? ' (known)' : ''}`,
    `   softiommu run --inject-token ${token} ${words.join(' ')}`,
  ]);
}
/** 'crash: it ends by SIGABRT when IOMMU_IOAS_UNMAP fails' */
export function titleOf({ kind, text, targets }: TrialFinding): string {
  const what = targets.map((target) => `${target} ${isDevice(target) ? 'goes wrong' : 'fails'}`);
  return `${kind}: ${text} when ${what.join(' and then ')}`;
}
function isDevice(target: string): boolean {
  return target.includes(':');
}

/** What a baseline file has: the keys of all findings, sorted. */
export function baselineText(found: readonly ToldFinding[]): string {
  return `${JSON.stringify(found.map(({ finding }) => keyOf(finding)).sort(), null, 2)}\n`;
}
