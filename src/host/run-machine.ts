/** The machine of a run, and its trace going to a file. */
import { Machine } from '../machine/machine.ts';
import type { RunPlan } from './run.ts';

export interface RunMachine {
  readonly machine: Machine;
  finish(): void;
}

export function buildMachine(
  _plan: RunPlan,
  _output: { warn: (text: string) => void; traceFd: number | undefined },
): RunMachine {
  const machine = new Machine();
  return { machine, finish: () => undefined };
}
