/** Files that say for machines how something went: which forms there are, opened before anything runs, written at its end. */
import { appendFileSync } from 'node:fs';
import { isAbsolute, relative } from 'node:path';
import type { OwnKind } from '../../host/launch/own-file.ts';
import { systemReason } from '../../host/sys/system-reason.ts';
import { STDERR, writeAll } from '../../host/sys/write-all.ts';
import { annotations, jobSummary } from '../../insight/ci-reports/github.ts';
import { JUNIT_MARK } from '../../insight/ci-reports/junit.ts';
import { KTAP_MARK, ktapText } from '../../insight/ci-reports/ktap.ts';
import { RUN_JSON_MARK, runJson } from '../../insight/ci-reports/run-json.ts';
import { runJunit } from '../../insight/ci-reports/run-junit.ts';
import type { RunOutcome } from '../../insight/ci-reports/run-outcome.ts';
import { SARIF_MARK, sarifText } from '../../insight/ci-reports/sarif.ts';
import type { Seen, SeenPlace } from '../../insight/ci-reports/seen.ts';
import { printable } from '../../machine/description/wording.ts';
import { OpenReport, reportKind } from './open-report.ts';
import { FORM_NAMES, type FormName, type OutcomeFlags } from './outcome-options.ts';

/** A form of report, which has the option of its name. */
interface Form {
  readonly kind: OwnKind;
  readonly text: (outcome: RunOutcome) => string;
}
function form(name: FormName, mark: string, text: Form['text']): Form {
  return { kind: reportKind(`--${name}`, mark), text };
}
const FORMS: Readonly<Record<FormName, Form>> = {
  json: form('json', RUN_JSON_MARK, runJson),
  junit: form('junit', JUNIT_MARK, runJunit),
  ktap: form('ktap', KTAP_MARK, ktapText),
  sarif: form('sarif', SARIF_MARK, sarifText),
};

/** The reports a command line asks for, open. */
export class OutcomeFiles {
  readonly #open: readonly { readonly report: OpenReport; readonly text: Form['text'] }[];
  readonly #summary: string | undefined;
  readonly #annotates: boolean;

  /** Throws UserMistake: one cannot be written, or is something else. */
  constructor(flags: OutcomeFlags, env: Readonly<Record<string, string | undefined>>) {
    this.#open = FORM_NAMES.flatMap((name) => {
      const [file, { kind, text }] = [flags[name], FORMS[name]];
      return file === undefined ? [] : [{ report: OpenReport.openOrStderr(file, kind), text }];
    });
    this.#annotates = flags.github === true;
    this.#summary = flags.github ? env['GITHUB_STEP_SUMMARY'] : undefined;
  }
  /** What could not be written, one line each. */
  write(outcome: RunOutcome): string[] {
    const lines = this.#annotates ? annotations(outcome) : [];
    // Behind a line that the program has not ended an annotation would be none.
    if (lines.length > 0) writeAll(STDERR, `\n${lines.join('\n')}\n`);
    const files = this.#open.map(({ report, text }) => {
      const reason = report.write(text(outcome));
      return reason === undefined ? undefined : `${report.shown}: ${reason}`;
    });
    const problems = [...files, this.#addSummary(outcome)];
    return problems.flatMap((problem) =>
      problem === undefined ? [] : [`a report cannot be written to ${problem}`],
    );
  }
  #addSummary(outcome: RunOutcome): string | undefined {
    if (!this.#summary) return undefined;
    try {
      appendFileSync(this.#summary, jobSummary(outcome));
      return undefined;
    } catch (error) {
      return `${printable(this.#summary)} (GITHUB_STEP_SUMMARY): ${systemReason(error)}`;
    }
  }
}
/** The same with names of source as they are from a folder, where readers look for them. */
export function seenFrom(root: string, seen: readonly Seen[]): Seen[] {
  return seen.map((one) => ({
    ...one,
    ...(one.place && { place: placeFrom(root, one.place) }),
    others: one.others.map(({ title, place }) => ({ title, place: placeFrom(root, place) })),
  }));
}
function placeFrom(root: string, place: SeenPlace): SeenPlace {
  const { file } = place;
  if (file === undefined || !isAbsolute(file)) return place;
  const below = relative(root, file);
  return below.startsWith('..') ? place : { ...place, file: below };
}
