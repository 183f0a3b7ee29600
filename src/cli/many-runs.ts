/**
 * What a command has that runs a program many times: its children, and a folder for each. However it comes to its end, they end
 * with it and nothing of them stays; after one that could not end itself the next such command of the same user sweeps up.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TemporaryDirectory } from '../host/tree/temporary-directory.ts';
import { Children } from './children.ts';

/** The runs of one command. */
export interface ManyRuns {
  readonly children: Children;
  /** A folder of one run's own, which is gone behind it. */
  readonly withFolder: <T>(use: (folder: string) => Promise<T>) => Promise<T>;
}

/** What asks a command to end: the keyboard, somebody else, a terminal that is closed. */
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** When it is asked to end, the children are stopped, and what `use` makes of that is its result. */
export async function withManyRuns<T>(use: (runs: ManyRuns) => Promise<T>): Promise<T> {
  const all = TemporaryDirectory.make([tmpdir()]);
  const children = new Children();
  const stop = (): void => children.stop();
  for (const signal of ENDING) process.on(signal, stop);
  try {
    return await use({ children, withFolder: (run) => withFolder(all.path, run) });
  } finally {
    await children.end();
    for (const signal of ENDING) process.off(signal, stop);
    all.remove();
  }
}
async function withFolder<T>(above: string, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(above, 'run-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The lines of a run's trace; none of a run whose time was up before it began. */
export function traceLines(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
}
