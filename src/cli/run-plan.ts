/** From the options of `run` to a plan the kernel thread can follow. */
import { chooseLaunch } from '../host/choose.ts';
import type { RunPlan } from '../host/run.ts';
import { resolveMachine } from './machine-file.ts';

export interface RunFlags {
  readonly machine?: string;
  readonly device?: string[];
  readonly iommu?: string[];
  readonly trace?: string | true;
  readonly selftest?: true;
  readonly mode?: 'namespace' | 'traps';
}

export function planRun(argv: readonly string[], flags: RunFlags): Omit<RunPlan, 'wakeFd'> {
  return {
    argv,
    machine: resolveMachine(flags),
    trace: flags.trace === true ? '-' : flags.trace,
    launch: chooseLaunch(flags.mode),
  };
}
