/** What is made to go wrong in a run, and what is said of it at the end: how often it did, and how to have it again. */
import { Bug } from '../../base/bug.ts';
import { FaultInjector } from '../../insight/inject/fault-injector.ts';
import { parseFaultPlan } from '../../insight/inject/parse.ts';
import { tokenOf } from '../../insight/inject/token.ts';
import type { FaultPolicies } from '../../machine/machine.ts';
import { syscall } from '../sys/ffi.ts';
import { NR } from '../sys/numbers.ts';

/** The faults of one run. */
export interface RunFaults {
  readonly policies: FaultPolicies;
  /** Say at the end what came of them. */
  report(): void;
}

/** `expressions` were checked before. `say`: a line to the user. */
export function runFaults(expressions: readonly string[], say: (line: string) => void): RunFaults {
  const plan = parseFaultPlan(expressions);
  if ('problem' in plan) throw new Bug(plan.problem);
  // The thread is in a call, so its number is its own.
  const injector = new FaultInjector(plan, ({ tid }, signal) => {
    syscall(NR.tkill, tid, signal);
  });
  return {
    policies: injector.policies,
    report() {
      for (const { rule, met, done } of injector.counts) {
        const times = done === 1 ? 'once' : `${done} times`;
        say(done > 0 ? `${rule.text}: ${times}, of ${met}` : `${rule.text}: never, of ${met}`);
      }
      say(`again with: --inject-token ${tokenOf(expressions)}`);
    },
  };
}
