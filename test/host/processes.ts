/** Runs as processes, and what is left of them: marked by an argument that nobody else has. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { expect } from 'vitest';

/** A time to sleep that nobody else sleeps: in the command lines of a run it is found again, the launcher's too. */
let used = 0;
export const newMark = (): string => `3600.${process.pid}${String(used++).padStart(4, '0')}`;

export function processesWith(mark: string): string[] {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(mark));
}
export function commandOf(pid: string): string {
  try {
    // A zombie has no command line.
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}
export const nothingLeft = (mark: string) =>
  expect.poll(() => processesWith(mark), { timeout: 30_000 }).toEqual([]);

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stderr: string;
}
export function ended(child: ChildProcess): Promise<Ended> {
  let stderr = '';
  child.stderr!.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  child.stdout!.resume();
  return new Promise((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal, stderr })),
  );
}
export const said = (child: ChildProcess, text: string) =>
  new Promise<void>((resolve) => {
    let all = '';
    const take = (bytes: Buffer): void => {
      all += bytes.toString();
      if (all.includes(text)) resolve();
    };
    child.stdout!.on('data', take);
    child.stderr!.on('data', take);
  });
