/** A device leaves its group and its driver (core.md 1.6). */
import type { Device } from '../contract/device.ts';
import { devHasIommu } from '../contract/device.ts';
import { IOMMU_DOMAIN_BLOCKED, type Domain } from '../contract/domain.ts';
import { domainFree } from '../map/domain-alloc.ts';
import { callAttachDev, callReleaseDevice } from '../contract/driver-call.ts';
import type { IommuOps } from '../contract/driver.ts';
import { groupPut } from '../group/group-ops.ts';
import type { IommuGroup } from '../contract/group.ts';
import { groupChanged } from '../contract/refs.ts';

/**
 * Take a device from the IOMMU layer: out of its group, away from its driver.
 * @kernel iommu_release_device
 */
export function releaseDevice(dev: Device): void {
  groupRemoveDevice(dev);
  dev.iommu = undefined;
}

/**
 * Leave the group. Nothing to do for a device without one.
 * @kernel iommu_group_remove_device
 */
export function groupRemoveDevice(dev: Device): void {
  const group = dev.iommuGroup;
  if (!group) return;
  removeMember(group, dev);
  groupPut(group);
}

function removeMember(group: IommuGroup, dev: Device): void {
  using _ = group.mutex.hold();
  unlinkMember(group, dev);
  groupChanged(dev, 'group-remove', group.id);
  if (devHasIommu(dev)) deinitDevice(dev, group);
  else dev.iommuGroup = undefined;
}

/** Take the entry out of the list; a group that gets empty must be in order. */
export function unlinkMember(group: IommuGroup, dev: Device): void {
  const at = group.devices.findIndex((member) => member.dev === dev);
  if (at >= 0) group.devices.splice(at, 1);
  if (group.devices.length > 0) return;
  if (group.ownerCnt === 0 && group.domain === group.defaultDomain) return;
  group.core.env.warn(
    'group-empty-bad-state',
    `group ${String(group.id)}: its last device left while it was in use`,
  );
}

/**
 * Undo the init of a device: its driver lets go, and an empty group frees its domains. Group mutex held.
 * @kernel iommu_deinit_device
 */
export function deinitDevice(dev: Device, group: IommuGroup): void {
  group.mutex.assertHeld();
  if (devHasIommu(dev)) {
    const { ops } = dev.iommu.iommuDev;
    const release = releaseDomainFor(ops, dev);
    if (!dev.iommu.attachDeferred && release?.ops.attachDev) {
      // The device goes away whatever its driver says.
      void callAttachDev(release, dev, group.domain);
    }
    callReleaseDevice(ops, dev);
  }
  if (group.devices.length === 0) freeGroupDomains(group);
  dev.iommuGroup = undefined;
  dev.iommu = undefined;
}

/** A device whose firmware wants direct mappings is not left blocked when it can be left alone. */
function releaseDomainFor(ops: IommuOps, dev: Device): Domain | undefined {
  const release = ops.releaseDomain;
  if (
    release?.type === IOMMU_DOMAIN_BLOCKED &&
    release === ops.blockedDomain &&
    dev.iommu?.requireDirect &&
    ops.identityDomain
  ) {
    return ops.identityDomain;
  }
  return release;
}

function freeGroupDomains(group: IommuGroup): void {
  const { defaultDomain, blockingDomain } = group;
  group.defaultDomain = undefined;
  group.blockingDomain = undefined;
  group.domain = undefined;
  if (defaultDomain) domainFree(defaultDomain);
  if (blockingDomain && blockingDomain !== defaultDomain) domainFree(blockingDomain);
}
