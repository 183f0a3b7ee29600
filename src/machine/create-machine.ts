/** A machine from what somebody wrote: checked first, so that what cannot be is told with all its problems. */
import { parseDescription } from './description/description-check.ts';
import type { MachineInput } from './description/description.ts';
import type { Problem } from './description/shape-problems.ts';
import { allTypes, Machine, type MachineOptions } from './machine.ts';

/** The machine of this description, or every problem found in it. */
export function createMachine(
  input: MachineInput,
  options: MachineOptions = {},
): { readonly machine: Machine } | { readonly problems: readonly Problem[] } {
  const checked = parseDescription(input, allTypes(options), options.host);
  if ('problems' in checked) return checked;
  return { machine: new Machine(checked.description, options) };
}
