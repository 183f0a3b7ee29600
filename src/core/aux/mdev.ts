/**
 * Mediated devices (core.md 8.3): software devices carved out of a physical one, each in a software group of its own
 * without a default domain.
 */
import { EINVAL, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { attachDevice, detachDevice } from '../attach/attach.ts';
import { devFeatureEnabled, IOMMU_DEV_FEAT_AUX } from '../attach/aux-feature.ts';
import { auxAttachDevice, auxDetachDevice } from './aux.ts';
import { Device } from '../contract/device.ts';
import type { Domain } from '../contract/domain.ts';
import { groupAddDevice, groupAlloc, groupPut } from '../group/group-ops.ts';
import type { IommuGroup } from '../contract/group.ts';
import { groupRemoveDevice } from '../probe/release.ts';

interface Mdev {
  readonly parent: Device;
  /** The device whose IOMMU isolates it; undefined for software isolation. */
  iommuDevice: Device | undefined;
}
const mdevs = new WeakMap<Device, Mdev>();

/**
 * A new mediated device below `parent`, alone in a new group.
 * Errnos: those of groupAlloc and groupAddDevice.
 * @kernel mdev_probe
 */
export function mdevCreate(parent: Device, name: string): Result<Device> {
  const { core } = parent;
  const group = groupAlloc(core);
  if (isErrno(group)) return group;
  const dev = new Device(core, { name, bus: 'mdev' });
  const rc = groupAddDevice(group, dev);
  // The device holds its own reference now.
  groupPut(group);
  if (rc) return rc;
  mdevs.set(dev, { parent, iommuDevice: undefined });
  return dev;
}

/** @kernel mdev_remove */
export function mdevRemove(dev: Device): void {
  groupRemoveDevice(dev);
  mdevs.delete(dev);
}

/** @kernel mdev_parent_dev */
export function mdevParentDev(dev: Device): Device | undefined {
  return mdevs.get(dev)?.parent;
}

/**
 * Say which device's IOMMU isolates a mediated device.
 * Errnos: EINVAL it is no mediated device.
 * @kernel mdev_set_iommu_device
 */
export function mdevSetIommuDevice(dev: Device, iommuDevice: Device | undefined): Status<'EINVAL'> {
  const mdev = mdevs.get(dev);
  if (!mdev) return refuse(EINVAL, 'not a mediated device', { device: dev.name });
  mdev.iommuDevice = iommuDevice;
  return undefined;
}

/** @kernel mdev_get_iommu_device */
export function mdevGetIommuDevice(dev: Device): Device | undefined {
  return mdevs.get(dev)?.iommuDevice;
}

/**
 * The one device behind every member of a group; undefined when a member has none or they differ: then the group
 * has no IOMMU backing. What type1 asks before it attaches a group of the mdev bus.
 * @kernel vfio_mdev_iommu_device
 */
export function mdevGroupIommuDevice(group: IommuGroup): Device | undefined {
  using _ = group.mutex.hold();
  const behind = new Set(group.devices.map((member) => mdevGetIommuDevice(member.dev)));
  return behind.size === 1 ? [...behind][0] : undefined;
}

/**
 * Attach a domain to what is behind one mediated device, without telling its group: type1 before the group calls (8.4), which left
 * iommu_get_domain_for_dev() without an answer.
 * Errnos: EINVAL nothing is behind it; those of the attach.
 * @kernel vfio_mdev_attach_domain
 */
export function mdevAttachDomain(domain: Domain, dev: Device): Status {
  const behind = mdevGetIommuDevice(dev);
  if (!behind)
    return refuse(EINVAL, 'the mediated device has no IOMMU device', { device: dev.name });
  if (devFeatureEnabled(behind, IOMMU_DEV_FEAT_AUX)) return auxAttachDevice(domain, behind);
  return attachDevice(domain, behind);
}

/** @kernel vfio_mdev_detach_domain */
export function mdevDetachDomain(domain: Domain, dev: Device): void {
  const behind = mdevGetIommuDevice(dev);
  if (!behind) return;
  if (devFeatureEnabled(behind, IOMMU_DEV_FEAT_AUX)) auxDetachDevice(domain, behind);
  else detachDevice(domain, behind);
}
