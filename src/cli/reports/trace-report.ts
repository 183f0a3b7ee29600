/** `softiommu report`: a page of a trace that is in a file. */
import { readFileSync, statSync } from 'node:fs';
import { systemReason } from '../../host/sys/system-reason.ts';
import { readHeader } from '../../insight/trace/read-trace.ts';
import { printable } from '../../machine/description/wording.ts';
import { checkForPage } from './page-limit.ts';
import { openPage, writePage } from './report-file.ts';
import { UserMistake } from '../user-mistake.ts';

/** The page of a trace in a file: how many events it has. Throws UserMistake with what is wrong with either file. */
export function reportOfTrace(trace: string, output: string): number {
  const text = readText(trace);
  const header = readHeader(text.slice(0, text.indexOf('\n')));
  if ('problem' in header) throw new UserMistake(`${printable(trace)}: ${header.problem}`);
  writePage(openPage(output), { title: header.program.join(' ') }, text);
  return text.split('\n').filter(Boolean).length - 1;
}

function readText(file: string): string {
  const name = printable(file);
  const part = `make one of a part of it, \`softiommu trace ${name} -e trace=… --as json -o PART.jsonl\``;
  try {
    checkForPage(statSync(file).size, name, part);
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof UserMistake) throw error;
    throw new UserMistake(`${printable(file)}: ${systemReason(error)}`);
  }
}
