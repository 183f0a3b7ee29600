/** Our own output: all of the text, or what kept it from being written. */
import { writeSync } from 'node:fs';

export const STDOUT = 1;
export const STDERR = 2;

/** Undefined: everything was written. Else the exception of the write that failed: nobody reads any more, no space. */
export function writeAll(fd: number, text: string | Uint8Array): unknown {
  let rest: Uint8Array = typeof text === 'string' ? Buffer.from(text) : text;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if (!hasCode(error, 'EAGAIN')) return error;
      // A pipe that somebody made non-blocking is full: its reader needs a moment, as with one that blocks.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
  return undefined;
}

/** Did nobody read any more? */
export function isBrokenPipe(error: unknown): boolean {
  return hasCode(error, 'EPIPE');
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
