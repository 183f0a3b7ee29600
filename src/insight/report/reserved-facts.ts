/** What a machine reserves of the IO virtual addresses of its devices, for a report. */
import { hex } from '../../base/u64.ts';
import { getResvRegions } from '../../core/contract/resv-region-list.ts';
import { resvRegionWord } from '../../core/group/group-sysfs.ts';
import type { Machine } from '../../machine/machine.ts';
import type { ReservedFact } from './reserved.ts';

/** What is reserved for each device of the machine, in the order of the bus. */
export function reservedFacts(machine: Machine): ReservedFact[] {
  return machine.pci.devices().flatMap(({ dev, name }) =>
    getResvRegions(dev).map(({ start, length, type }) => ({
      device: name,
      first: hex(start),
      last: hex(start + length - 1n),
      what: resvRegionWord(type),
    })),
  );
}
