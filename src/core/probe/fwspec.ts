/** What the firmware says about a device's IOMMU: which instance, and by which ids it is known there (core.md 1.3). */
import { EINVAL, EPROBE_DEFER, type Errno, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { type Device, type DevIommu } from '../contract/device.ts';
import type { IommuDevice } from '../contract/driver.ts';
import type { IommuCore } from '../contract/iommu-core.ts';

/**
 * Name the instance of a device. Harmless when done already with an instance of the same driver.
 * Errnos: the verdict of the driver core (EPROBE_DEFER until waiting is pointless) while the instance is unknown or
 * not ready; EINVAL a fwspec for another driver exists.
 * @kernel iommu_fwspec_init
 */
export function fwspecInit(dev: Device, fwnode: object): Status {
  const { core } = dev;
  const instance = instanceFromFwnode(core, fwnode);
  if (!instance) {
    return refuse<Errno>(
      core.deferredProbeVerdict,
      'no IOMMU is registered for this firmware node',
      {
        device: dev.name,
      },
    );
  }
  if (!instance.ready && !dev.iommu) {
    return refuse(EPROBE_DEFER, 'the IOMMU is still being registered', { device: dev.name });
  }
  const existing = dev.iommu?.fwspec;
  if (existing) {
    if (instanceFromFwnode(core, existing.fwnode)?.ops === instance.ops) return undefined;
    return refuse(EINVAL, 'the device is described for another IOMMU driver', { device: dev.name });
  }
  getDevIommu(dev).fwspec = { fwnode, flags: 0, ids: [] };
  return undefined;
}

/**
 * Append ids, in order, repeated ones too.
 * Errnos: EINVAL no fwspec.
 * @kernel iommu_fwspec_add_ids
 */
export function fwspecAddIds(dev: Device, ids: readonly number[]): Status {
  const fwspec = dev.iommu?.fwspec;
  if (!fwspec) return refuse(EINVAL, 'the device has no fwspec', { device: dev.name });
  fwspec.ids.push(...ids);
  return undefined;
}

/** @kernel iommu_fwspec_free */
export function fwspecFree(dev: Device): void {
  if (dev.iommu) dev.iommu.fwspec = undefined;
}

/** The per-device record, made when first needed. */
export function getDevIommu(dev: Device): DevIommu {
  dev.iommu ??= {
    faultParam: undefined,
    fwspec: undefined,
    iommuDev: undefined,
    priv: undefined,
    maxPasids: 0,
    attachDeferred: false,
    requireDirect: false,
    pci32bitWorkaround: false,
    shadowOnFlush: false,
  };
  return dev.iommu;
}

/**
 * The instance that firmware means, by identity of the node; null means the first instance without one.
 * @kernel iommu_from_fwnode
 */
export function instanceFromFwnode(
  core: IommuCore,
  fwnode: object | null,
): IommuDevice | undefined {
  return core.instances.find((instance) => instance.fwnode === fwnode);
}

/** The instance whose driver is to be asked about a device. */
export function instanceForDevice(dev: Device): IommuDevice | undefined {
  return instanceFromFwnode(dev.core, dev.iommu?.fwspec?.fwnode ?? null);
}
