/**
 * The building blocks of every RID attach: one device, then a whole group with rollback (core.md 4.1).
 *
 * With the trait 'test-dev' (6.2) every member is tested before the first of them is attached; in a set that
 * must succeed nothing is tested, because a refusal would leave the group on a domain about to be freed (6.4).
 */
import { EBUSY, EINVAL, ENODEV, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { refuseWholeDevice } from './aux-feature.ts';
import { devHasIommu, type Device } from '../contract/device.ts';
import { IOMMU_DOMAIN_BLOCKED, type Domain } from '../contract/domain.ts';
import { callAttachDev } from '../contract/driver-call.ts';
import type { GroupDevice, IommuGroup } from '../contract/group.ts';
import { isOwnerCompatible, testDevice } from './test-dev.ts';

/** What a group goes back to when a user lets go: the blocking domain while it is owned, else the default one. */
export function coreDomain(group: IommuGroup): Domain | undefined {
  return group.owner !== undefined ? group.blockingDomain : group.defaultDomain;
}

/** The domain is one of those the core itself puts a group on. */
export function isCoreDomain(group: IommuGroup, domain: Domain): boolean {
  return domain === group.defaultDomain || domain === group.blockingDomain;
}

/**
 * May a replace put this domain there? The kernel leaves the owner to its caller; here a driver never sees a domain
 * of another one, with test-dev or without.
 */
export function isReplaceable(group: IommuGroup, domain: Domain): boolean {
  const first = group.devices[0]?.dev;
  if (!first || group.core.env.has('test-dev') || isCoreDomain(group, domain)) return true;
  return isOwnerCompatible(first, domain);
}

export function findMember(group: IommuGroup, dev: Device): GroupDevice | undefined {
  return group.devices.find((member) => member.dev === dev);
}

/**
 * Attach one device, without any rule but that the domain can.
 * @kernel __iommu_attach_device
 */
export function attachOneDevice(domain: Domain, dev: Device, old: Domain | undefined): Status {
  if (!domain.ops.attachDev) {
    return refuse(ENODEV, 'the domain cannot be attached to anything', { domain: domain.name });
  }
  const rc = callAttachDev(domain, dev, old);
  if (rc) return rc;
  if (dev.iommu) dev.iommu.attachDeferred = false;
  return undefined;
}

/** Would this domain stop the DMA that the firmware says must go on? */
export function blocksDirectDma(group: IommuGroup, dev: Device, domain: Domain): boolean {
  if (!dev.iommu?.requireDirect) return false;
  return domain.type === IOMMU_DOMAIN_BLOCKED || domain === group.blockingDomain;
}

interface SetFlags {
  /** Go on after a failure: the caller cannot undo what led here. */
  readonly mustSucceed: boolean;
}

/**
 * Put one member on a domain.
 * @kernel __iommu_device_set_domain
 */
export function deviceSetDomain(
  group: IommuGroup,
  dev: Device,
  domain: Domain,
  old: Domain | undefined,
  flags: SetFlags,
): Status {
  if (blocksDirectDma(group, dev, domain)) {
    dev.core.env.warn(
      'require-direct',
      `${dev.name}: the firmware wants direct mappings, and the domain would have none`,
    );
    return refuse(
      EINVAL,
      'the firmware wants direct mappings for the device, so it cannot be blocked',
      {
        device: dev.name,
      },
    );
  }
  if (dev.iommu?.attachDeferred) {
    if (domain === group.defaultDomain) return undefined;
    dev.iommu.attachDeferred = false;
  }
  const rc = attachOneDevice(domain, dev, old);
  if (rc && flags.mustSucceed && group.blockingDomain && group.blockingDomain !== domain) {
    // The result does not matter: there is nothing safer left to try.
    void attachOneDevice(group.blockingDomain, dev, old);
  }
  return rc;
}

/**
 * Put every member on a domain, or none of them.
 * Errnos: EINVAL no domain, or a member refused; EBUSY a member is being reset; others from the driver.
 * @kernel __iommu_group_set_domain
 */
export function groupSetDomain(group: IommuGroup, domain: Domain | undefined): Status {
  group.mutex.assertHeld();
  if (domain !== undefined && group.domain === domain) return undefined;
  if (domain === undefined) return refuseNullDomain(group);
  if (group.recoveryCnt > 0) {
    return refuse(EBUSY, 'a member of the group is being reset', { group: group.id });
  }
  const unfit = testMembers(group, domain, group.domain);
  if (unfit) return unfit;

  const old = group.domain;
  for (const [index, member] of group.devices.entries()) {
    if (member.blocked) continue;
    const rc = deviceSetDomain(group, member.dev, domain, old, { mustSucceed: false });
    if (!rc) continue;
    if (old) rollBack(group, { count: index, from: domain, to: old });
    return rc;
  }
  group.domain = domain;
  return undefined;
}

/**
 * Put every member on a domain whatever happens: group.domain is the new one even after errors, which are warned.
 * The result is the last of them.
 * @kernel __iommu_group_set_domain_nofail
 */
export function groupSetDomainNofail(group: IommuGroup, domain: Domain | undefined): Status {
  const rc = groupSetDomainMustSucceed(group, domain);
  if (rc) {
    group.core.env.warn(
      'nofail-failed',
      `group ${String(group.id)}: attaching a domain that had to be attached failed with ${rc.name}`,
    );
  }
  return rc;
}

/** The same without the warning: for a caller that has its own. */
export function groupSetDomainMustSucceed(group: IommuGroup, domain: Domain | undefined): Status {
  group.mutex.assertHeld();
  if (domain !== undefined && group.domain === domain) return undefined;
  if (domain === undefined) return refuseNullDomain(group);
  let last: Status;
  for (const member of group.devices) {
    if (member.blocked) continue;
    const rc = deviceSetDomain(group, member.dev, domain, group.domain, { mustSucceed: true });
    if (rc) last = rc;
  }
  group.domain = domain;
  return last;
}

function refuseNullDomain(group: IommuGroup): Status {
  group.core.env.warn('set-domain-null', `group ${String(group.id)}: set to no domain`);
  return refuse(EINVAL, 'a group cannot be set to no domain', { group: group.id });
}

function rollBack(
  group: IommuGroup,
  undo: { readonly count: number; readonly from: Domain; readonly to: Domain },
): void {
  for (const member of group.devices.slice(0, undo.count)) {
    if (member.blocked) continue;
    const flags = { mustSucceed: true };
    const rc = deviceSetDomain(group, member.dev, undo.to, undo.from, flags);
    if (!rc) continue;
    group.core.env.warn(
      'rollback-failed',
      `${member.dev.name}: going back to ${undo.to.name} failed with ${rc.name}`,
    );
  }
}

function testMembers(group: IommuGroup, domain: Domain, old: Domain | undefined): Status {
  if (!group.core.env.has('test-dev')) return undefined;
  for (const member of group.devices) {
    const rc = testDevice(domain, member.dev, 0, old);
    if (rc) return rc;
  }
  return undefined;
}

/**
 * The rules of attaching to a group, then the set.
 * Errnos: EBUSY the group is on a domain of somebody; EINVAL the first member has no IOMMU or the domain is of
 * another driver; EPERM a member is split into aux domains; then those of groupSetDomain.
 * @kernel __iommu_attach_group
 */
export function attachGroupLocked(domain: Domain, group: IommuGroup): Status {
  group.mutex.assertHeld();
  if (group.domain && !isCoreDomain(group, group.domain)) {
    return refuse(EBUSY, 'the group is attached to a domain already', {
      group: group.id,
      domain: group.domain.name,
    });
  }
  const first = group.devices[0]?.dev;
  if (!first || !devHasIommu(first)) {
    return refuse(EINVAL, 'the first device of the group has no IOMMU', { group: group.id });
  }
  // With test-dev the owner is part of the test of every member.
  if (!group.core.env.has('test-dev') && !isOwnerCompatible(first, domain)) {
    return refuse(EINVAL, 'the domain was made by another IOMMU driver', { domain: domain.name });
  }
  return refuseSplitMember(group, domain) ?? groupSetDomain(group, domain);
}

/** EPERM when a member is split into aux domains; staying where it is does not take it. */
export function refuseSplitMember(group: IommuGroup, domain: Domain): Status<'EPERM'> {
  if (group.domain === domain) return undefined;
  for (const member of group.devices) {
    const split = refuseWholeDevice(domain, member.dev);
    if (split) return split;
  }
  return undefined;
}
