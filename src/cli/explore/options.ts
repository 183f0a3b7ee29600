/** What explore and merge write, and the values of their options. */
import { readFileSync, writeFileSync } from 'node:fs';
import { InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { printable } from '../../machine/description/wording.ts';
import { systemReason } from '../../host/sys/system-reason.ts';
import { junitText } from '../../insight/ci-reports/junit.ts';
import { tokenOf } from '../../insight/inject/token.ts';
import { print } from '../output.ts';
import { UserMistake } from '../user-mistake.ts';
import type { TrialResult } from './campaign.ts';
import { baselineText, findingsOf, findingsText, titleOf } from './findings.ts';

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

/** Where results go, as the options say. */
export interface ReportFlags {
  readonly baseline?: string;
  readonly writeBaseline?: string;
  readonly junit?: string;
}

/** Tell what was found. How many findings no baseline has. */
export function report(
  words: readonly string[],
  results: readonly TrialResult[],
  flags: ReportFlags,
): number {
  const known = new Set(flags.baseline === undefined ? [] : readBaseline(flags.baseline));
  const found = findingsOf(results, known);
  if (found.length > 0) print(`${findingsText(found, words).join('\n')}\n`);
  if (flags.writeBaseline !== undefined) write(flags.writeBaseline, baselineText(found));
  if (flags.junit !== undefined) {
    const cases = results.map(({ expressions, finding }) => ({
      name: tokenOf(expressions),
      ...(finding && { failure: titleOf(finding) }),
    }));
    write(flags.junit, junitText(`softiommu explore ${words.join(' ')}`, cases));
  }
  return found.filter(({ isKnown }) => !isKnown).length;
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
