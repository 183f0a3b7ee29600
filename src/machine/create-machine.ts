/** A machine from what somebody wrote: checked first, so that what cannot be is told with all its problems. */
import { parseDescription } from './description/description-check.ts';
import type { MachineDescription, MachineInput } from './description/description.ts';
import type { Problem } from './description/shape-problems.ts';
import { allTypes, Machine, type MachineOptions } from './machine.ts';

/** The machine of this description, or every problem found in it. */
export function createMachine(
  input: MachineInput,
  options: MachineOptions = {},
): { readonly machine: Machine } | { readonly problems: readonly Problem[] } {
  const checked = parseDescription(input, allTypes(options), options.host);
  if ('problems' in checked) return checked;
  const problems = unopenedFiles(checked.description, options);
  if (problems.length > 0) return { problems };
  return { machine: new Machine(checked.description, options) };
}

/** The library opens no files: whoever makes the machine gives it what is on them. */
function unopenedFiles(
  { blocks }: MachineDescription,
  { host = {} }: MachineOptions,
): readonly Problem[] {
  return Object.entries(blocks).flatMap(([name, { file }]) =>
    file === undefined || host.blocks?.has(name)
      ? []
      : [
          {
            path: ['blocks', name, 'file'],
            message: `files are opened by softiommu run only; give ${name} in host.blocks`,
          },
        ],
  );
}
