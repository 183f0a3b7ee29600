/** Mappings of a type1 container go, one or all (vfio.md 1.10, 1.14). */
import { dropDevicePins } from './device-pins.ts';
import type { Dma } from './dma.ts';
import { unmapFromDomain, unpinDma } from './pin.ts';
import type { Type1Iommu } from './state.ts';

/** Unmap, unpin and forget one mapping. @kernel vfio_remove_dma */
export function removeDma(iommu: Type1Iommu, dma: Dma): void {
  if (dma.iommuMapped) {
    for (const { domain } of iommu.domains) unmapFromDomain(domain, dma);
  }
  unpinDma(iommu.world.memory, dma);
  dropDevicePins(iommu, dma);
  iommu.dmas.remove(dma);
  if (dma.vaddrInvalid) iommu.vaddrInvalidCount--;
  iommu.available++;
}
/** @kernel vfio_iommu_unmap_unpin_all */
export function removeAllDmas(iommu: Type1Iommu): void {
  for (const dma of [...iommu.dmas]) removeDma(iommu, dma);
}
