/** The text of a group's files in /sys/kernel/iommu_groups/N, and what writing `type` does (core.md 2.4). */
import { CAP_SYS_ADMIN, CAP_SYS_RAWIO } from '../../base/task.ts';
import { EACCES, EINVAL, EPERM, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { setupDefaultDomain } from './default-domain.ts';
import { dmaInitFq, setupDmaOps } from '../dma/dma-iommu.ts';
import {
  IOMMU_DOMAIN_BLOCKED,
  IOMMU_DOMAIN_DMA,
  IOMMU_DOMAIN_DMA_FQ,
  IOMMU_DOMAIN_IDENTITY,
  IOMMU_DOMAIN_UNMANAGED,
} from '../contract/domain.ts';
import type { IommuGroup } from '../contract/group.ts';
import {
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_RESERVED,
  IOMMU_RESV_SW_MSI,
} from '../contract/resv-region.ts';
import { getGroupResvRegions } from '../contract/resv-region-list.ts';

const TYPE_WORDS = new Map<number, string>([
  [IOMMU_DOMAIN_BLOCKED, 'blocked'],
  [IOMMU_DOMAIN_IDENTITY, 'identity'],
  [IOMMU_DOMAIN_UNMANAGED, 'unmanaged'],
  [IOMMU_DOMAIN_DMA, 'DMA'],
  [IOMMU_DOMAIN_DMA_FQ, 'DMA-FQ'],
]);

const WRITABLE_TYPES = new Map<string, number>([
  ['identity', IOMMU_DOMAIN_IDENTITY],
  ['DMA', IOMMU_DOMAIN_DMA],
  ['DMA-FQ', IOMMU_DOMAIN_DMA_FQ],
  ['auto', 0],
]);

const REGION_WORDS = new Map<number, string>([
  [IOMMU_RESV_DIRECT, 'direct'],
  [IOMMU_RESV_DIRECT_RELAXABLE, 'direct-relaxable'],
  [IOMMU_RESV_RESERVED, 'reserved'],
  [IOMMU_RESV_MSI, 'msi'],
  [IOMMU_RESV_SW_MSI, 'msi'],
]);

/** As `reserved_regions` calls a type of region. */
export function resvRegionWord(type: number): string {
  return REGION_WORDS.get(type) ?? 'unknown';
}

/**
 * `type`: of the default domain, not of what the group is on now.
 * @kernel iommu_group_show_type
 */
export function groupTypeShow(group: IommuGroup): string {
  const type = group.defaultDomain?.type;
  return `${(type !== undefined && TYPE_WORDS.get(type)) || 'unknown'}\n`;
}

/** `name`; there is no such file for a group without one. */
export function groupNameShow(group: IommuGroup): string | undefined {
  return group.name === undefined ? undefined : `${group.name}\n`;
}

/**
 * `reserved_regions`.
 * @kernel iommu_group_show_resv_regions
 */
export function groupReservedRegionsShow(group: IommuGroup): string {
  const regions = getGroupResvRegions(group);
  const lines = regions.map(
    ({ start, length, type }) =>
      `${hex16(start)} ${hex16(start + length - 1n)} ${resvRegionWord(type)}\n`,
  );
  return lines.join('');
}

function hex16(value: bigint): string {
  return `0x${value.toString(16).padStart(16, '0')}`;
}

/**
 * Write `type`: the number of characters taken.
 * Errnos: EACCES capabilities; EINVAL no default domain, or another word; EPERM no devices, or drivers are bound;
 * ENOMEM no flush queue; those of setupDefaultDomain.
 * @kernel iommu_group_store_type
 */
export function groupTypeStore(
  group: IommuGroup,
  text: string,
  capable: (cap: number) => boolean,
): Result<number> {
  if (!capable(CAP_SYS_ADMIN) || !capable(CAP_SYS_RAWIO)) {
    return refuse(EACCES, 'changing a default domain takes CAP_SYS_ADMIN and CAP_SYS_RAWIO');
  }
  if (!group.defaultDomain) {
    return refuse(EINVAL, 'the group has no default domain to change', { group: group.id });
  }
  const word = text.replace(/\n$/, '');
  const type = WRITABLE_TYPES.get(word);
  if (type === undefined) {
    return refuse(EINVAL, 'not a type: identity, DMA, DMA-FQ or auto', { word });
  }
  return changeType(group, type) ?? text.length;
}

function changeType(group: IommuGroup, type: number): Status {
  using _ = group.mutex.hold();
  const domain = group.defaultDomain;
  if (domain?.type === IOMMU_DOMAIN_DMA && type === IOMMU_DOMAIN_DMA_FQ) {
    const rc = dmaInitFq(domain);
    if (rc) return rc;
    domain.type = IOMMU_DOMAIN_DMA_FQ;
    return undefined;
  }
  if (group.devices.length === 0 || group.ownerCnt !== 0) {
    return refuse(EPERM, 'the default domain changes only while no driver is bound', {
      group: group.id,
    });
  }
  const rc = setupDefaultDomain(group, type);
  if (rc) return rc;
  for (const member of group.devices) setupDmaOps(member.dev);
  return undefined;
}
