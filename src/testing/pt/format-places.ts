/** A page-table configuration under test, and the places of its address space where something may go wrong. */
import type { PtConfig, PtFormat } from '../../pt/index.ts';
import type { Flag, Oracle } from './oracle-walk.ts';
import { newTable, type PtRig } from './rig.ts';

/** One way a driver uses a format. */
export interface FormatCase {
  readonly name: string;
  readonly format: PtFormat;
  readonly oracle: Oracle;
  readonly config: PtConfig;
  /** Page sizes expected, as exponents. */
  readonly sizes: readonly number[];
  /** apertureLast expected, as an exponent. */
  readonly apertureLg2: number;
  /** Accesses that the format cannot express (IOMMU_READ and so on), and refuses. */
  readonly refuses?: (prot: number) => boolean;
}

/** Both page tables and their RAM, or a Bug. */
export function make(c: FormatCase, ramBytes = 1 << 24): PtRig {
  return newTable(c.format, c.config, ramBytes);
}

export function flagsOf(c: FormatCase): ReadonlySet<Flag> {
  const all: readonly Flag[] = ['force-coherent', 'dma-incoherent', 'memory-types'];
  return new Set(all.filter((flag) => c.config.features?.includes(flag)));
}

export const isSigned = (c: FormatCase) => c.config.features?.includes('sign-extend') === true;
/** Input width in use, sign bit included. */
export const widthLg2 = (c: FormatCase) => (isSigned(c) ? c.apertureLg2 + 1 : c.apertureLg2);
/** Last granule a 64-bit address can have. */
export const lastAddressG = (c: FormatCase) => 2 ** (64 - c.format.granuleLg2) - 1;
/** First granule of the upper half of a signed table. */
export const upperStartG = (c: FormatCase) =>
  lastAddressG(c) - 2 ** (c.apertureLg2 - c.format.granuleLg2) + 1;
/** Last granule of the (lower half of the) table. */
export const lastG = (c: FormatCase) => 2 ** (c.apertureLg2 - c.format.granuleLg2) - 1;
