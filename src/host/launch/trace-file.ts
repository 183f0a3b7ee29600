/**
 * Where a trace goes. What is there already is overwritten only when it is empty or a trace of ours: a program, or
 * anything else of the user's that was named by mistake, stays as it is.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  writeSync,
  type Stats,
} from 'node:fs';
import { TRACE_MARK } from '../../insight/trace/format.ts';
import { printable } from '../../machine/description/wording.ts';
import { HostError } from '../sys/ffi.ts';
import { systemReason } from '../sys/system-reason.ts';

/** The first line of a trace in a file: by it a later run knows that the file may be overwritten. */
const TEXT_MARK = '# trace of softiommu';
/** Of traces before they had versions. */
const OLD_MARK = '{"trace":"softiommu"}';
const STDERR = 2;

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
  try {
    const there = statSync(file, { throwIfNoEntry: false });
    return there && !there.isFile() ? openOther(file, there) : openFile(file);
  } catch (error) {
    if (error instanceof HostError) throw error;
    throw refused(file, systemReason(error));
  }
}

function openFile(file: string): number {
  const { O_RDWR, O_CREAT, O_NOCTTY } = constants;
  const fd = openSync(file, O_RDWR | O_CREAT | O_NOCTTY, 0o666);
  const rule = forbidden(fd, fstatSync(fd));
  if (rule !== undefined) {
    closeSync(fd);
    throw refused(file, rule);
  }
  ftruncateSync(fd, 0);
  // The first line of JSON lines is part of their form, wherever they go.
  if (!isJsonl(file)) writeSync(fd, `${TEXT_MARK}\n`);
  return fd;
}

/** Why a file that is there may not be overwritten. */
function forbidden(fd: number, found: Stats): string | undefined {
  if (isTrace(fd)) return undefined;
  if ((found.mode & 0o111) !== 0) return 'it is a program, and --trace=FILE would overwrite it';
  if (found.size === 0) return undefined;
  return `it is there already and is no trace (the first line of one is '${TEXT_MARK}')`;
}

function isTrace(fd: number): boolean {
  const head = Buffer.alloc(64);
  const line = head.toString('utf8', 0, readSync(fd, head, 0, head.length, 0));
  return (
    TRACE_MARK.test(line) || [TEXT_MARK, OLD_MARK].some((mark) => line.startsWith(`${mark}\n`))
  );
}

/** A terminal, a null device, a pipe: nothing can be lost there, and there is no mark. */
function openOther(file: string, found: Stats): number {
  if (found.isDirectory()) throw refused(file, 'it is a directory');
  if (!found.isFIFO() && !found.isCharacterDevice()) {
    throw refused(file, 'it is no file, pipe or character device');
  }
  const { O_WRONLY, O_NOCTTY, O_NONBLOCK } = constants;
  if (!found.isFIFO()) return openSync(file, O_WRONLY | O_NOCTTY);
  // Without waiting for a reader: an interrupt from the keyboard would not end the wait.
  const reader = openSync(file, O_WRONLY | O_NONBLOCK);
  try {
    return openSync(file, O_WRONLY);
  } finally {
    closeSync(reader);
  }
}

function refused(file: string, reason: string): HostError {
  return new HostError(`the trace cannot be written to ${printable(file)}: ${reason}`);
}
