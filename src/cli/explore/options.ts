/** What explore and merge write, and the values of their options. */
import { readFileSync, writeFileSync } from 'node:fs';
import { InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { printable } from '../../machine/description/wording.ts';
import { systemReason } from '../../host/sys/system-reason.ts';
import { junitText } from '../../insight/ci-reports/junit.ts';
import { tokenOf } from '../../insight/inject/token.ts';
import { EXPLORATION_MARK, explorationPage } from '../../insight/explore/page.ts';
import type { OwnKind } from '../../host/launch/own-file.ts';
import { writeJunit, writeReport } from '../reports/outcome-files.ts';
import { print, printJson } from '../output.ts';
import { UserMistake } from '../user-mistake.ts';
import type { TrialResult } from './trial-source.ts';
import {
  baselineText,
  commandOf,
  findingsOf,
  findingsText,
  titleOf,
  type ToldFinding,
} from './findings.ts';

/** A whole number from 1 on. */
export function positive(text: string): number {
  const number = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (number > 0) return number;
  throw new InvalidArgumentError('it is a whole number from 1 on.');
}
/** `--baseline` */
export const baselineOption = () =>
  new Option('--baseline <file>', 'findings that are known, and do not count');
/** `--write-baseline` */
export const writeBaselineOption = () =>
  new Option('--write-baseline <file>', 'write all findings to a file for --baseline');
/** `--junit` */
export const junitOption = () => new Option('--junit <file>', 'write the trials as JUnit results');

/** `--html` */
export const htmlOption = () => new Option('--html <file>', 'write a page of the findings');

/** `--json` */
export const trialsJsonOption = () => new Option('--json', 'tell the findings as JSON');

/** Where results go, as the options say. */
export interface ReportFlags {
  readonly json?: true;
  readonly baseline?: string;
  readonly writeBaseline?: string;
  readonly junit?: string;
  readonly html?: string;
}
const HTML: OwnKind = {
  option: '--html',
  isOurs: (head) => head.startsWith(EXPLORATION_MARK),
  none: 'no exploration of softiommu',
};

/** What else JSON says of an exploration, and how its last line says it. */
export interface TrialCounts {
  readonly text: (fresh: number) => string;
  readonly data: object;
}
/** Tell what was found. How many findings no baseline has. */
export function report(
  words: readonly string[],
  results: readonly TrialResult[],
  flags: ReportFlags,
  counts: TrialCounts,
): number {
  const known = new Set(flags.baseline === undefined ? [] : readBaseline(flags.baseline));
  const found = findingsOf(results, known);
  if (flags.writeBaseline !== undefined) write(flags.writeBaseline, baselineText(found));
  if (flags.junit !== undefined) {
    const cases = results.map(({ expressions, finding }) => ({
      name: tokenOf(expressions),
      ...(finding && { failure: titleOf(finding) }),
    }));
    writeJunit(flags.junit, junitText(`softiommu explore ${words.join(' ')}`, cases));
  }
  const fresh = found.filter(({ isKnown }) => !isKnown).length;
  if (flags.html !== undefined) {
    const page = explorationPage({
      program: words.slice(words.indexOf('--') + 1).join(' '),
      summary: counts.text(fresh),
      findings: found.map((one) => ({
        ...{ title: titleOf(one.finding), times: one.times, isKnown: one.isKnown },
        command: commandOf(one, words),
      })),
      trials: results.map(({ expressions, finding }) => ({
        failure: expressions.join(' '),
        ...(finding && { finding: titleOf(finding) }),
      })),
    });
    writeReport(flags.html, HTML, page);
  }
  if (flags.json) printJson({ v: 1, words, ...counts.data, findings: found.map(findingData) });
  else print(`${[...findingsText(found, words), counts.text(fresh)].join('\n')}\n`);
  return fresh;
}
function findingData({ finding, token, times, isKnown }: ToldFinding): object {
  return { ...finding, title: titleOf(finding), token, times, known: isKnown };
}
function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new UserMistake(`${printable(file)} cannot be written: ${systemReason(error)}`);
  }
}
function readBaseline(file: string): string[] {
  try {
    const keys: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (Array.isArray(keys) && keys.every((key) => typeof key === 'string')) return keys;
  } catch (error) {
    if (!(error instanceof SyntaxError)) {
      throw new UserMistake(`${printable(file)} cannot be read: ${systemReason(error)}`);
    }
  }
  throw new UserMistake(
    `${printable(file)} is no baseline: a JSON list of texts, as --write-baseline makes it`,
  );
}
