/** A page table and the RAM it lies in. */
import {
  createPageTable,
  Ram,
  type PageTable,
  type PtConfig,
  type PtFormat,
} from '../../pt/index.ts';
import { FaultSwitch } from '../base/fault-switch.ts';
import { must } from '../base/must.ts';

/** A table of a format, its RAM, and what makes that fail. */
export interface PtRig {
  readonly pt: PageTable;
  readonly ram: Ram;
  /** What makes allocations of frames fail. */
  readonly failing: FaultSwitch;
}

/** An empty table in RAM of its own; a configuration the format refuses fails the test. RAM is 4 MiB if not said. */
export function newTable(format: PtFormat, config: PtConfig, ramBytes = 1 << 22): PtRig {
  const failing = new FaultSwitch();
  const ram = new Ram(ramBytes, failing);
  return { ram, failing, pt: must(createPageTable(format, ram, config)) };
}
