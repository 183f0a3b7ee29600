/**
 * Switching features of a device on and off (core.md 8.2, 9.3): the gate of auxiliary domains.
 *
 * A driver may bring calls of its own for this. Without them AUX stands on the PASID layer (8.6): a device can have it
 * when it has PASIDs and its driver can set them. The trait 'aux-domains' says whether any of this exists.
 */
import { EBUSY, EINVAL, ENODEV, EPERM, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { devHasIommu, type Device } from '../contract/device.ts';
import { IOMMU_DOMAIN_UNMANAGED, type Domain } from '../contract/domain.ts';
import { callDriver, callStatus } from '../contract/driver-call.ts';
import { maxPasidsOf } from './test-dev.ts';

/** enum iommu_dev_features. */
export const IOMMU_DEV_FEAT_AUX = 0;
export const IOMMU_DEV_FEAT_SVA = 1;

interface FeatureState {
  readonly enabled: Set<number>;
  /** Aux attaches that hold AUX on. */
  auxUsers: number;
}
const states = new WeakMap<Device, FeatureState>();

/** @kernel iommu_dev_has_feature */
export function devHasFeature(dev: Device, feature: number): boolean {
  if (!dev.core.env.has('aux-domains') || !devHasIommu(dev)) return false;
  const { ops } = dev.iommu.iommuDev;
  if (ops.devHasFeature) {
    const about = { op: 'dev_has_feat', driver: ops.name };
    return callDriver(dev, about, () => ops.devHasFeature!(dev, feature));
  }
  return feature === IOMMU_DEV_FEAT_AUX && canSetPasids(dev);
}

/** PASIDs, and a driver that can take one off again. */
function canSetPasids(dev: Device): boolean {
  return (
    maxPasidsOf(dev) > 0 && dev.iommu?.iommuDev?.ops.blockedDomain?.ops.setDevPasid !== undefined
  );
}

/**
 * Errnos: ENODEV no IOMMU, or nothing that knows the feature; EINVAL the device cannot; driver's.
 * @kernel iommu_dev_enable_feature
 */
export function devEnableFeature(dev: Device, feature: number): Status {
  if (!dev.core.env.has('aux-domains') || !devHasIommu(dev)) return refuseFeature(dev, feature);
  const { ops } = dev.iommu.iommuDev;
  if (ops.devEnableFeature) {
    const about = { op: 'dev_enable_feat', driver: ops.name };
    const rc = callStatus(dev, about, () => ops.devEnableFeature!(dev, feature));
    if (rc) return rc;
  } else if (feature !== IOMMU_DEV_FEAT_AUX) {
    return refuseFeature(dev, feature);
  } else if (!canSetPasids(dev)) {
    return refuse(EINVAL, 'the device or its IOMMU has no PASIDs', { device: dev.name });
  }
  stateOf(dev).enabled.add(feature);
  return undefined;
}

/**
 * Errnos: EBUSY no IOMMU, nothing that knows the feature, or aux domains are attached; driver's.
 * @kernel iommu_dev_disable_feature
 */
export function devDisableFeature(dev: Device, feature: number): Status {
  if (!dev.core.env.has('aux-domains') || !devHasIommu(dev)) {
    return refuse(EBUSY, 'nothing can switch the feature off', { device: dev.name, feature });
  }
  const state = stateOf(dev);
  if (feature === IOMMU_DEV_FEAT_AUX && state.auxUsers > 0) {
    return refuse(EBUSY, 'aux domains are attached to the device', {
      device: dev.name,
      attached: state.auxUsers,
    });
  }
  const { ops } = dev.iommu.iommuDev;
  if (ops.devDisableFeature) {
    const about = { op: 'dev_disable_feat', driver: ops.name };
    const rc = callStatus(dev, about, () => ops.devDisableFeature!(dev, feature));
    if (rc) return rc;
  } else if (feature !== IOMMU_DEV_FEAT_AUX) {
    return refuse(EBUSY, 'the IOMMU driver has no such feature', { device: dev.name, feature });
  }
  state.enabled.delete(feature);
  return undefined;
}

/** @kernel iommu_dev_feature_enabled */
export function devFeatureEnabled(dev: Device, feature: number): boolean {
  return devHasIommu(dev) && states.get(dev)?.enabled.has(feature) === true;
}

/**
 * A device given to PASID users cannot be taken as a whole: detach cannot fail, so the attach does.
 * Errnos: EPERM AUX is enabled and the domain is UNMANAGED.
 */
export function refuseWholeDevice(domain: Domain, dev: Device): Status<'EPERM'> {
  if (domain.type !== IOMMU_DOMAIN_UNMANAGED) return undefined;
  if (!devFeatureEnabled(dev, IOMMU_DEV_FEAT_AUX)) return undefined;
  return refuse(EPERM, 'the device is split into aux domains', { device: dev.name });
}

/** An aux attach came (1) or went (-1). */
export function countAuxUser(dev: Device, by: 1 | -1): void {
  stateOf(dev).auxUsers += by;
}

function stateOf(dev: Device): FeatureState {
  let state = states.get(dev);
  if (!state) {
    state = { enabled: new Set(), auxUsers: 0 };
    states.set(dev, state);
  }
  return state;
}

function refuseFeature(dev: Device, feature: number): Status<'ENODEV'> {
  return refuse(ENODEV, 'nothing can switch the feature on', { device: dev.name, feature });
}
