/** Starting: user and system time of all processes of a command, beside `node -e 0`, in turns. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Benchmark } from './harness.ts';
import { MAIN } from './under-run.ts';

const NOTHING = 'node -e 0';
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  [NOTHING]: ['-e', '0'],
  'run -- true': [MAIN, 'run', '--', 'true'],
  topology: [MAIN, 'topology'],
  '--version': [MAIN, '--version'],
};
const TURNS = 10;
/** Of a clock tick of /proc/self/stat. */
const TICK_NS = 1e7;

/** Of all children that have ended. */
function cpuOfChildrenNs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]!.split(' ');
  return TICK_NS * (Number(fields[13]) + Number(fields[14]));
}
function once(name: string): number {
  const before = cpuOfChildrenNs();
  const { status, stderr } = spawnSync(process.execPath, COMMANDS[name]!, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name} failed (${status}): ${stderr}`);
  return cpuOfChildrenNs() - before;
}

let measured: ReadonlyMap<string, number> | undefined;
/** The mean, for one alone is a few ticks. */
function figure(name: string): number {
  measured ??= measure();
  return measured.get(name)!;
}
function measure(): ReadonlyMap<string, number> {
  const names = Object.keys(COMMANDS);
  const sums = new Map(names.map((name) => [name, 0]));
  for (let turn = 0; turn < TURNS; turn++) {
    for (const name of names) sums.set(name, sums.get(name)! + once(name));
  }
  return new Map([...sums].map(([name, sum]) => [name, sum / TURNS]));
}
function row(name: string, aim: number): Benchmark {
  return {
    ...{ id: `start-${name}`, title: `start, CPU: ${name}`, aim, ops: 1, run: () => 0 },
    figure: () => figure(name),
    beside: () => Promise.resolve(figure(NOTHING)),
  };
}

export const benchmarks: Benchmark[] = [
  row('run -- true', 5),
  row('topology', 2),
  row('--version', 2),
];
