/** Measure the benchmarks of one compiled file and print one JSON line each. Started by run.mjs, one process a file. */
import { pathToFileURL } from 'node:url';
import { measureAll, type Benchmark } from './harness.ts';

const file = process.argv[2];
if (!file) throw new Error('usage: measure-file FILE');
const { benchmarks } = (await import(pathToFileURL(file).href)) as { benchmarks: Benchmark[] };
for (const measurement of await measureAll(benchmarks)) console.log(JSON.stringify(measurement));
