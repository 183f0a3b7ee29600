/** Where a trace goes: standard error, a file that is new or a trace of ours, a pipe. */
import { writeSync } from 'node:fs';
import { OLD_MARK, TEXT_MARK, TRACE_MARK } from '../../insight/trace/format.ts';
import { printable } from '../../machine/description/wording.ts';
import { HostError } from '../sys/ffi.ts';
import { STDERR } from '../sys/write-all.ts';
import { openOwn, type OwnKind } from './own-file.ts';

const TRACE: OwnKind = {
  option: '--trace=FILE',
  isOurs: (head) =>
    TRACE_MARK.test(head) || [TEXT_MARK, OLD_MARK].some((mark) => head.startsWith(`${mark}\n`)),
  none: `no trace (the first line of one is '${TEXT_MARK}')`,
};

/** Text for people; JSON lines for programs, told by the file's name. */
export function isJsonl(file: string): boolean {
  return file.endsWith('.jsonl');
}

/** A descriptor to write to; '-' is standard error. `isLines`: JSON lines, which need no first line of ours. Throws HostError with the rule that forbids the file. */
export function openTrace(file: string, isLines = isJsonl(file)): number {
  if (file === '-') return STDERR;
  if (file === '') throw new HostError('--trace= names no file');
  if (/^[|!]/.test(file)) {
    throw refused(file, 'no command is run for it; --trace=>(COMMAND) of a shell is a pipe to one');
  }
  const opened = openOwn(file, TRACE);
  if ('problem' in opened) throw refused(file, opened.problem);
  // The first line of JSON lines is part of their form, wherever they go.
  if (opened.isFile && !isLines) writeSync(opened.fd, `${TEXT_MARK}\n`);
  return opened.fd;
}

function refused(file: string, reason: string): HostError {
  return new HostError(`the trace cannot be written to ${printable(file)}: ${reason}`);
}
