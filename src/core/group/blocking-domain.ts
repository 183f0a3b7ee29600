/** The domain that stops all DMA of a group: made when first needed, kept until the group is empty (core.md 2.6). */
import { ENODEV, isErrno, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { devHasIommu } from '../contract/device.ts';
import { pagingDomainAlloc } from '../map/domain-alloc.ts';
import type { IommuGroup } from '../contract/group.ts';

/**
 * The static blocked domain of the driver, or an empty paging domain.
 * Errnos: ENODEV the group has no device with an IOMMU; those of the allocation.
 * @kernel __iommu_group_alloc_blocking_domain
 */
export function groupAllocBlockingDomain(group: IommuGroup): Status {
  group.mutex.assertHeld();
  if (group.blockingDomain) return undefined;
  const first = group.devices[0]?.dev;
  if (!first || !devHasIommu(first)) {
    return refuse(ENODEV, 'no IOMMU can block the devices of the group', { group: group.id });
  }
  const blocked = first.iommu.iommuDev.ops.blockedDomain ?? pagingDomainAlloc(first);
  if (isErrno(blocked)) return blocked;
  group.blockingDomain = blocked;
  return undefined;
}
