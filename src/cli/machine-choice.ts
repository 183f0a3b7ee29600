/** Whether a command line says anything of its machine: the default one is ready-made. */
import type { MachineChoice } from './machine-file.ts';

/** No file, nothing that is added to it, and not that there is none. */
export function saysNothing(choice: MachineChoice): boolean {
  const { machine, nodefaults, kernel, backend, device, iommu, block, wire, bar, plugin } = choice;
  const texts = [kernel, backend, device, iommu, block, wire, bar, plugin];
  const isSaid = texts.some((given) => given !== undefined && given.length > 0);
  return machine === undefined && !isSaid && !nodefaults;
}
