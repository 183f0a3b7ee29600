/**
 * Attach, detach and replace what a group's requests without a PASID are translated by (core.md 4.2).
 *
 * Every result of a driver is passed on unchanged, after rollback: EINVAL may be soft, see errno-contract.ts.
 */
import { EBUSY, EINVAL, ENODEV, ENOENT, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Device } from '../contract/device.ts';
import type { AttachHandle, Domain } from '../contract/domain.ts';
import type { IommuGroup } from '../contract/group.ts';
import {
  attachGroupLocked,
  attachOneDevice,
  coreDomain,
  findMember,
  groupSetDomain,
  groupSetDomainNofail,
  isReplaceable,
  refuseSplitMember,
} from './set-domain.ts';
import { testDevice } from './test-dev.ts';

/** Requests without a PASID: the index of the RID's attach in a group's PASID array, RID_PASID of a context entry. */
export const IOMMU_NO_PASID = 0;

/**
 * Attach a domain to the only device of a group.
 * Errnos: ENODEV no group; EINVAL not the only one, no IOMMU, other driver, or soft from the driver; EBUSY; driver's.
 * @kernel iommu_attach_device
 */
export function attachDevice(domain: Domain, dev: Device): Status {
  const group = dev.iommuGroup;
  if (!group) return refuse(ENODEV, 'the device is in no group', { device: dev.name });
  using _ = group.mutex.hold();
  if (group.devices.length !== 1) {
    return refuse(EINVAL, 'the group has more devices than this one: attach the group', {
      group: group.id,
      devices: group.devices.length,
    });
  }
  return attachGroupLocked(domain, group);
}

/**
 * Undo attachDevice.
 * @kernel iommu_detach_device
 */
export function detachDevice(domain: Domain, dev: Device): void {
  const group = dev.iommuGroup;
  if (!group) return;
  using _ = group.mutex.hold();
  if (domain !== group.domain || group.devices.length !== 1) {
    dev.core.env.warn('detach-mismatch', `${dev.name}: detach of what is not attached`);
    return;
  }
  void groupSetDomainNofail(group, coreDomain(group));
}

/**
 * Attach a domain to all devices of a group.
 * Errnos: EBUSY attached already, or a reset; EINVAL no IOMMU, other driver, or soft from the driver; driver's.
 * @kernel iommu_attach_group
 */
export function attachGroup(domain: Domain, group: IommuGroup): Status {
  using _ = group.mutex.hold();
  return attachGroupLocked(domain, group);
}

/**
 * Give the group back to the core. The domain is not compared.
 * @kernel iommu_detach_group
 */
export function detachGroup(_domain: Domain, group: IommuGroup): void {
  using _ = group.mutex.hold();
  void groupSetDomainNofail(group, coreDomain(group));
}

/**
 * Attach with a handle, by which faults find their way.
 * Errnos: EINVAL no handle; EBUSY there is a handle; those of attachGroup.
 * @kernel iommu_attach_group_handle
 */
export function attachGroupHandle(
  domain: Domain,
  group: IommuGroup,
  handle: AttachHandle | undefined,
): Status {
  if (!handle) return refuse(EINVAL, 'an attach handle is required', { group: group.id });
  handle.domain = domain;
  using _ = group.mutex.hold();
  if (group.pasidArray.has(IOMMU_NO_PASID)) {
    return refuse(EBUSY, 'the group has an attach handle already', { group: group.id });
  }
  const rc = attachGroupLocked(domain, group);
  if (rc) return rc;
  group.pasidArray.set(IOMMU_NO_PASID, { domain, handle });
  return undefined;
}

/**
 * Undo attachGroupHandle.
 * @kernel iommu_detach_group_handle
 */
export function detachGroupHandle(_domain: Domain, group: IommuGroup): void {
  using _ = group.mutex.hold();
  void groupSetDomainNofail(group, coreDomain(group));
  group.pasidArray.delete(IOMMU_NO_PASID);
}

