/**
 * Is a domain compatible with a device? The core's part of test_dev (core.md 6.2, with the repairs of 6.4).
 *
 * A passed test is only good while the group mutex is held. Tests change nothing and log nothing.
 */
import { EINVAL, EOPNOTSUPP, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { devHasIommu, type Device } from '../contract/device.ts';
import type { Domain } from '../contract/domain.ts';
import type { IommuOps } from '../contract/driver.ts';
import { callTestDev } from '../contract/driver-call.ts';
import type { IommuGroup } from '../contract/group.ts';

/**
 * The domain was made by the driver of the device, or is one of that driver's static domains. With test-dev the static
 * default and release domains count too: they have no owner, and the test sits in paths that attach them.
 * @kernel domain_owner_compatible
 */
export function isOwnerCompatible(dev: Device, domain: Domain): boolean {
  if (!devHasIommu(dev)) return false;
  const { ops } = dev.iommu.iommuDev;
  if (domain.owner === ops) return true;
  if (domain === ops.blockedDomain || domain === ops.identityDomain) return true;
  if (!dev.core.env.has('test-dev')) return false;
  return domain === ops.defaultDomain || domain === ops.releaseDomain;
}

/** The driver can put the domain on a PASID, and take it off again. */
export function canSetPasid(ops: IommuOps, domain: Domain): boolean {
  return domain.ops.setDevPasid !== undefined && ops.blockedDomain?.ops.setDevPasid !== undefined;
}

/** The members that PASIDs concern. */
export function pasidMembers(group: IommuGroup): Device[] {
  return group.devices.map((member) => member.dev).filter((dev) => maxPasidsOf(dev) > 0);
}

export function maxPasidsOf(dev: Device): number {
  return dev.iommu?.maxPasids ?? 0;
}

/** Which rule of the core a pair breaks: the stages of core.md 6.5. */
export type CompatStage = 'noiommu' | 'owner' | 'pasid-unsupported' | 'pasid-range';

/**
 * The core's checks of a pair, in order; the driver is not asked.
 * Errnos: EINVAL no IOMMU, other driver, PASID out of range; EOPNOTSUPP no PASIDs.
 */
export function checkCompatible(
  domain: Domain,
  dev: Device,
  pasid: number,
): { stage: CompatStage; rc: Status } | undefined {
  if (!devHasIommu(dev)) {
    return {
      stage: 'noiommu',
      rc: refuse(EINVAL, 'the device has no IOMMU', { device: dev.name }),
    };
  }
  if (!isOwnerCompatible(dev, domain)) {
    const facts = { domain: domain.name, device: dev.name };
    const rc = refuse(EINVAL, 'the domain was made by another IOMMU driver', facts);
    return { stage: 'owner', rc };
  }
  if (pasid === 0) return undefined;
  if (!canSetPasid(dev.iommu.iommuDev.ops, domain)) {
    return { stage: 'pasid-unsupported', rc: refusePasids(domain, dev) };
  }
  const rc = checkPasidRange(dev.iommuGroup, pasid);
  return rc && { stage: 'pasid-range', rc };
}

export function refusePasids(domain: Domain, dev: Device): Status {
  return refuse(EOPNOTSUPP, 'the domain or its driver cannot serve a PASID', {
    domain: domain.name,
    device: dev.name,
  });
}

/** EINVAL when a member that has PASIDs has fewer than this one needs. */
export function checkPasidRange(group: IommuGroup | undefined, pasid: number): Status {
  for (const dev of group ? pasidMembers(group) : []) {
    const maxPasids = maxPasidsOf(dev);
    if (pasid < maxPasids) continue;
    return refuse(EINVAL, 'the PASID is beyond what a device of the group has', {
      pasid,
      device: dev.name,
      maxPasids,
    });
  }
  return undefined;
}

/**
 * The whole test of one device: the core's checks, then the driver's. Group mutex held.
 * Errnos: those of checkCompatible; EINVAL, EBUSY, ENODEV and others from the driver.
 * @kernel iommu_test_dev (posted in 2025 as a static helper)
 */
export function testDevice(
  domain: Domain,
  dev: Device,
  pasid: number,
  old: Domain | undefined,
): Status {
  dev.iommuGroup?.mutex.assertHeld();
  const unfit = checkCompatible(domain, dev, pasid);
  if (unfit) return unfit.rc;
  return callTestDev(domain, dev, pasid, old);
}
