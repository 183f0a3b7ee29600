/** Why a program could not be executed, and the status a shell has for it: 127 not found, 126 found but not run. */
import { existsSync, statSync, type Stats } from 'node:fs';
import { printable } from '../../machine/description/wording.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import type { Started } from './start-program.ts';

const NOT_FOUND = 127;
const NOT_RUN = 126;

/** What of it is for the user. */
export interface NotRun {
  readonly status: typeof NOT_FOUND | typeof NOT_RUN;
  readonly reason: string;
}

/** Of the answer (a positive errno) of execve(2). */
export function whyNotRun(program: string, error: number): NotRun {
  if (error === HOST_ERRNO.ENOENT || error === HOST_ERRNO.ENOTDIR) {
    const isThere = program.includes('/') && existsSync(program);
    const reason = isThere
      ? 'what it needs to run (its first line says) is not there'
      : 'no such program';
    return { status: NOT_FOUND, reason };
  }
  const reason =
    error === HOST_ERRNO.EACCES ? denied(program) : `cannot be executed (errno ${error})`;
  return { status: NOT_RUN, reason };
}

/** The line for the user. */
export function notRunLine(program: string, reason: string): string {
  return `${printable(program)}: ${reason}`;
}

/** Why there is no program under the filter, in a line. */
export function whyNotStarted(started: Started): string {
  if (!('error' in started)) return 'softiommu is gone';
  // A process has one listener for its system calls, be it that of another run.
  return started.error === HOST_ERRNO.EBUSY
    ? "somebody answers this process's system calls already, as another softiommu run does for its programs: start this one outside of it"
    : `the kernel refused the system call filter (errno ${started.error})`;
}

function denied(program: string): string {
  const found = look(program);
  if (found === 'hidden') return 'a folder on the way to it may not be searched';
  if (found?.isDirectory()) return 'is a directory';
  if (found && (found.mode & 0o111) === 0) return 'is not executable (chmod +x makes it so)';
  return 'permission denied';
}

function look(program: string): Stats | 'hidden' | undefined {
  try {
    return statSync(program, { throwIfNoEntry: false });
  } catch {
    return program.includes('/') ? 'hidden' : undefined;
  }
}
