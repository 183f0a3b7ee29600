/** /sys/kernel/iommu_groups and /sys/class/iommu (core.md 2.4, vfio.md 4.1). */
import {
  groupNameShow,
  groupReservedRegionsShow,
  groupTypeShow,
  groupTypeStore,
} from '../../../core/group/group-sysfs.ts';
import { isErrno } from '../../../base/errno.ts';
import type { Device } from '../../../core/contract/device.ts';
import type { IommuGroup } from '../../../core/contract/group.ts';
import { instanceDevices } from '../../../core/probe/register.ts';
import type { Iommu } from '../../../drivers/iommu-type.ts';
import type { DirNode, LinkNode } from '../nodes.ts';
import { dir, dirOf, link, textAttr, writableAttr } from '../tree.ts';
import { byName, relative, sysPathOfDevice, type SysfsWorld } from './world.ts';

/** /sys/kernel/iommu_groups: a directory for each group, by its id. */
export function iommuGroupsDir(world: SysfsWorld): DirNode {
  return dirOf(
    () => Array.from(world.core.groups.entries(), ([id, group]) => [String(id), group]),
    (group) => groupDir(world, group),
  );
}

function groupDir(world: SysfsWorld, group: IommuGroup): DirNode {
  const name = groupNameShow(group);
  return dir(() => ({
    devices: dirOf(
      () => group.devices.map((member) => [member.name, member.dev]),
      (dev) => linkTo(world, dev, `/sys/kernel/iommu_groups/${group.id}/devices`),
    ),
    type: writableAttr(
      () => groupTypeShow(group),
      (text, task) => {
        const rc = groupTypeStore(group, text, (cap) => task.capable(cap));
        return isErrno(rc) ? rc : undefined;
      },
    ),
    reserved_regions: textAttr(() => groupReservedRegionsShow(group)),
    name: name === undefined ? undefined : textAttr(() => name),
  }));
}

function linkTo(world: SysfsWorld, dev: Device, here: string): LinkNode {
  const path = sysPathOfDevice(world, dev) ?? `/sys/devices/${dev.name}`;
  return link(relative(here, path));
}

/** /sys/class/iommu: a link for each IOMMU of the machine. */
export function iommuClass(world: SysfsWorld): DirNode {
  return dirOf(
    () => byName(world.hardware.iommus),
    ({ name }) => link(`../../devices/virtual/iommu/${name}`),
  );
}

/** /sys/devices/virtual/iommu: the IOMMUs with their attributes and devices. */
export function virtualIommu(world: SysfsWorld): DirNode {
  return dirOf(
    () => byName(world.hardware.iommus),
    (iommu) =>
      dir(() => ({
        devices: dirOf(
          () => byName(instanceDevices(world.core, iommu.instance)),
          (dev) => linkTo(world, dev, `/sys/devices/virtual/iommu/${iommu.name}/devices`),
        ),
        subsystem: link('../../../../class/iommu'),
        uevent: textAttr(() => '', 0o644),
        ...attributeDirs(iommu.attributes ?? {}),
      })),
  );
}

/** Directories of text files, as a type of IOMMU describes them. */
function attributeDirs(groups: NonNullable<Iommu['attributes']>): Record<string, DirNode> {
  return Object.fromEntries(
    Object.entries(groups).map(([name, files]) => [
      name,
      dirOf(
        () => Object.entries(files),
        (text) => textAttr(text),
      ),
    ]),
  );
}
