/** Pages that are written to files: put together from the built page, what is known of the run, and its trace. */
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { pageFile } from '../../host/sys/package-files.ts';
import { PAGE_MARK, reportPage, type PageParts } from '../../insight/report/page.ts';
import type { RunFacts } from '../../insight/report/run-facts.ts';
import { printable } from '../../machine/description/wording.ts';
import { UserMistake } from '../user-mistake.ts';
import { OpenReport, reportKind } from './open-report.ts';
import { packageVersion } from '../version.ts';

/** The page, written at once. Throws UserMistake when it cannot be. */
export function writePage(file: OpenReport, facts: Omit<RunFacts, 'version'>, trace: string): void {
  const packed = gzipSync(trace).toString('base64');
  const page = reportPage(builtParts(), { ...facts, version: packageVersion() }, packed);
  const reason = file.write(page);
  if (reason !== undefined) throw unwritable(file.shown, reason);
}

/** What the build made of src/page/. */
export function builtParts(): PageParts {
  const part = (name: string): string => readFileSync(pageFile(name), 'utf8');
  return { script: part('main.js'), styles: part('styles.css') };
}

const REPORT = reportKind('--report', PAGE_MARK);

/** To be written to with writePage. Throws UserMistake when it may not be. */
export function openPage(file: string): OpenReport {
  const opened = OpenReport.open(file, REPORT);
  if ('problem' in opened) throw unwritable(printable(file), opened.problem);
  return opened;
}
function unwritable(shown: string, reason: string): UserMistake {
  return new UserMistake(`the report cannot be written to ${shown}: ${reason}`);
}
