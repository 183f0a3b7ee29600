/**
 * The physical address space of the simulated machine: its RAM (page tables), pinned pages of programs, device BARs.
 *
 * machine/ implements it. A page frame number at or above the RAM belongs to a pinned page or to a BAR.
 */
import type { Status } from './errno.ts';

/** Part of a transfer that is in one place: `length` of its bytes from byte `from` on, in frame `pfn` at `offset` and on. */
export interface MemoryRun {
  readonly pfn: number;
  readonly offset: number;
  readonly from: number;
  readonly length: number;
}

/** Memory by page frame number: bytes, and pins. */
export interface PhysicalMemory {
  /** Read from frame `pfn` at byte `offset` (< 4096) on; may run on into the next frames. EFAULT: nothing there. */
  read(pfn: number, offset: number, into: Uint8Array): Status<'EFAULT'>;
  write(pfn: number, offset: number, from: Uint8Array): Status<'EFAULT'>;
  /**
   * As many of the runs, from `first` on and in their order, as can be moved in one step; the result is how many have moved. What
   * comes next is to be moved by itself. `from` of a run counts in `bytes`, where runs follow one another.
   */
  moveRuns?(runs: readonly MemoryRun[], first: number, bytes: Uint8Array, write: boolean): number;
  /** Take another pin on frames that are pinned already. */
  addPin(pfn: number, count: number): void;
  /** Drop one pin of each of `count` frames from `pfn` on; the last one lets the page go. */
  unpin(pfn: number, count: number, dirty: boolean): void;
  /** Pins on a frame now, by everybody; 0 for a frame that is not pinned. */
  pins(pfn: number): number;
  /** True for a page of a huge page (hugetlb, THP): IOMMU_TEST_OP_MD_CHECK_REFS passes over these. */
  isCompound(pfn: number): boolean;
  /** Do registers of a device answer there? Absent: never. */
  isRegisters?(pfn: number): boolean;
}
