/** The output of a command, written at once: what cannot be written is said, and becomes the exit status. */
import { systemReason } from '../host/sys/system-reason.ts';
import { isBrokenPipe, STDERR, STDOUT, writeAll } from '../host/sys/write-all.ts';
import { UserMistake } from './user-mistake.ts';

/** As a shell shows death by SIGPIPE: what `softiommu topology | head -1` ends with, silently. */
const STATUS_BROKEN_PIPE = 128 + 13;

/** Throws UserMistake, for a full device or the like. Does not return when nobody reads any more. */
export function print(text: string | Uint8Array): void {
  const error = writeAll(STDOUT, text);
  if (error === undefined) return;
  if (isBrokenPipe(error)) process.exit(STATUS_BROKEN_PIPE);
  throw new UserMistake(`standard output cannot be written: ${systemReason(error)}`);
}

/** Data as JSON, for programs. Throws as print. */
export function printJson(value: unknown): void {
  print(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** A line for the person at the keyboard; where standard error cannot be written either, the status must do. */
export function complain(message: string): void {
  writeAll(STDERR, `softiommu: ${message}\n`);
}
