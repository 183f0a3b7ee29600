/** What explore and merge tell, and the options that say where. */
import { Option } from '@commander-js/extra-typings';
import { junitText } from '../../insight/ci-reports/junit.ts';
import { tokenOf } from '../../insight/inject/token.ts';
import { explorationPage } from '../../insight/explore/page.ts';
import { print, printJson } from '../output.ts';
import { shellLine } from '../shell-words.ts';
import { UserMistake } from '../user-mistake.ts';
import { baselineText, readBaseline } from './baseline.ts';
import { trialName, type TrialResult } from './trial-source.ts';
import {
  commandOf,
  findingsOf,
  findingsText,
  titleOf,
  toldText,
  type ToldFinding,
} from './findings.ts';
import { ReportFiles, type ReportFileFlags } from './report-files.ts';

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
export interface ReportFlags extends ReportFileFlags {
  readonly json?: true;
  readonly baseline?: string;
}
/** What else JSON says of an exploration, and how its last line says it. */
export interface TrialCounts {
  readonly text: (fresh: number) => string;
  readonly data: object;
}
/** An exploration, or several that are joined. */
export interface Told {
  /** What stands behind `run`. */
  readonly words: readonly string[];
  readonly results: readonly TrialResult[];
  readonly counts: TrialCounts;
}

/** Where findings are told: made before there are any, so that a mistake costs none. */
export class Reports {
  readonly #known: ReadonlySet<string>;
  readonly #files: ReportFiles;
  readonly #isJson: boolean;

  /** Throws UserMistake: a baseline cannot be read, a file not be written. */
  constructor(flags: ReportFlags) {
    this.#known = readBaseline(flags.baseline);
    this.#files = new ReportFiles(flags);
    this.#isJson = flags.json === true;
  }
  /** How many findings no baseline has. Throws UserMistake, when all is told that can be. */
  tell({ words, results, counts }: Told): number {
    const found = findingsOf(results, this.#known);
    const fresh = found.filter(({ isKnown }) => !isKnown).length;
    const summary = counts.text(fresh);
    const problems = this.#files.write({
      writeBaseline: () => baselineText(found),
      junit: () => junitOf(words, results),
      html: () => pageOf({ words, results, found, summary }),
    });
    if (this.#isJson) {
      printJson({ v: 1, words, ...counts.data, findings: found.map(findingData) });
    } else print(`${[...findingsText(found, words), summary].join('\n')}\n`);
    if (problems.length > 0) throw new UserMistake(problems.join('\nsoftiommu: '));
    return fresh;
  }
}
function junitOf(words: readonly string[], results: readonly TrialResult[]): string {
  const cases = results.map(({ expressions, finding }) => ({
    name: tokenOf(expressions),
    ...(finding && { failure: titleOf(finding) }),
  }));
  return junitText(shellLine(['softiommu', 'explore', ...words]), cases);
}
function pageOf(told: {
  readonly words: readonly string[];
  readonly results: readonly TrialResult[];
  readonly found: readonly ToldFinding[];
  readonly summary: string;
}): string {
  const { words, results, found, summary } = told;
  return explorationPage({
    program: shellLine(words.slice(words.indexOf('--') + 1)),
    summary,
    findings: found.map((one) => ({
      text: toldText(one),
      command: commandOf(one, words),
    })),
    trials: results.map(({ expressions, finding }) => ({
      failure: trialName(expressions),
      ...(finding && { finding: titleOf(finding) }),
    })),
  });
}
function findingData({ finding, token, times, isKnown }: ToldFinding): object {
  return { ...finding, title: titleOf(finding), token, times, known: isKnown };
}

/** 'nothing found', '1 finding': of those that no baseline has. */
export function foundText(findings: number): string {
  if (findings === 0) return 'nothing found';
  return findings === 1 ? '1 finding' : `${findings} findings`;
}
