/** A program of bench/c that measures itself under `softiommu run`: lines "ID NANOSECONDS". */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const CACHE = join(import.meta.dirname, '../..');
/** The command, bundled as it is shipped. */
export const MAIN = join(CACHE, 'dist/cli/main.js');

/** The program by name, with its arguments. */
export type Client = readonly [name: string, ...args: string[]];

/** Figures of a program, by id: the best where one comes more than once. It is run when the first is asked for, and once. */
export function figuresUnderRun(flags: readonly string[], client: Client): (id: string) => number {
  let figures: ReadonlyMap<string, number> | undefined;
  return (id) => {
    figures ??= measure(flags, client);
    const ns = figures.get(id);
    if (ns === undefined) throw new Error(`the program did not measure ${id}`);
    return ns;
  };
}
function measure(flags: readonly string[], [name, ...args]: Client): ReadonlyMap<string, number> {
  const argv = [MAIN, 'run', ...flags, '--', join(CACHE, name), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the program failed (${status}): ${stderr}`);
  const best = new Map<string, number>();
  for (const line of stdout.trim().split('\n')) {
    const [id = '', ns] = line.split(' ');
    best.set(id, Math.min(best.get(id) ?? Infinity, Number(ns)));
  }
  return best;
}
