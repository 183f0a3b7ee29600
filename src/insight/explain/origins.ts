/** Where mappings come from. To know it each call that maps is looked at, so a run keeps it when it is asked to explain itself. */
import type { FailedCall } from './trouble.ts';

/** What is asked of whoever keeps it. */
export interface MappingOrigins {
  /** 'mapped by VFIO_IOMMU_MAP_DMA of process 12, at main, a.c:7': what the range of this call meets. Undefined: nothing known. */
  metBy(call: FailedCall): string | undefined;
}
