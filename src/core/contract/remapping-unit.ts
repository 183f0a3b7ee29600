/**
 * The translating side of an IOMMU: what stands between a device and memory.
 *
 * A driver writes bytes into RAM; its unit reads those bytes. They share nothing else, so that a forgotten
 * invalidation shows as a stale translation. Units are implemented in drivers/, used by machine/.
 */
import type { WalkStep } from '../../pt/page-table.ts';

/** Hardware that translates: what stands between a device and memory. */
export interface RemappingUnit {
  readonly name: string;
  /** Translation granule: 12, or 11 for the mock. */
  readonly granuleLg2: number;
  /**
   * Translate one granule for a request of `requesterId` (bus << 8 | devfn), with `pasid` or -1.
   * Returns the output granule, or -1: blocked, recorded as a fault by the unit.
   */
  translate(requesterId: number, pasid: number, iovaG: number, write: boolean): number;
  /** How an address is translated now, level by level, without touching caches or recording faults. */
  explain(requesterId: number, pasid: number, iova: bigint, write: boolean): Explanation;
}

/** How an address is translated, level by level. */
export interface Explanation {
  /** Device-table steps in order: root entry, context entry, PASID entry… each with its raw words. */
  readonly tables: readonly {
    readonly name: string;
    readonly pa: bigint;
    readonly words: readonly bigint[];
    readonly meaning: string;
  }[];
  readonly walk: readonly WalkStep[];
  /** The address, or why not. */
  readonly pa?: bigint;
  readonly refused?: string;
}
