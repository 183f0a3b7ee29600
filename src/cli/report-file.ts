/** Pages that are written to files: put together from the built page, what is known of the run, and its trace. */
import { closeSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { openOwn, type OwnKind } from '../host/launch/own-file.ts';
import { entryFile } from '../host/sys/package-files.ts';
import { systemReason } from '../host/sys/system-reason.ts';
import { writeAll } from '../host/sys/write-all.ts';
import { PAGE_MARK, reportPage, type PageParts } from '../insight/report/page.ts';
import type { RunFacts } from '../insight/report/run-facts.ts';
import { readHeader } from '../insight/trace/read-trace.ts';
import { printable } from '../machine/description/wording.ts';
import { UserMistake } from './user-mistake.ts';
import { packageVersion } from './version.ts';

/** A file that is open to become a page. */
export interface PageFile {
  readonly file: string;
  readonly fd: number;
}

/** The page of a trace in a file: how many events it has. Throws UserMistake with what is wrong with either file. */
export function reportOfTrace(trace: string, output: string): number {
  const text = readText(trace);
  const header = readHeader(text.slice(0, text.indexOf('\n')));
  if ('problem' in header) throw new UserMistake(`${printable(trace)}: ${header.problem}`);
  writePage(openPage(output), { title: header.program.join(' ') }, text);
  return text.split('\n').filter(Boolean).length - 1;
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

function builtParts(): PageParts {
  const part = (name: string): string =>
    readFileSync(entryFile('page/main').replace(/main\.\w+$/, name), 'utf8');
  return { script: part('main.js'), styles: part('styles.css') };
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UserMistake(`${printable(file)}: ${systemReason(error)}`);
  }
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
