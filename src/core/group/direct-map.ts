/** The identity mappings firmware asks for: memory a device goes on using whatever the kernel does (core.md 3.6). */
import { EINVAL, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { alignUp, toGranules } from '../../base/u64.ts';
import type { Device } from '../contract/device.ts';
import { IOMMU_DOMAIN_F_DMA_API, type Domain } from '../contract/domain.ts';
import { granuleLg2, smallestPageLg2 } from '../contract/granule.ts';
import { lookupGranule, mapGranules } from '../map/map.ts';
import {
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  type ResvRegion,
} from '../contract/resv-region.ts';
import { getResvRegions } from '../contract/resv-region-list.ts';

/**
 * Map the direct regions of a device into its default domain; every DIRECT one also forbids blocking the device.
 * Errnos: EINVAL a DMA domain without page sizes; those of iommuMap.
 * @kernel iommu_create_device_direct_mappings
 */
export function createDeviceDirectMappings(dev: Device, domain: Domain): Status {
  const isDma = (domain.type & IOMMU_DOMAIN_F_DMA_API) !== 0;
  if (isDma && domain.pgsizeBitmap === 0n) {
    dev.core.env.warnOnce(
      'direct-map-no-pgsize',
      `${domain.name}: a DMA domain without page sizes`,
    );
    return refuse(EINVAL, 'a DMA domain must have page sizes', { domain: domain.name });
  }
  for (const region of getResvRegions(dev)) {
    if (region.type === IOMMU_RESV_DIRECT && dev.iommu) dev.iommu.requireDirect = true;
    if (!isDma || !isDirect(region)) continue;
    const rc = mapMissing(domain, region);
    if (rc) return rc;
  }
  return undefined;
}

function isDirect(region: ResvRegion): boolean {
  return region.type === IOMMU_RESV_DIRECT || region.type === IOMMU_RESV_DIRECT_RELAXABLE;
}

/** Each run of pages that is not mapped yet, in one call. Both ends are rounded up. */
function mapMissing(domain: Domain, region: ResvRegion): Status {
  const pageLg2 = smallestPageLg2(domain);
  const lg2 = granuleLg2(domain);
  const page = 2 ** (pageLg2 - lg2);
  const start = toGranules(alignUp(region.start, pageLg2), lg2);
  const end = toGranules(alignUp(region.start + region.length, pageLg2), lg2);
  let runLength = 0;
  for (let at = start; at <= end; at += page) {
    if (at < end && lookupGranule(domain, at) < 0) {
      runLength += page;
      continue;
    }
    if (runLength === 0) continue;
    const from = at - runLength;
    const run = { iovaG: from, paG: from, lengthG: runLength, prot: region.prot };
    const rc = mapGranules(domain, run);
    if (rc) return rc;
    runLength = 0;
  }
  return undefined;
}
