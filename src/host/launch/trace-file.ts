/** Where a trace goes: standard error, a file that is new or a trace of ours, a pipe. */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
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
  checkName(file);
  return begun(file, openOwn(file, TRACE), isJsonl(file));
}
/** One more file of a trace, while the program runs: FILE.PART in the directory that FILE was in at the start. */
export class TraceParts {
  readonly #file: string;
  readonly #directory: number;
  /** Which file each part is. */
  readonly #begun = new Map<string, string>();

  /** Throws HostError. */
  constructor(file: string) {
    checkName(file);
    this.#file = file;
    try {
      this.#directory = openSync(dirname(file), constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      throw refused(file, systemReason(error));
    }
  }
  /** As openTrace, and a part that was closed meanwhile behind what it has. */
  open(part: string): number {
    const file = `${this.#file}.${part}`;
    const path = `/proc/self/fd/${this.#directory}/${basename(file)}`;
    const identity = this.#begun.get(part);
    if (identity !== undefined) return openAgain(file, path, identity);
    const fd = begun(file, openOwnMeanwhile(path, TRACE), isJsonl(this.#file));
    this.#begun.set(part, identityOf(fd));
    return fd;
  }
}

function checkName(file: string): void {
  if (file === '') throw new HostError('--trace= names no file');
  if (/^[|!]/.test(file)) {
    throw refused(file, 'no command is run for it; --trace=>(COMMAND) of a shell is a pipe to one');
  }
}

/** `identity`: of the file it was, for somebody may have put another in its place. */
function openAgain(file: string, path: string, identity: string): number {
  const { O_WRONLY, O_APPEND, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    fd = openSync(path, O_WRONLY | O_APPEND | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    throw refused(file, systemReason(error));
  }
  if (identityOf(fd) === identity) return fd;
  closeSync(fd);
  throw refused(file, 'it is another file than the one that was begun');
}
function identityOf(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
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
