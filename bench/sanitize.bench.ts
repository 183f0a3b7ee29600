/**
 * What `run --sanitize` costs a program: bench/c/sanitize.c with it, beside the same without, at the same time and in turns. What
 * stands for C in the table is the run without. A figure is the lower quartile of its rounds: on a busy machine the others say
 * more of who else ran.
 */
import { execFile, execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Benchmark } from './harness.ts';
import { MAIN } from './under-run.ts';

const CACHE = join(import.meta.dirname, '../..');
const MACHINE = ['--nodefaults', '--iommu', 'intel', '--device', 'ioat,bdf=0000:00:04.0'];

/** Nanoseconds an operation, by id. */
type Figures = ReadonlyMap<string, number>;
/** Of the two programs. */
interface Both {
  readonly off: Figures;
  readonly on: Figures;
}

let measured: Promise<Both> | undefined;
/** One run of both gives all. */
function both(): Promise<Both> {
  return (measured ??= runBoth());
}
async function runBoth(): Promise<Both> {
  const folder = mkdtempSync(join(tmpdir(), 'softiommu-bench-'));
  const [first, second] = [join(folder, 'first'), join(folder, 'second')];
  execFileSync('mkfifo', [first, second]);
  const turn = openSync(first, constants.O_RDWR);
  writeSync(turn, 'x');
  // Without the other, one waits for its turn for ever.
  const failed = new AbortController();
  try {
    const { signal } = failed;
    const [off, on] = await Promise.all([
      client([], [first, second], signal),
      client(['--sanitize'], [second, first], signal),
    ]);
    if (off.stderr !== '') throw new Error(`the program alone: ${off.stderr}`);
    if (!on.stderr.includes('unmap-short of ')) throw new Error('the sanitizer did not watch');
    return { off: figuresIn(off.stdout), on: figuresIn(on.stdout) };
  } finally {
    failed.abort();
    closeSync(turn);
    rmSync(folder, { recursive: true });
  }
}
function client(
  flags: readonly string[],
  turns: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const program = [join(CACHE, 'sanitize'), ...turns];
  const argv = [MAIN, 'run', ...MACHINE, ...flags, '--', ...program];
  return promisify(execFile)(process.execPath, argv, { signal });
}
/** Lines "ID NANOSECONDS", one a round. */
function figuresIn(text: string): Figures {
  const rounds = new Map<string, number[]>();
  for (const line of text.trim().split('\n')) {
    const [id = '', ns] = line.split(' ');
    rounds.set(id, [...(rounds.get(id) ?? []), Number(ns)]);
  }
  return new Map([...rounds].map(([id, all]) => [id, all.sort((a, b) => a - b)[all.length >> 2]!]));
}
async function figure(id: string, of: keyof Both): Promise<number> {
  const ns = (await both())[of].get(id);
  if (ns === undefined) throw new Error(`the program did not measure ${id}`);
  return ns;
}
function row(id: string, what: string, aim: number): Benchmark {
  return {
    ...{ id, title: `sanitize: ${what}`, aim, ops: 1, run: () => 0 },
    figure: () => figure(id, 'on'),
    beside: () => figure(id, 'off'),
  };
}

export const benchmarks: Benchmark[] = [
  row('ioctl', 'trapped ioctl', 1.3),
  row('map', 'map+unmap', 1.3),
  row('dma', 'DMA', 2),
];
