/**
 * Setting a device up for the DMA API of its default domain (core.md 10.3): the IOVA allocator with its reserved ranges,
 * and the flush queue of DMA_FQ domains. Mapping is in dma-map.ts.
 */
import { EFAULT, EINVAL, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { fromGranules, toGranules, U64_MAX } from '../../base/u64.ts';
import { dmaCookieOf, type DmaIovaCookie } from './cookies.ts';
import { devHasIommu, type Device } from '../contract/device.ts';
import {
  IOMMU_DOMAIN_DMA,
  IOMMU_DOMAIN_DMA_FQ,
  IOMMU_DOMAIN_F_DMA_API,
  type Domain,
} from '../contract/domain.ts';
import { callCapable } from '../contract/driver-call.ts';
import { IOMMU_CAP_DEFERRED_FLUSH } from '../contract/driver.ts';
import { FlushQueue } from './flush-queue.ts';
import { smallestPageLg2 } from '../contract/granule.ts';
import { flushIotlbAll } from '../map/iotlb.ts';
import { IovaDomain } from './iova.ts';
import { IOMMU_RESV_MSI, IOMMU_RESV_SW_MSI } from '../contract/resv-region.ts';
import { getResvRegions } from '../contract/resv-region-list.ts';

/**
 * Point the DMA API of a device at its default domain, if that is of a DMA kind.
 * @kernel iommu_setup_dma_ops
 */
export function setupDmaOps(dev: Device): void {
  const domain = dev.iommuGroup?.defaultDomain;
  if (!domain || !dev.iommu) return;
  if (dev.bus === 'pci') dev.iommu.pci32bitWorkaround = true;
  dev.dmaIommu = (domain.type & IOMMU_DOMAIN_F_DMA_API) !== 0;
  if (!dev.dmaIommu) return;
  const rc = initDomain(domain, dev);
  if (!rc) return;
  dev.core.env.log('warn', `${dev.name}: the DMA API cannot use its IOMMU: ${rc.name}`);
  dev.dmaIommu = false;
}

/**
 * Prepare the allocator for a domain's first device; later devices must agree with it.
 * Errnos: EINVAL no cookie; EFAULT the device cannot reach the aperture, or another granule or start than before.
 * @kernel iommu_dma_init_domain
 */
function initDomain(domain: Domain, dev: Device): Status {
  const cookie = dmaCookieOf(domain);
  if (!cookie) return refuse(EINVAL, 'the domain has no IOVA allocator', { domain: domain.name });
  const { apertureStart, apertureEnd } = domain.geometry;
  const range = dev.config.dmaRange;
  if (range && (range.last < apertureStart || range.start > apertureEnd)) {
    return refuse(EFAULT, "the device's DMA range is outside of the aperture", {
      device: dev.name,
    });
  }
  const lg2 = smallestPageLg2(domain);
  const start = Math.max(1, toGranules(apertureStart, lg2));
  const known = cookie.iovad;
  if (known) {
    if (known.granuleLg2 === lg2 && known.startPfn === start) return undefined;
    return refuse(EFAULT, 'the allocator was made for another granule or start', {
      domain: domain.name,
    });
  }
  cookie.iovad = new IovaDomain(lg2, start);
  if (domain.type === IOMMU_DOMAIN_DMA_FQ && !canDefer(domain, dev)) {
    domain.type = IOMMU_DOMAIN_DMA;
  }
  if (domain.type === IOMMU_DOMAIN_DMA_FQ) startFq(domain, cookie, dev);
  reserveRegions(cookie.iovad, cookie, dev);
  return undefined;
}

/** The generic page table always can; else it is the driver's word. */
function canDefer(domain: Domain, dev: Device): boolean {
  if (domain.pt) return true;
  return devHasIommu(dev) && callCapable(dev.iommu.iommuDev.ops, dev, IOMMU_CAP_DEFERRED_FLUSH);
}

/**
 * Start the flush queue of a domain that was strict so far.
 * Errnos: EINVAL the domain has no IOVA allocator.
 * @kernel iommu_dma_init_fq
 */
export function dmaInitFq(domain: Domain): Status {
  const cookie = dmaCookieOf(domain);
  if (!cookie) return refuse(EINVAL, 'the domain has no IOVA allocator', { domain: domain.name });
  startFq(domain, cookie, undefined);
  return undefined;
}

function startFq(domain: Domain, cookie: DmaIovaCookie, dev: Device | undefined): void {
  cookie.fq ??= new FlushQueue(dev?.iommu?.shadowOnFlush ? 'single' : 'perCpu', {
    clock: domain.core.env.clock,
    flushAll: () => flushIotlbAll(domain),
    freeIova: (pfn, pages) => cookie.iovad?.freeFast(pfn, pages),
    freeTables: (frames) => frames.forEach((frame) => domain.core.ram.free(frame)),
  });
}

/** @kernel iova_reserve_iommu_regions */
function reserveRegions(iovad: IovaDomain, cookie: DmaIovaCookie, dev: Device): void {
  const lg2 = iovad.granuleLg2;
  for (const window of dev.config.hostWindows ?? []) {
    iovad.reserve(toGranules(window.start, lg2), toGranules(window.last, lg2));
  }
  if (dev.config.dmaRange) {
    const { start, last } = dev.config.dmaRange;
    if (start > 0n) iovad.reserve(0, toGranules(start - 1n, lg2));
    if (last < U64_MAX) iovad.reserve(toGranules(last + 1n, lg2), toGranules(U64_MAX, lg2));
  }
  for (const region of getResvRegions(dev)) {
    // Where software MSIs go is chosen by the DMA API itself.
    if (region.type === IOMMU_RESV_SW_MSI) continue;
    const last = region.start + region.length - 1n;
    iovad.reserve(toGranules(region.start, lg2), toGranules(last, lg2));
    if (region.type !== IOMMU_RESV_MSI) continue;
    for (let at = toGranules(region.start, lg2); at <= toGranules(last, lg2); at++) {
      const address = fromGranules(at, lg2);
      cookie.msiPages.push({ phys: address, iova: address });
    }
  }
}