/**
 * Swap the domain without a moment in between; the old one stays on an error.
 * Errnos: EINVAL no domain, no handle, or refused; EPERM a member is split into aux domains; EBUSY a reset; driver's.
 * @kernel iommu_replace_group_handle
 */
export function replaceGroupHandle(
  group: IommuGroup,
  domain: Domain | undefined,
  handle: AttachHandle | undefined,
): Status {
  if (!domain || !handle) {
    return refuse(EINVAL, 'a domain and an attach handle are required', { group: group.id });
  }
  // The kernel sets it before it knows: a failed replace has changed the handle.
  handle.domain = domain;
  using _ = group.mutex.hold();
  if (!isReplaceable(group, domain)) {
    return refuse(EINVAL, 'the domain was made by another IOMMU driver', { domain: domain.name });
  }
  const rc = refuseSplitMember(group, domain) ?? groupSetDomain(group, domain);
  if (rc) return rc;
  group.pasidArray.set(IOMMU_NO_PASID, { domain, handle });
  return undefined;
}

/**
 * The handle somebody attached with.
 * Errnos: ENOENT nothing there, or attached without a handle; EBUSY its domain is of another type than asked for.
 * @kernel iommu_attach_handle_get
 */
export function attachHandleGet(
  group: IommuGroup,
  pasid: number,
  type: number,
): Result<AttachHandle, 'ENOENT' | 'EBUSY'> {
  const handle = group.pasidArray.get(pasid)?.handle;
  if (!handle) return refuse(ENOENT, 'nothing with a handle is attached', { pasid });
  if (type !== 0 && handle.domain?.type !== type) {
    return refuse(EBUSY, 'what is attached is a domain of another type', { pasid, type });
  }
  return handle;
}

/**
 * What the device is attached to. Must not be called under the group mutex.
 * @kernel iommu_get_domain_for_dev
 */
export function getDomainForDev(dev: Device): Domain | undefined {
  const group = dev.iommuGroup;
  if (!group) return undefined;
  using _ = group.mutex.hold();
  return group.domain;
}

/**
 * The same for a driver inside a callback: a device blocked by a reset is on the blocking domain.
 * @kernel iommu_driver_get_domain_for_dev
 */
export function driverGetDomainForDev(dev: Device): Domain | undefined {
  const group = dev.iommuGroup;
  if (!group) return undefined;
  group.mutex.assertHeld();
  const member = findMember(group, dev);
  if (!member) {
    dev.core.env.warn('member-missing', `${dev.name}: not in its own group`);
    return undefined;
  }
  return member.blocked ? group.blockingDomain : group.domain;
}

/**
 * The domain of the DMA API.
 * @kernel iommu_get_dma_domain
 */
export function getDmaDomain(dev: Device): Domain | undefined {
  return dev.iommuGroup?.defaultDomain;
}

/**
 * Do the attach that was put off to the first mapping.
 * Errnos: EBUSY blocked by a reset; ENODEV not in its group; driver's.
 * @kernel iommu_deferred_attach
 */
export function deferredAttach(dev: Device, domain: Domain): Status {
  if (!dev.iommu?.attachDeferred) return undefined;
  const group = dev.iommuGroup;
  if (!group) return refuse(ENODEV, 'the device is in no group', { device: dev.name });
  using _ = group.mutex.hold();
  const member = findMember(group, dev);
  if (!member) {
    dev.core.env.warn('member-missing', `${dev.name}: not in its own group`);
    return refuse(ENODEV, 'the device is not in its own group', { device: dev.name });
  }
  if (member.blocked) {
    return refuse(EBUSY, 'the device is being reset', { device: dev.name });
  }
  if (dev.core.env.has('test-dev')) {
    const unfit = testDevice(domain, dev, IOMMU_NO_PASID, undefined);
    if (unfit) return unfit;
  }
  return attachOneDevice(domain, dev, undefined);
}
