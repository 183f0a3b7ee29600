/** A page table and the RAM it lies in. */
import {
  createPageTable,
  Ram,
  type PageTable,
  type PtConfig,
  type PtFormat,
} from '../../pt/index.ts';
import { must } from '../base/must.ts';

/** A table of a format, and its RAM. */
export interface PtRig {
  readonly pt: PageTable;
  readonly ram: Ram;
}

/** An empty table in RAM of its own; a configuration the format refuses fails the test. RAM is 4 MiB if not said. */
export function newTable(format: PtFormat, config: PtConfig, ramBytes = 1 << 22): PtRig {
  const ram = new Ram(ramBytes);
  return { ram, pt: must(createPageTable(format, ram, config)) };
}
