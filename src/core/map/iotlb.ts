/**
 * Telling a domain's IOMMUs to forget translations (core.md 3.5).
 *
 * Ranges are collected in a gather and given to the driver in one sync; tables freed by an unmap go back to RAM
 * only after that.
 */
import type { Status } from '../../base/errno.ts';
import { pow2 } from '../../base/u64.ts';
import {
  freeGathered,
  gatherIsDisjoint,
  gatherRange,
  resetGather,
  type Gather,
} from '../../pt/gather.ts';
import type { Domain } from '../contract/domain.ts';
import { callDomain, callDomainStatus } from '../contract/driver-call.ts';
import { granuleLg2 } from '../contract/granule.ts';

/**
 * Give what was gathered to the driver, free the tables, start anew. Nothing is sent for an empty gather.
 * @kernel iommu_iotlb_sync
 */
export function iotlbSync(domain: Domain, gather: Gather): void {
  if (gather.start <= gather.end && domain.ops.iotlbSync) {
    callDomain(domain, 'iotlb_sync', () => domain.ops.iotlbSync!(domain, gather));
  }
  freeGathered(gather, domain.core.ram);
  resetGather(gather);
}

/** @kernel iommu_flush_iotlb_all */
export function flushIotlbAll(domain: Domain): void {
  if (!domain.ops.flushIotlbAll) return;
  callDomain(domain, 'flush_iotlb_all', () => domain.ops.flushIotlbAll!(domain));
}

/**
 * Add one removed page; what cannot be in one invalidation with it is synced first. For drivers' unmapPages.
 * @kernel iommu_iotlb_gather_add_page
 */
export function gatherPage(domain: Domain, gather: Gather, iovaG: number, pageG: number): void {
  const pgsize = pageG * pow2(granuleLg2(domain));
  const otherSize = gather.pgsize !== 0 && gather.pgsize !== pgsize;
  if (otherSize || gatherIsDisjoint(gather, iovaG, pageG)) iotlbSync(domain, gather);
  gather.pgsize = pgsize;
  gatherRange(gather, iovaG, pageG);
}

/**
 * After a map: for IOMMUs that cache the absence of a translation.
 * Errnos: driver's.
 * @kernel iommu_sync_map
 */
export function syncMap(domain: Domain, iovaG: number, lengthG: number): Status {
  if (!domain.ops.iotlbSyncMap) return undefined;
  return callDomainStatus(domain, 'iotlb_sync_map', () =>
    domain.ops.iotlbSyncMap!(domain, iovaG, lengthG),
  );
}
