/** Invalidations collected over several unmaps (core.md 3.5). Ranges are granules of the domain's table, last inclusive. */
import type { Ram } from './ram.ts';

/** What was unmapped and must be forgotten by the hardware. @kernel iommu_iotlb_gather */
export interface Gather {
  /** First granule to invalidate; Infinity when nothing was gathered. */
  start: number;
  /** Last granule, inclusive. */
  end: number;
  /** Page size in bytes of what was removed, when one size was; 0 otherwise. */
  pgsize: number;
  /** Bit n: leaves were removed, or tables freed, at level n. Only of formats with detailed gathers. */
  leafLevels: number;
  tableLevels: number;
  /** A later flush of everything replaces the sync (flush-queue mode). */
  queued: boolean;
  /** Table frames to free after the sync. */
  freelist: number[];
}

/** An empty one. @kernel iommu_iotlb_gather_init */
export function newGather(queued = false): Gather {
  return {
    start: Infinity,
    end: 0,
    pgsize: 0,
    leafLevels: 0,
    tableLevels: 0,
    queued,
    freelist: [],
  };
}

/** @kernel iommu_iotlb_gather_add_range */
export function gatherRange(gather: Gather, startG: number, lengthG: number): void {
  if (startG < gather.start) gather.start = startG;
  const last = startG + lengthG - 1;
  if (last > gather.end) gather.end = last;
}

/**
 * Is there a gap between what was gathered and this range?
 * @kernel iommu_iotlb_gather_is_disjoint
 */
export function gatherIsDisjoint(gather: Gather, startG: number, lengthG: number): boolean {
  return gather.end !== 0 && (startG + lengthG < gather.start || startG > gather.end + 1);
}

/** Empty it again. Frames still on the freelist must have been freed. */
export function resetGather(gather: Gather): void {
  gather.start = Infinity;
  gather.end = 0;
  gather.pgsize = 0;
  gather.leafLevels = 0;
  gather.tableLevels = 0;
  if (gather.freelist.length > 0) gather.freelist.length = 0;
}

/**
 * Give the tables of a gather back to RAM: after the sync, never before.
 * @kernel iommu_put_pages_list
 */
export function freeGathered(gather: Gather, ram: Ram): void {
  if (gather.freelist.length === 0) return;
  for (const frame of gather.freelist) ram.free(frame);
  gather.freelist.length = 0;
}
