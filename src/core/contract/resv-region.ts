/**
 * A reserved region: addresses a device's mappings must keep clear of, or must have (core.md 3.6). What a driver says of
 * them is asked in resv-region-list.ts.
 */
export const IOMMU_RESV_DIRECT = 0;
export const IOMMU_RESV_DIRECT_RELAXABLE = 1;
export const IOMMU_RESV_RESERVED = 2;
export const IOMMU_RESV_MSI = 3;
export const IOMMU_RESV_SW_MSI = 4;

/** A range of IOVAs with a fate of its own. @kernel iommu_resv_region */
export interface ResvRegion {
  readonly start: bigint;
  readonly length: bigint;
  /** IOMMU_READ and friends. */
  readonly prot: number;
  readonly type: number;
}
