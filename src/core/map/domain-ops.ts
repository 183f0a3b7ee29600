/** What a domain can be asked besides mapping (core.md 3.7). */
import { EINVAL, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { IOMMU_DOMAIN_UNMANAGED, type Domain } from '../contract/domain.ts';
import { callDomain, callDomainStatus } from '../contract/driver-call.ts';

/**
 * Make every access coherent, whatever a device asks for. Sticky; false where the driver cannot, or not any more.
 * @kernel enforce_cache_coherency
 */
export function enforceCacheCoherency(domain: Domain): boolean {
  if (!domain.ops.enforceCacheCoherency) return false;
  return callDomain(domain, 'enforce_cache_coherency', () =>
    domain.ops.enforceCacheCoherency!(domain),
  );
}

/**
 * Switch quirks of a page-table format on.
 * Errnos: EINVAL the domain is not UNMANAGED, or its driver has none; driver's.
 * @kernel iommu_set_pgtable_quirks
 */
export function setPgtableQuirks(domain: Domain, quirks: number): Status {
  if (domain.type !== IOMMU_DOMAIN_UNMANAGED) {
    return refuse(EINVAL, 'only an unmanaged domain has quirks to set', { domain: domain.name });
  }
  if (!domain.ops.setPgtableQuirks) {
    return refuse(EINVAL, 'the IOMMU driver has no quirks', { domain: domain.name });
  }
  return callDomainStatus(domain, 'set_pgtable_quirks', () =>
    domain.ops.setPgtableQuirks!(domain, quirks),
  );
}
