/** Reserved regions of a device (core.md 3.6). */
export const IOMMU_RESV_DIRECT = 0;
export const IOMMU_RESV_DIRECT_RELAXABLE = 1;
export const IOMMU_RESV_RESERVED = 2;
export const IOMMU_RESV_MSI = 3;
export const IOMMU_RESV_SW_MSI = 4;

export interface ResvRegion {
  readonly start: bigint;
  readonly length: bigint;
  /** IOMMU_READ and friends. */
  readonly prot: number;
  readonly type: number;
}
