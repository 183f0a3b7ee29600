/** Invalidations collected over several unmaps (core.md 3.5). Ranges are granules of the domain's table, last inclusive. */
export interface Gather {
  /** First granule to invalidate; Infinity when nothing was gathered. */
  start: number;
  /** Last granule, inclusive. */
  end: number;
  /** Page size in bytes of what was removed, when one size was; 0 otherwise. */
  pgsize: number;
  /** A later flush of everything replaces the sync (flush-queue mode). */
  queued: boolean;
  /** Table frames to free after the sync. */
  freelist: number[];
}

export function newGather(queued = false): Gather {
  return { start: Infinity, end: 0, pgsize: 0, queued, freelist: [] };
}

export function gatherRange(gather: Gather, startG: number, lengthG: number): void {
  if (startG < gather.start) gather.start = startG;
  const last = startG + lengthG - 1;
  if (last > gather.end) gather.end = last;
}

export function resetGather(gather: Gather): void {
  gather.start = Infinity;
  gather.end = 0;
  gather.pgsize = 0;
  gather.freelist.length = 0;
}
