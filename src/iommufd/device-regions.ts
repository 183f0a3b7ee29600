/** Reserved regions of a device in the IOAS it is attached to (iommufd.md 4.6). */
import { EINVAL, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import {
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_SW_MSI,
} from '../core/contract/resv-region.ts';
import { getResvRegions } from '../core/contract/resv-region-list.ts';
import type { Igroup, IommufdDevice } from './device-object.ts';
import type { IoPagetable } from './io-pagetable/io-pagetable.ts';

/**
 * Reserve them with the device as owner, all or none.
 * Errnos: EADDRINUSE a mapping or allowed range is there; EINVAL windows for MSIs contradict each other.
 * @kernel iopt_table_enforce_dev_resv_regions
 */
export function reserveDeviceRegions(
  iopt: IoPagetable,
  idev: IommufdDevice,
  igroup: Igroup,
): Status {
  if (idev.ctx.subsystem.env.fails('reserved-regions')) {
    return refuse(EINVAL, 'the reserved regions were made to fail', { device: idev.dev.name });
  }
  const regions = getResvRegions(idev.dev).filter((r) => r.type !== IOMMU_RESV_DIRECT_RELAXABLE);
  for (const { start, length } of regions) {
    const rc = iopt.reserveIova({ start, last: start + length - 1n }, idev);
    if (!rc) continue;
    iopt.rules.unreserve(idev);
    return rc;
  }
  const windows = regions.filter((r) => r.type === IOMMU_RESV_SW_MSI);
  const hasHardwareMsi = regions.some((r) => r.type === IOMMU_RESV_MSI);
  if (windows.length > 1 || (windows.length === 1 && hasHardwareMsi)) {
    iopt.rules.unreserve(idev);
    return refuse(EINVAL, 'the device has contradicting windows for MSIs', {
      device: idev.dev.name,
    });
  }
  if (windows[0]) igroup.swMsiStart = windows[0].start;
  return undefined;
}
