/**
 * Files that explore and merge write. They are opened before the first run, and what is in them stays until they are written: no
 * mistake in a name costs an exploration, and none that fails costs what an earlier one has told.
 */
import { closeSync, ftruncateSync } from 'node:fs';
import { openOwn, type OwnFile, type OwnKind } from '../../host/launch/own-file.ts';
import { systemReason } from '../../host/sys/system-reason.ts';
import { STDERR, writeAll } from '../../host/sys/write-all.ts';
import { JUNIT_MARK } from '../../insight/ci-reports/junit.ts';
import { EXPLORATION_MARK } from '../../insight/explore/page.ts';
import { printable } from '../../machine/description/wording.ts';
import { refuseOneFileTwice } from '../reports/one-file-each.ts';
import { UserMistake } from '../user-mistake.ts';
import { BASELINE_MARK } from './baseline.ts';

/** The options that name one each. */
export interface ReportFileFlags {
  readonly writeBaseline?: string;
  readonly junit?: string;
  readonly html?: string;
}
type FileFlag = keyof ReportFileFlags;

function kindOf(option: string, mark: string, none: string): OwnKind {
  return { option, none, isOurs: (head) => head.startsWith(mark), isKept: true };
}
const KINDS: Readonly<Record<FileFlag, OwnKind>> = {
  writeBaseline: kindOf('--write-baseline', BASELINE_MARK, 'no baseline of softiommu'),
  junit: kindOf('--junit', JUNIT_MARK, 'no report of softiommu'),
  html: kindOf('--html', EXPLORATION_MARK, 'no exploration of softiommu'),
};
// cast: of a record with just these keys
const FLAGS = Object.keys(KINDS) as FileFlag[];

type Opened = Extract<OwnFile, { readonly fd: number }>;

/** Those that a command line names, open. */
export class ReportFiles {
  readonly #files: readonly (Opened & { readonly flag: FileFlag; readonly name: string })[];

  /** Throws UserMistake: one cannot be written, or is something else. */
  constructor(flags: ReportFileFlags) {
    const named = FLAGS.flatMap((flag) => {
      const name = flags[flag];
      return name === undefined ? [] : [{ flag, name }];
    });
    refuseOneFileTwice(named.map(({ flag, name }) => [KINDS[flag].option, name]));
    this.#files = named.map((one) => ({ ...one, ...opened(one.name, KINDS[one.flag]) }));
  }
  /** What could not be written, one line each. */
  write(texts: Readonly<Record<FileFlag, () => string>>): string[] {
    return this.#files.flatMap(({ flag, name, fd, isFile }) => {
      if (isFile) ftruncateSync(fd, 0);
      const error = writeAll(fd, texts[flag]());
      if (fd !== STDERR) closeSync(fd);
      return error === undefined
        ? []
        : `${printable(name)} cannot be written: ${systemReason(error)}`;
    });
  }
}
/** '-' is standard error: standard output has the findings. */
function opened(name: string, kind: OwnKind): Opened {
  if (name === '-') return { fd: STDERR, isFile: false };
  const file = openOwn(name, kind);
  if ('fd' in file) return file;
  throw new UserMistake(`${kind.option} ${printable(name)}: it cannot be written: ${file.problem}`);
}
