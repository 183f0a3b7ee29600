/**
 * Who may drive the DMA of a group: kernel drivers on the default domain, or one user owner (core.md 2.6).
 *
 * The count is of kernel drivers while there is no owner, and of devices claimed while there is one.
 */
import { EBUSY, EINVAL, ENODEV, EPERM, EPROBE_DEFER, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { groupAllocBlockingDomain } from './blocking-domain.ts';
import type { Device } from '../contract/device.ts';
import type { IommuGroup } from '../contract/group.ts';
import type { IommuCore } from '../contract/iommu-core.ts';
import { groupSetDomain, groupSetDomainNofail } from '../attach/set-domain.ts';

/**
 * A kernel driver is about to be bound.
 * Errnos: EPROBE_DEFER there is no default domain yet; EBUSY a user owns the group.
 * @kernel iommu_device_use_default_domain
 */
export function deviceUseDefaultDomain(dev: Device): Status {
  const group = dev.iommuGroup;
  if (!group) return undefined;
  using _ = group.mutex.hold();
  if (!group.defaultDomain) {
    return refuse(EPROBE_DEFER, 'the group has no default domain', { group: group.id });
  }
  if (group.ownerCnt > 0 && !isFreeForDrivers(group)) {
    return refuse(EBUSY, 'the group is used from user space', { group: group.id });
  }
  group.ownerCnt++;
  return undefined;
}

function isFreeForDrivers(group: IommuGroup): boolean {
  return (
    group.domain === group.defaultDomain && group.owner === undefined && group.pasidArray.size === 0
  );
}

/** @kernel iommu_device_unuse_default_domain */
export function deviceUnuseDefaultDomain(dev: Device): void {
  const group = dev.iommuGroup;
  if (!group) return;
  using _ = group.mutex.hold();
  if (group.ownerCnt === 0 || group.pasidArray.size > 0) {
    warnUnowned(group);
    return;
  }
  group.ownerCnt--;
}

/**
 * Claim the whole group for a user.
 * Errnos: EINVAL no owner; EPERM it has one, or a kernel driver; EBUSY domain or PASIDs in use, or a reset; those of
 * the blocking domain and its attach.
 * @kernel iommu_group_claim_dma_owner
 */
export function groupClaimDmaOwner(group: IommuGroup, owner: object | undefined): Status {
  if (!owner) return refuseNullOwner(group.core);
  using _ = group.mutex.hold();
  if (group.ownerCnt > 0) {
    return refuse(EPERM, 'the group has an owner or is used by kernel drivers', {
      group: group.id,
    });
  }
  return takeOwnership(group, owner);
}

/**
 * Claim one device for a user; further devices of the group for the same owner are counted.
 * Errnos: EINVAL no owner; ENODEV no group; EPERM another owner or kernel drivers; those of groupClaimDmaOwner.
 * @kernel iommu_device_claim_dma_owner
 */
export function deviceClaimDmaOwner(dev: Device, owner: object | undefined): Status {
  if (!owner) return refuseNullOwner(dev.core);
  const group = dev.iommuGroup;
  if (!group) return refuse(ENODEV, 'the device is in no group', { device: dev.name });
  using _ = group.mutex.hold();
  if (group.ownerCnt === 0) return takeOwnership(group, owner);
  if (group.owner !== owner) {
    return refuse(EPERM, 'the group has another owner or is used by kernel drivers', {
      group: group.id,
    });
  }
  group.ownerCnt++;
  return undefined;
}

/** @kernel iommu_group_release_dma_owner */
export function groupReleaseDmaOwner(group: IommuGroup): void {
  using _ = group.mutex.hold();
  dropOwnership(group);
}

/** @kernel iommu_device_release_dma_owner */
export function deviceReleaseDmaOwner(dev: Device): void {
  const group = dev.iommuGroup;
  if (!group) return;
  using _ = group.mutex.hold();
  if (group.ownerCnt > 1) group.ownerCnt--;
  else dropOwnership(group);
}

/**
 * True for bound kernel drivers, too.
 * @kernel iommu_group_dma_owner_claimed
 */
export function groupDmaOwnerClaimed(group: IommuGroup): boolean {
  return group.ownerCnt !== 0;
}

function takeOwnership(group: IommuGroup, owner: object): Status {
  if ((group.domain && group.domain !== group.defaultDomain) || group.pasidArray.size > 0) {
    return refuse(EBUSY, 'the group is attached to a domain or PASIDs are in use', {
      group: group.id,
    });
  }
  const rc = groupAllocBlockingDomain(group) ?? groupSetDomain(group, group.blockingDomain);
  if (rc) return rc;
  group.owner = owner;
  group.ownerCnt = 1;
  return undefined;
}

function dropOwnership(group: IommuGroup): void {
  if (group.ownerCnt === 0 || group.owner === undefined || group.pasidArray.size > 0) {
    warnUnowned(group);
    return;
  }
  group.ownerCnt = 0;
  group.owner = undefined;
  void groupSetDomainNofail(group, group.defaultDomain);
}

function refuseNullOwner(core: IommuCore): Status {
  core.env.warn('owner-null', 'a group was claimed for nobody');
  return refuse(EINVAL, 'an owner is required');
}

function warnUnowned(group: IommuGroup): void {
  group.core.env.warn(
    'release-unowned',
    `group ${String(group.id)}: released while not owned or with PASIDs in use`,
  );
}
