/** What an exploration found, each once: for people, and for a baseline of what is known. */
import { onOneLine } from '../../machine/description/wording.ts';
import { tokenOf } from '../../insight/inject/token.ts';
import { keyOf, type TrialFinding } from '../../insight/explore/judge.ts';
import { shellLine } from '../shell-words.ts';
import type { TrialResult } from './trial-source.ts';

/** A finding, with the shortest way to it. */
export interface ToldFinding {
  readonly finding: TrialFinding;
  readonly token: string;
  /** Trials that end so. */
  readonly times: number;
  /** A baseline has it. */
  readonly isKnown: boolean;
}

/** Equal ones once, by the shortest token; those of fewer failures first. */
export function findingsOf(
  results: readonly TrialResult[],
  baseline: ReadonlySet<string>,
): readonly ToldFinding[] {
  const found = new Map<string, { finding: TrialFinding; tokens: string[] }>();
  const fewFirst = [...results].sort((a, b) => a.expressions.length - b.expressions.length);
  for (const { finding, expressions } of fewFirst) {
    if (!finding) continue;
    const equal = found.get(keyOf(finding)) ?? { finding, tokens: [] };
    found.set(keyOf(finding), equal);
    equal.tokens.push(tokenOf(expressions));
  }
  return [...found].map(([key, { finding, tokens }]) => ({
    finding,
    token: tokens.reduce((best, token) => (token.length < best.length ? token : best)),
    times: tokens.length,
    isKnown: baseline.has(key),
  }));
}

/** Lines for a person. `words`: what stands behind `run`. */
export function findingsText(found: readonly ToldFinding[], words: readonly string[]): string[] {
  return found.flatMap((one, n) => [`${n + 1}. ${toldText(one)}`, `   ${commandOf(one, words)}`]);
}
/** '…, 3 times (known)' behind its title. */
export function toldText({ finding, times, isKnown }: ToldFinding): string {
  const often = times > 1 ? `, ${times} times` : '';
  return `${titleOf(finding)}${often}${isKnown ? ' (known)' : ''}`;
}
/** What repeats it, for a shell. */
export function commandOf({ token }: ToldFinding, words: readonly string[]): string {
  return shellLine(['softiommu', 'run', '--inject-token', token, ...words]);
}
/** 'crash: it ends by SIGABRT when IOMMU_IOAS_UNMAP fails' */
export function titleOf({ kind, text, targets }: TrialFinding): string {
  const what = targets.map((target) => `${target} ${isDevice(target) ? 'goes wrong' : 'fails'}`);
  return onOneLine(`${kind}: ${text} when ${what.join(' and then ')}`);
}
function isDevice(target: string): boolean {
  return target.includes(':');
}
