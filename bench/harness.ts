/**
 * What a benchmark file exports, and how it is measured. `node bench/run.mjs` runs all bench/*.bench.ts.
 *
 * To add one: bench/NAME.bench.ts with `export const benchmarks: Benchmark[]`, and bench/c/NAME.c whose lines of
 * output carry the same ids (bench/c/bench.h). A benchmark without a C line is only reported.
 */
export interface Benchmark {
  /** The same id in the C program; unique in the file. */
  readonly id: string;
  /** What one operation is. */
  readonly title: string;
  /** Largest ratio to C that is wanted, if one is. */
  readonly aim?: number;
  /** Most nanoseconds an operation may take, where the aim is absolute. */
  readonly aimNs?: number;
  /** A figure known beforehand, in place of a C line: what Linux needs for the same. */
  readonly reference?: number;
  /** Operations done by one call of `run`. */
  readonly ops: number;
  /** Measured rounds; default 15. Long ones do with fewer. The first of a series says it for all. */
  readonly rounds?: number;
  /** Neighbours with the same word take turns: every round runs each once, so one may need what another has left. */
  readonly series?: string;
  /** Before each round, not timed. */
  setup?(): void;
  /** The work. Returns something that depends on it, so that it cannot be optimised away. */
  run(): number;
  /** After each round, not timed: must throw when the work was not done right. */
  verify?(result: number): void;
  /** The figure itself, when it is no time: called once, in place of `run`. */
  figure?(): number | Promise<number>;
  /** Of such a one, measured in the same run: what it is compared with, in place of a C line. */
  beside?(): Promise<number>;
}

export interface Measurement {
  readonly id: string;
  readonly title: string;
  readonly aim: number | null;
  readonly aimNs: number | null;
  readonly reference: number | null;
  readonly ns: number;
}

const WARM_UP_ROUNDS = 8;
const ROUNDS = 15;
/** Of benchmarks that say how many rounds they want. */
const FEW_WARM_UP_ROUNDS = 2;

/** One measurement each, in their order. */
export async function measureAll(benchmarks: readonly Benchmark[]): Promise<Measurement[]> {
  const done: Measurement[] = [];
  for (let n = 0; n < benchmarks.length;) {
    const { series } = benchmarks[n]!;
    let end = n + 1;
    while (series !== undefined && benchmarks[end]?.series === series) end++;
    done.push(...(await measureSeries(benchmarks.slice(n, end))));
    n = end;
  }
  return done;
}
function measureSeries(series: readonly Benchmark[]): Promise<Measurement[]> {
  const times = series.map((): number[] => []);
  const { figure, rounds } = series[0]!;
  const warmUp = rounds === undefined ? WARM_UP_ROUNDS : FEW_WARM_UP_ROUNDS;
  const total = figure ? 0 : warmUp + (rounds ?? ROUNDS);
  for (let round = 0; round < total; round++) {
    for (const [n, benchmark] of series.entries()) {
      const ns = timeRound(benchmark);
      if (round >= warmUp) times[n]!.push(ns);
    }
  }
  return Promise.all(series.map((benchmark, n) => measurement(benchmark, times[n]!)));
}
function timeRound(benchmark: Benchmark): number {
  benchmark.setup?.();
  const start = process.hrtime.bigint();
  const result = benchmark.run();
  const ns = Number(process.hrtime.bigint() - start) / benchmark.ops;
  benchmark.verify?.(result);
  return ns;
}
/** The median time of an operation over the rounds after warming up. */
async function measurement(benchmark: Benchmark, times: number[]): Promise<Measurement> {
  const { id, title, aim, aimNs } = benchmark;
  times.sort((a, b) => a - b);
  const ns = benchmark.figure ? await benchmark.figure() : times[times.length >> 1]!;
  const reference = (await benchmark.beside?.()) ?? benchmark.reference;
  const aims = { aim: aim ?? null, aimNs: aimNs ?? null, reference: reference ?? null };
  return { id, title, ...aims, ns };
}

/** A repeatable shuffle of 0 … count-1: the same order as shuffled() of bench/c/bench.h. */
export function shuffled(count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, n) => n);
  let seed = 12345;
  for (let n = count - 1; n > 0; n--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const other = seed % (n + 1);
    [order[n], order[other]] = [order[other]!, order[n]!];
  }
  return order;
}
