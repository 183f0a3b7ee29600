/**
 * Auxiliary domains (core.md 8): one device serves many address spaces, each under a PASID its IOMMU chose.
 *
 * Built on the PASID layer (8.6): a domain gets one PASID, the same on every device. The group calls remember what a
 * group of mediated devices uses, so that iommu_get_domain_for_dev() and its aux form find the domain: v3 by the
 * physical device, v4/v5 (attachSubdevGroup) by a lookup per member.
 */
import { EBUSY, EINVAL, ENODEV, EPERM, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { attachDevice, detachDevice, getDomainForDev } from '../attach/attach.ts';
import { countAuxUser, devFeatureEnabled, IOMMU_DEV_FEAT_AUX } from '../attach/aux-feature.ts';
import { devHasIommu, type Device } from '../contract/device.ts';
import { IOMMU_DOMAIN_UNMANAGED, type Domain } from '../contract/domain.ts';
import type { IommuGroup } from '../contract/group.ts';
import {
  allocGlobalPasid,
  attachDevicePasid,
  detachDevicePasid,
  freeGlobalPasid,
  IOMMU_PASID_INVALID,
} from '../attach/pasid.ts';

/** What the core keeps of a domain that is attached as an aux domain. */
interface AuxDomain {
  readonly pasid: number;
  /** Attaches of each physical device; only the first one programs hardware. */
  readonly counts: Map<Device, number>;
  /** v4/v5: the mediated devices it serves. */
  readonly subdevs: Set<Device>;
}
const auxDomains = new WeakMap<Domain, AuxDomain>();

/**
 * Attach a domain to a physical device beside its primary one, for a subdevice if that is known.
 * Errnos: ENODEV no IOMMU, the domain has no PASID operation, AUX is not enabled, or no PASID is left; EPERM not UNMANAGED;
 * those of attachDevicePasid.
 * @kernel iommu_aux_attach_device
 */
export function auxAttachDevice(domain: Domain, dev: Device, subdev?: Device): Status {
  const rc = checkAux(domain, dev);
  if (rc) return rc;
  if (domain.type !== IOMMU_DOMAIN_UNMANAGED) {
    return refuse(EPERM, 'only an unmanaged domain can be an aux domain', { domain: domain.name });
  }
  const aux = auxDomains.get(domain) ?? allocAux(domain, dev);
  if (!aux) return refuse(ENODEV, 'no PASID is left for the domain', { device: dev.name });

  const count = aux.counts.get(dev) ?? 0;
  if (count === 0 && !servesGroup(aux, dev.iommuGroup)) {
    const failed = attachDevicePasid(domain, dev, aux.pasid);
    if (failed) {
      freeUnused(domain, aux);
      return failed;
    }
  }
  aux.counts.set(dev, count + 1);
  if (subdev) aux.subdevs.add(subdev);
  countAuxUser(dev, 1);
  return undefined;
}

/**
 * Undo one auxAttachDevice; silently nothing for what is not attached.
 * @kernel iommu_aux_detach_device
 */
export function auxDetachDevice(domain: Domain, dev: Device, subdev?: Device): void {
  const aux = auxDomains.get(domain);
  const count = aux?.counts.get(dev);
  if (!aux || !count) return;
  // v4/v5: a subdevice that never got as far as the attach.
  if (subdev && !aux.subdevs.delete(subdev)) return;
  countAuxUser(dev, -1);
  if (count > 1) {
    aux.counts.set(dev, count - 1);
    return;
  }
  aux.counts.delete(dev);
  if (!servesGroup(aux, dev.iommuGroup)) detachDevicePasid(domain, dev, aux.pasid);
  freeUnused(domain, aux);
}

/**
 * The PASID that requests for the domain must carry.
 * Errnos: ENODEV as for the attach; EINVAL the domain is not attached as an aux domain.
 * @kernel iommu_aux_get_pasid
 */
export function auxGetPasid(domain: Domain, dev: Device): Result<number, 'ENODEV' | 'EINVAL'> {
  const rc = checkAux(domain, dev);
  if (rc) return rc;
  const aux = auxDomains.get(domain);
  if (!aux) return refuse(EINVAL, 'the domain is no aux domain', { domain: domain.name });
  return aux.pasid;
}

/** v3: the API itself asks for the feature. */
function checkAux(domain: Domain, dev: Device): Status<'ENODEV'> {
  if (!dev.core.env.has('aux-domains') || !devHasIommu(dev) || !domain.ops.setDevPasid) {
    return refuse(ENODEV, 'aux domains are not supported here', { device: dev.name });
  }
  if (devFeatureEnabled(dev, IOMMU_DEV_FEAT_AUX)) return undefined;
  return refuse(ENODEV, 'aux domains are not enabled on the device', { device: dev.name });
}

/** A PASID concerns a whole group: one member is enough to program it. */
function servesGroup(aux: AuxDomain, group: IommuGroup | undefined): boolean {
  for (const dev of aux.counts.keys()) if (dev.iommuGroup === group) return true;
  return false;
}

function allocAux(domain: Domain, dev: Device): AuxDomain | undefined {
  const pasid = allocGlobalPasid(dev);
  if (pasid === IOMMU_PASID_INVALID) return undefined;
  const aux: AuxDomain = { pasid, counts: new Map(), subdevs: new Set() };
  auxDomains.set(domain, aux);
  return aux;
}

function freeUnused(domain: Domain, aux: AuxDomain): void {
  if (aux.counts.size > 0) return;
  auxDomains.delete(domain);
  freeGlobalPasid(domain.core, aux.pasid);
}

/**
 * Attach a domain to the physical device behind a group of mediated devices, and remember it in the group: v3.
 * Takes the mutex of the group. The caller vouches that all members derive from `dev`.
 * Errnos: EBUSY the group has a domain; those of auxAttachDevice.
 * @kernel iommu_aux_attach_group
 */
export function auxAttachGroup(domain: Domain, group: IommuGroup, dev: Device): Status {
  using _ = group.mutex.hold();
  if (group.domain) return refuseTaken(group, group.domain);
  const rc = auxAttachDevice(domain, dev);
  if (rc) return rc;
  group.domain = domain;
  group.auxDomainAttached = true;
  return undefined;
}

/** @kernel iommu_aux_detach_group */
export function auxDetachGroup(domain: Domain, group: IommuGroup, dev: Device): void {
  using _ = group.mutex.hold();
  if (!group.auxDomainAttached || group.domain !== domain) {
    group.core.env.warn(
      'aux-detach-mismatch',
      `group ${String(group.id)}: detached from an aux domain it is not attached to`,
    );
    return;
  }
  auxDetachDevice(domain, dev);
  group.auxDomainAttached = false;
  group.domain = undefined;
}

/**
 * The aux domain a mediated device uses: what its parent's driver asks before programming the PASID.
 * @kernel iommu_aux_get_domain_for_dev
 */
export function auxGetDomainForDev(dev: Device): Domain | undefined {
  const group = dev.iommuGroup;
  if (!group?.domain) return undefined;
  if (group.auxDomainAttached) return group.domain;
  return auxDomains.get(group.domain)?.subdevs.has(dev) ? group.domain : undefined;
}

/** Finds the physical device behind a member of a group. */
export type SubdevLookup = (subdev: Device) => Device | undefined;

/**
 * Attach a domain to what is behind each member of a group: as an aux domain where AUX is enabled, else to the whole
 * device (a virtual function): v4/v5. All or none.
 * Errnos: EBUSY the group has a domain; ENODEV it has no members, or nothing is behind one; those of both attaches.
 * @kernel iommu_attach_subdev_group
 */
export function attachSubdevGroup(domain: Domain, group: IommuGroup, lookup: SubdevLookup): Status {
  using _ = group.mutex.hold();
  if (group.domain) return refuseTaken(group, group.domain);
  if (group.devices.length === 0) {
    return refuse(ENODEV, 'the group has no devices', { group: group.id });
  }
  for (const { dev } of group.devices) {
    const rc = attachSubdev(domain, dev, lookup(dev));
    if (!rc) continue;
    for (const member of group.devices) detachSubdev(domain, member.dev, lookup(member.dev));
    return rc;
  }
  group.domain = domain;
  return undefined;
}

/** @kernel iommu_detach_subdev_group */
export function detachSubdevGroup(domain: Domain, group: IommuGroup, lookup: SubdevLookup): void {
  using _ = group.mutex.hold();
  if (!group.domain) return;
  for (const { dev } of group.devices) detachSubdev(domain, dev, lookup(dev));
  group.domain = undefined;
}

function attachSubdev(domain: Domain, subdev: Device, phys: Device | undefined): Status {
  if (!phys) return refuse(ENODEV, 'nothing is behind the device', { device: subdev.name });
  if (devFeatureEnabled(phys, IOMMU_DEV_FEAT_AUX)) return auxAttachDevice(domain, phys, subdev);
  return attachDevice(domain, phys);
}

function detachSubdev(domain: Domain, subdev: Device, phys: Device | undefined): void {
  if (!phys) return;
  if (auxDomains.get(domain)?.subdevs.has(subdev)) auxDetachDevice(domain, phys, subdev);
  else if (getDomainForDev(phys) === domain) detachDevice(domain, phys);
}

function refuseTaken(group: IommuGroup, domain: Domain): Status<'EBUSY'> {
  return refuse(EBUSY, 'the group has a domain already', { group: group.id, domain: domain.name });
}
