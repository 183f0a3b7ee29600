/** IOVAs for the DMA API: the policy above the allocator of iova.ts (core.md 10.3). */
import { Bug } from '../../base/bug.ts';
import { fromGranules, toGranules } from '../../base/u64.ts';
import type { Gather } from '../../pt/gather.ts';
import { dmaCookieOf } from './cookies.ts';
import type { Device } from '../contract/device.ts';
import type { Domain } from '../contract/domain.ts';
import type { IovaDomain } from './iova.ts';

/**
 * A range of IOVA for a device, from the top down; below 4 GiB first for PCI devices, until that fails once.
 * Undefined when there is no room.
 * @kernel iommu_dma_alloc_iova
 */
export function allocIova(
  domain: Domain,
  size: bigint,
  limit: bigint,
  dev: Device,
): bigint | undefined {
  const iovad = iovadOf(domain);
  const lg2 = iovad.granuleLg2;
  const pages = toGranules(size, lg2);
  let last = limit;
  const { apertureEnd, forceAperture } = domain.geometry;
  if (forceAperture && apertureEnd < last) last = apertureEnd;
  if (dev.config.busDmaLimit !== undefined && dev.config.busDmaLimit < last) {
    last = dev.config.busDmaLimit;
  }
  if (last > 0xffff_ffffn && dev.iommu?.pci32bitWorkaround) {
    const low = iovad.allocFast(pages, toGranules(0xffff_ffffn, lg2), false);
    if (low >= 0) return fromGranules(low, lg2);
    dev.iommu.pci32bitWorkaround = false;
    dev.core.env.log('info', `${dev.name}: using more than 32 address bits for DMA`);
  }
  const pfn = iovad.allocFast(pages, toGranules(last, lg2), true);
  return pfn < 0 ? undefined : fromGranules(pfn, lg2);
}

/** @kernel iommu_dma_free_iova */
export function freeIova(domain: Domain, iova: bigint, size: bigint, gather?: Gather): void {
  const iovad = iovadOf(domain);
  const pfn = toGranules(iova, iovad.granuleLg2);
  const pages = toGranules(size, iovad.granuleLg2);
  if (!gather?.queued) {
    iovad.freeFast(pfn, pages);
    return;
  }
  const fq = dmaCookieOf(domain)?.fq;
  if (!fq) throw new Bug(`${domain.name}: queued unmap without a flush queue`);
  fq.queue(pfn, pages, gather.freelist.splice(0));
}

export function iovadOf(domain: Domain): IovaDomain {
  const iovad = dmaCookieOf(domain)?.iovad;
  if (!iovad) throw new Bug(`${domain.name}: its IOVA allocator is not ready`);
  return iovad;
}

/** @kernel dma_get_mask */
export function dmaMask(dev: Device): bigint {
  return dev.config.dmaMask ?? 0xffff_ffffn;
}
