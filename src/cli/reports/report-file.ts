/** Pages that are written to files: put together from the built page, what is known of the run, and its trace. */
import { closeSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { openOwn, type OwnKind } from '../../host/launch/own-file.ts';
import { entryFile } from '../../host/sys/package-files.ts';
import { systemReason } from '../../host/sys/system-reason.ts';
import { writeAll } from '../../host/sys/write-all.ts';
import { PAGE_MARK, reportPage, type PageParts } from '../../insight/report/page.ts';
import type { RunFacts } from '../../insight/report/run-facts.ts';
import { printable } from '../../machine/description/wording.ts';
import { UserMistake } from '../user-mistake.ts';
import { packageVersion } from '../version.ts';

/** A file that is open to become a page. */
export interface PageFile {
  readonly file: string;
  readonly fd: number;
}

/** The page, written at once. Throws UserMistake when it cannot be. */
export function writePage(
  { file, fd }: PageFile,
  facts: Omit<RunFacts, 'version'>,
  trace: string,
): void {
  const packed = gzipSync(trace).toString('base64');
  const page = reportPage(builtParts(), { ...facts, version: packageVersion() }, packed);
  const error = writeAll(fd, page);
  closeSync(fd);
  if (error !== undefined) throw unwritable(file, systemReason(error));
}

/** What the build made of src/page/. */
export function builtParts(): PageParts {
  const part = (name: string): string =>
    readFileSync(entryFile('page/main').replace(/main\.\w+$/, name), 'utf8');
  return { script: part('main.js'), styles: part('styles.css') };
}

const REPORT: OwnKind = {
  option: '--report',
  isOurs: (head) => head.startsWith(PAGE_MARK),
  none: 'no report of softiommu',
};

/** To be written to with writePage. Throws UserMistake when it may not be. */
export function openPage(file: string): PageFile {
  const opened = openOwn(file, REPORT);
  if ('problem' in opened) throw unwritable(file, opened.problem);
  return { file, fd: opened.fd };
}
function unwritable(file: string, reason: string): UserMistake {
  return new UserMistake(`the report cannot be written to ${printable(file)}: ${reason}`);
}
