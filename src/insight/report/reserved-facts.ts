/** What a machine reserves of the IO virtual addresses of its devices, for a report. */
import { getResvRegions } from '../../core/contract/resv-region-list.ts';
import { resvRegionWord } from '../../core/group/group-sysfs.ts';
import type { Machine } from '../../machine/machine.ts';
import type { ReservedFact } from './reserved.ts';

/** What is reserved for each device of the machine, in the order of the bus. */
export function reservedFacts(machine: Machine): ReservedFact[] {
  return machine.pci.devices().flatMap(({ dev, name }) =>
    getResvRegions(dev).map(({ start, length, type }) => ({
      device: name,
      first: `0x${start.toString(16)}`,
      last: `0x${(start + length - 1n).toString(16)}`,
      what: resvRegionWord(type),
    })),
  );
}
