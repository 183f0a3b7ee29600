/** Files that explore and merge write. */
import type { OwnKind } from '../../host/launch/own-file.ts';
import { JUNIT_MARK } from '../../insight/ci-reports/junit.ts';
import { EXPLORATION_MARK } from '../../insight/explore/page.ts';
import { refuseOneFileTwice } from '../reports/one-file-each.ts';
import { OpenReport, reportKind } from '../reports/open-report.ts';
import { BASELINE_MARK } from './baseline.ts';

/** The options that name one each. */
export interface ReportFileFlags {
  readonly writeBaseline?: string;
  readonly junit?: string;
  readonly html?: string;
}
type FileFlag = keyof ReportFileFlags;

const KINDS: Readonly<Record<FileFlag, OwnKind>> = {
  writeBaseline: reportKind('--write-baseline', BASELINE_MARK, 'no baseline of softiommu'),
  junit: reportKind('--junit', JUNIT_MARK),
  html: reportKind('--html', EXPLORATION_MARK, 'no exploration of softiommu'),
};
// cast: of a record with just these keys
const FLAGS = Object.keys(KINDS) as FileFlag[];

/** Those that a command line names, open. */
export class ReportFiles {
  readonly #files: readonly { readonly flag: FileFlag; readonly report: OpenReport }[];

  /** Throws UserMistake: one cannot be written, or is something else. */
  constructor(flags: ReportFileFlags) {
    const named = FLAGS.flatMap((flag) => {
      const name = flags[flag];
      return name === undefined ? [] : [{ flag, name }];
    });
    refuseOneFileTwice(named.map(({ flag, name }) => [KINDS[flag].option, name]));
    this.#files = named.map(({ flag, name }) => ({
      flag,
      report: OpenReport.openOrStderr(name, KINDS[flag]),
    }));
  }
  /** What could not be written, one line each. */
  write(texts: Readonly<Record<FileFlag, () => string>>): string[] {
    return this.#files.flatMap(({ flag, report }) => {
      const reason = report.write(texts[flag]());
      return reason === undefined ? [] : `${report.shown} cannot be written: ${reason}`;
    });
  }
}
