/** Many programs that call at once under one `run`, beside one that calls: bench/c/programs.c. Three turns, the best of each. */
import type { Benchmark } from './harness.ts';
import { figuresUnderRun } from './under-run.ts';

const figure = figuresUnderRun([], ['programs', ...'1 64 1 64 1 64'.split(' ')]);

export const benchmarks: Benchmark[] = [
  {
    ...{ id: 'programs', title: '64 programs at once, a call', aim: 2, ops: 1, run: () => 0 },
    figure: () => figure('64'),
    beside: () => Promise.resolve(figure('1')),
  },
];
