/** Interrupt doorbells behind an IOMMU: the address a device must write to is an IOVA (core.md 3.7). */
import { ENOMEM, EOPNOTSUPP, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { bit } from '../../base/u64.ts';
import { dmaCookieOf, msiCookieOf, type MsiPage } from './cookies.ts';
import type { Device } from '../contract/device.ts';
import {
  IOMMU_DOMAIN_IDENTITY,
  IOMMU_MMIO,
  IOMMU_NOEXEC,
  IOMMU_WRITE,
  type Domain,
} from '../contract/domain.ts';
import { allocIova, dmaMask, freeIova } from './dma-iova.ts';
import { smallestPageLg2 } from '../contract/granule.ts';
import { iommuMap } from '../map/map.ts';

/**
 * The address to program for a message to `msiAddr`: mapped, where the device's domain is translated.
 * Errnos: EOPNOTSUPP the domain has no place for doorbells; ENOMEM no IOVA; those of iommuMap.
 * @kernel iommu_dma_prepare_msi
 */
export function dmaPrepareMsi(dev: Device, msiAddr: bigint): Result<bigint> {
  const group = dev.iommuGroup;
  if (!group) return msiAddr;
  using _ = group.mutex.hold();
  const { domain } = group;
  if (!domain || domain.type === IOMMU_DOMAIN_IDENTITY) return msiAddr;
  if (domain.cookie.kind === 'iommufd' && domain.cookie.mapMsi) {
    return domain.cookie.mapMsi(domain, dev, msiAddr);
  }
  const pages = dmaCookieOf(domain)?.msiPages ?? msiCookieOf(domain)?.msiPages;
  if (!pages) {
    return refuse(EOPNOTSUPP, 'the domain has no place for interrupt doorbells', {
      domain: domain.name,
    });
  }
  const granule = bit(smallestPageLg2(domain));
  const phys = msiAddr & ~(granule - 1n);
  const known = pages.find((page) => page.phys === phys);
  if (known) return known.iova + (msiAddr - phys);
  return mapDoorbell(dev, domain, { phys, granule, pages, msiAddr });
}

interface Doorbell {
  readonly phys: bigint;
  readonly granule: bigint;
  readonly pages: MsiPage[];
  readonly msiAddr: bigint;
}

/** @kernel iommu_dma_get_msi_page */
function mapDoorbell(dev: Device, domain: Domain, bell: Doorbell): Result<bigint> {
  const { phys, granule } = bell;
  const msi = msiCookieOf(domain);
  const iova = msi ? msi.nextIova : allocIova(domain, granule, dmaMask(dev), dev);
  if (iova === undefined) {
    return refuse(ENOMEM, 'no IOVA for an interrupt doorbell', { domain: domain.name });
  }
  const rc = iommuMap(domain, iova, phys, granule, IOMMU_WRITE | IOMMU_NOEXEC | IOMMU_MMIO);
  if (rc) {
    if (!msi) freeIova(domain, iova, granule);
    return rc;
  }
  if (msi) msi.nextIova += granule;
  bell.pages.push({ phys, iova });
  return iova + (bell.msiAddr - phys);
}
