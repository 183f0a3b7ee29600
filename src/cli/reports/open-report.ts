/**
 * Files that reports are written to. They are opened before anything runs, and what is in them stays until they are written: no
 * mistake in a name costs a run, and none that fails costs what an earlier one has told.
 */
import { closeSync, ftruncateSync } from 'node:fs';
import { openOwn, type OwnFile, type OwnKind } from '../../host/launch/own-file.ts';
import { systemReason } from '../../host/sys/system-reason.ts';
import { STDERR, writeAll } from '../../host/sys/write-all.ts';
import { printable } from '../../machine/description/wording.ts';
import { UserMistake } from '../user-mistake.ts';

/** A kind of report: the option that names one, what each begins with, and what a file is not that is none. */
export function reportKind(option: string, mark: string, none = 'no report of softiommu'): OwnKind {
  return { option, none, isOurs: (head) => head.startsWith(mark), isKept: true };
}

type Opened = Extract<OwnFile, { readonly fd: number }>;

/** One that is open, to be written once. */
export class OpenReport {
  /** As messages name it. */
  readonly shown: string;
  readonly #opened: Opened;

  private constructor(name: string, opened: Opened) {
    this.shown = printable(name);
    this.#opened = opened;
  }
  /** Or why it cannot be written. */
  static open(name: string, kind: OwnKind): OpenReport | { readonly problem: string } {
    const opened = openOwn(name, kind);
    return 'problem' in opened ? opened : new OpenReport(name, opened);
  }
  /** '-' is standard error: standard output is not for reports. Throws UserMistake: it cannot be written. */
  static openOrStderr(name: string, kind: OwnKind): OpenReport {
    if (name === '-') return new OpenReport(name, { fd: STDERR, isFile: false });
    const opened = OpenReport.open(name, kind);
    if (opened instanceof OpenReport) return opened;
    const { problem } = opened;
    throw new UserMistake(`${kind.option} ${printable(name)}: it cannot be written: ${problem}`);
  }

  /** In place of what is there: why it could not be; undefined: it was. */
  write(text: string): string | undefined {
    const { fd, isFile } = this.#opened;
    if (isFile) ftruncateSync(fd, 0);
    const error = writeAll(fd, text);
    if (fd !== STDERR) closeSync(fd);
    return error === undefined ? undefined : systemReason(error);
  }
}
