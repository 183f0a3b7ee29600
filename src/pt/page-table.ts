/**
 * What every page table offers, whatever its format (core.md 3.8). Made by createPageTable().
 *
 * Addresses on this interface are granule numbers: address >> granuleLg2 as a double, exact because a granule is
 * 2 KiB at least. `start + length` style ranges; lengths in granules.
 */
import type { Result, Status } from '../base/errno.ts';
import type { Gather } from './gather.ts';

/** Protection bits of core.md 3.4. */
export const IOMMU_READ = 1;
export const IOMMU_WRITE = 2;
export const IOMMU_CACHE = 4;
export const IOMMU_NOEXEC = 8;
export const IOMMU_MMIO = 16;
export const IOMMU_PRIV = 32;

/** Reported by readDirty for each dirty leaf: from its own start, whole. */
export type DirtySink = (startG: number, lengthG: number) => void;

/** One entry met by a walk, for dumps and explanations. */
export interface WalkStep {
  readonly level: number;
  /** Physical byte address of the entry. */
  readonly entryPa: bigint;
  readonly index: number;
  /** The raw entry. */
  readonly entry: bigint;
  readonly kind: 'empty' | 'table' | 'leaf';
  /** Table or page the entry points to. */
  readonly pa?: bigint;
  /** Leaf only. */
  readonly sizeLg2?: number;
  readonly prot?: number;
}

/** A page table in RAM, and what can be done with it. */
export interface PageTable {
  readonly formatName: string;
  readonly granuleLg2: number;
  /** Bit n: leaves of 2^n bytes may be used. A driver may reduce it after creation. */
  pgsizeBitmap: bigint;
  /** Inclusive. */
  readonly apertureStart: bigint;
  readonly apertureLast: bigint;
  readonly signExtend: boolean;
  /** False for a format without a dirty bit. */
  readonly canDirty: boolean;
  /** Frame number (4 KiB) of the top table, and its level: what a driver puts into its device table. */
  readonly topPfn: number;
  readonly topLevel: number;

  /**
   * Checks and errnos in the order of core.md 3.8. `mapped` afterwards tells the granules installed, also on error;
   * the caller (the core) removes exactly those.
   */
  map(iovaG: number, paG: number, lengthG: number, prot: number): Status;
  readonly mapped: number;
  /** Returns granules removed; never splits; fills the gather when one is given. */
  unmap(iovaG: number, lengthG: number, gather: Gather | undefined): number;
  /** Output granule, or -1. One word read per level, no side effect. */
  lookup(iovaG: number): number;
  /** Any byte; 0n where nothing is mapped. */
  iovaToPhys(iova: bigint): bigint;
  /** Report and, unless told otherwise, clear the dirty pages of a range. */
  readDirty(
    iovaG: number,
    lengthG: number,
    noClear: boolean,
    gather: Gather | undefined,
    sink: DirtySink,
  ): Status;
  /** Set the dirty bit(s) of the leaf at iovaG as hardware would; false where nothing is mapped. */
  markDirty(iovaG: number): boolean;
  /** The entries on the way to an address. */
  walk(iova: bigint): Result<WalkStep[], 'ERANGE'>;
  /** Make every leaf from now on force-coherent (SNP, FC). EOPNOTSUPP: the format cannot. */
  addFeature(feature: 'force-coherent'): Status;
  /** Frames of RAM in use by tables; those on a freelist no longer count. */
  readonly frames: number;
  /** Free every table. */
  destroy(): void;
}
