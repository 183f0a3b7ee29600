/** Making, joining, naming and counting groups, and the group factories of drivers (core.md 2.2). */
import { EEXIST, ENOMEM, isErrno, type Result, type Status } from '../../base/errno.ts';
import { Bug, bugOn } from '../../base/bug.ts';
import { refuse } from '../../base/refuse.ts';
import type { Device } from '../contract/device.ts';
import type { Domain } from '../contract/domain.ts';
import { IommuGroup, type GroupDevice } from '../contract/group.ts';
import type { IommuCore } from '../contract/iommu-core.ts';
import { groupChanged } from '../contract/refs.ts';

/**
 * A new group with one reference.
 * Errnos: ENOSPC.
 * @kernel iommu_group_alloc
 */
export function groupAlloc(core: IommuCore): Result<IommuGroup, 'ENOSPC'> {
  const id = core.groups.reserve();
  if (isErrno(id)) return id;
  const group = new IommuGroup(core, id);
  core.groups.publish(id, group);
  return group;
}

/**
 * Join by hand: the fake groups of VFIO. Attaches nothing.
 * Errnos: EEXIST the device has a group.
 * @kernel iommu_group_add_device
 */
export function groupAddDevice(group: IommuGroup, dev: Device): Status {
  if (dev.iommuGroup) {
    return refuse(EEXIST, 'the device is in a group already', { group: dev.iommuGroup.id });
  }
  groupRefGet(group);
  dev.iommuGroup = group;
  using _ = group.mutex.hold();
  group.devices.push(newMember(group, dev));
  groupChanged(dev, 'group-add', group.id);
  return undefined;
}

/** An entry with a name that is unique in devices/: "name", "name.0", "name.1", … */
export function newMember(group: IommuGroup, dev: Device): GroupDevice {
  let name = dev.name;
  for (let n = 0; group.devices.some((member) => member.name === name); n++) {
    name = `${dev.name}.${String(n)}`;
  }
  return { dev, name, blocked: false, resetDepth: 0 };
}

/**
 * The device's group with a reference taken, if it has one.
 * @kernel iommu_group_get
 */
export function groupGet(dev: Device): IommuGroup | undefined {
  return dev.iommuGroup && groupRefGet(dev.iommuGroup);
}

/** @kernel iommu_group_ref_get */
export function groupRefGet(group: IommuGroup): IommuGroup {
  group.refs++;
  group.core.groupRefs++;
  return group;
}

/**
 * Drop a reference; the last one ends the group. Nothing to do without a group.
 * @kernel iommu_group_put
 */
export function groupPut(group: IommuGroup | undefined): void {
  if (!group) return;
  bugOn(group.refs <= 0, `group ${String(group.id)}: put without a reference`);
  group.core.groupRefs--;
  if (--group.refs > 0) return;
  if (group.defaultDomain ?? group.blockingDomain) {
    group.core.env.warn(
      'group-freed-with-domains',
      `group ${String(group.id)}: freed with a domain of its own`,
    );
  }
  group.releaseIommuData?.(group.iommuData);
  group.core.groups.remove(group.id);
}

/** @kernel iommu_group_id */
export function groupId(group: IommuGroup): number {
  return group.id;
}

/**
 * Name, rename or, with undefined, unname.
 * Errnos: ENOMEM unnaming a group without a name.
 * @kernel iommu_group_set_name
 */
export function groupSetName(group: IommuGroup, name: string | undefined): Status {
  if (group.name === undefined && name === undefined) {
    return refuse(ENOMEM, 'the group has no name to remove', { group: group.id });
  }
  group.name = name;
  return undefined;
}

/** @kernel iommu_group_set_iommudata */
export function groupSetIommudata(
  group: IommuGroup,
  data: unknown,
  release: ((data: unknown) => void) | undefined,
): void {
  group.iommuData = data;
  group.releaseIommuData = release;
}

/** @kernel iommu_group_get_iommudata */
export function groupGetIommudata(group: IommuGroup): unknown {
  return group.iommuData;
}

/**
 * Call `fn` for each member under the group mutex until one call fails. `fn` must not call what takes the mutex.
 * @kernel iommu_group_for_each_dev
 */
export function groupForEachDev(group: IommuGroup, fn: (dev: Device) => Status): Status {
  using _ = group.mutex.hold();
  for (const member of group.devices) {
    const rc = fn(member.dev);
    if (rc) return rc;
  }
  return undefined;
}

/** @kernel iommu_group_default_domain */
export function groupDefaultDomain(group: IommuGroup): Domain | undefined {
  return group.defaultDomain;
}

/**
 * Always a new group: for buses whose devices are isolated from each other.
 * @kernel generic_device_group
 */
export function genericDeviceGroup(dev: Device): Result<IommuGroup, 'ENOSPC'> {
  return groupAlloc(dev.core);
}

/**
 * One group for all devices of an instance.
 * @kernel generic_single_device_group
 */
export function genericSingleDeviceGroup(dev: Device): Result<IommuGroup, 'ENOSPC'> {
  const instance = dev.iommu?.iommuDev;
  if (!instance) throw new Bug(`${dev.name}: grouped before its instance is known`);
  if (!instance.singletonGroup) {
    const group = groupAlloc(dev.core);
    if (isErrno(group)) return group;
    instance.singletonGroup = group;
  }
  return groupRefGet(instance.singletonGroup);
}

/**
 * The group of the container the device lives in, or a new one for a container.
 * @kernel fsl_mc_device_group
 */
export function fslMcDeviceGroup(dev: Device): Result<IommuGroup, 'ENOSPC'> {
  const container = dev.config.container ?? dev;
  return groupGet(container) ?? groupAlloc(dev.core);
}
