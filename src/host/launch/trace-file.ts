/** Where a trace goes: standard error, a file that is new or a trace of ours, a pipe. */
import { constants, openSync, writeSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { OLD_MARK, TEXT_MARK, TRACE_MARK } from '../../insight/trace/format.ts';
import { printable } from '../../machine/description/wording.ts';
import { HostError } from '../sys/ffi.ts';
import { STDERR } from '../sys/write-all.ts';
import { systemReason } from '../sys/system-reason.ts';
import { openOwn, openOwnMeanwhile, type OwnFile, type OwnKind } from './own-file.ts';

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

/** A descriptor to write to; '-' is standard error. Throws HostError with the rule that forbids the file. */
export function openTrace(file: string): number {
  if (file === '-') return STDERR;
  if (file === '') throw new HostError('--trace= names no file');
  if (/^[|!]/.test(file)) {
    throw refused(file, 'no command is run for it; --trace=>(COMMAND) of a shell is a pipe to one');
  }
  return begun(file, openOwn(file, TRACE), isJsonl(file));
}
/** One more file of a trace, while the program runs: FILE.PART in the directory that FILE was in at the start. */
export class TraceParts {
  readonly #file: string;
  readonly #directory: number;

  /** Throws HostError. */
  constructor(file: string) {
    this.#file = file;
    try {
      this.#directory = openSync(dirname(file), constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      throw refused(file, systemReason(error));
    }
  }
  /** As openTrace. */
  open(part: string): number {
    const name = `${basename(this.#file)}.${part}`;
    const opened = openOwnMeanwhile(`/proc/self/fd/${this.#directory}/${name}`, TRACE);
    return begun(`${this.#file}.${part}`, opened, isJsonl(this.#file));
  }
}

function begun(file: string, opened: OwnFile, isLines: boolean): number {
  if ('problem' in opened) throw refused(file, opened.problem);
  // The first line of JSON lines is part of their form, wherever they go.
  if (opened.isFile && !isLines) writeSync(opened.fd, `${TEXT_MARK}\n`);
  return opened.fd;
}

function refused(file: string, reason: string): HostError {
  return new HostError(`the trace cannot be written to ${printable(file)}: ${reason}`);
}
