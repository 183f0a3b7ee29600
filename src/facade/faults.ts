/** What is to go wrong on a machine of the library: the expressions of `run -e`. */
import { FaultInjector } from '../insight/inject/fault-injector.ts';
import { parseFaultPlan } from '../insight/inject/parse.ts';
import type { FaultPolicies } from '../machine/machine.ts';

/** An expression that means nothing; the message says the column, and what is allowed there. */
export class FaultPlanError extends Error {
  override name = 'FaultPlanError';
}

/**
 * For `MachineOptions.faults`. Throws FaultPlanError.
 *
 * @example
 * const faults = plannedFaults(['inject=IOMMU_IOAS_MAP:error=ENOSPC:when=3+']);
 * const machine = new Machine('preset:default', { faults });
 */
export function plannedFaults(expressions: readonly string[]): FaultPolicies {
  const plan = parseFaultPlan(expressions);
  if ('problem' in plan) throw new FaultPlanError(plan.problem);
  return new FaultInjector(plan).policies;
}
