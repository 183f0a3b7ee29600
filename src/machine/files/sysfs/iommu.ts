/** /sys/kernel/iommu_groups and /sys/class/iommu (core.md 2.4, vfio.md 4.1). */
import {
  groupNameShow,
  groupReservedRegionsShow,
  groupTypeShow,
  groupTypeStore,
} from '../../../core/group/group-sysfs.ts';
import { isErrno } from '../../../base/errno.ts';
import type { IommuGroup } from '../../../core/contract/group.ts';
import { instanceDevices } from '../../../core/probe/register.ts';
import type { Iommu } from '../../../drivers/iommu-type.ts';
import type { DirNode } from '../nodes.ts';
import { dir, link, textAttr, writableAttr } from '../tree.ts';
import { relative, type SysfsWorld } from './world.ts';

/** /sys/kernel/iommu_groups: a directory for each group, by its id. */
export function iommuGroupsDir(world: SysfsWorld): DirNode {
  return dir(() => {
    const groups = [...world.core.groups.entries()];
    return Object.fromEntries(groups.map(([id, group]) => [String(id), groupDir(world, group)]));
  });
}

function groupDir(world: SysfsWorld, group: IommuGroup): DirNode {
  const name = groupNameShow(group);
  return dir(() => ({
    devices: dir(() =>
      Object.fromEntries(
        group.devices.map((member) => {
          const pci = world.pci.of(member.dev);
          const path = pci?.sysPath ?? `/sys/devices/${member.dev.name}`;
          const here = `/sys/kernel/iommu_groups/${group.id}/devices`;
          return [member.name, link(relative(here, path))];
        }),
      ),
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

/** /sys/class/iommu: a link for each IOMMU of the machine. */
export function iommuClass(world: SysfsWorld): DirNode {
  return dir(() =>
    Object.fromEntries(
      world.hardware.iommus.map(({ name }) => [name, link(`../../devices/virtual/iommu/${name}`)]),
    ),
  );
}

/** /sys/devices/virtual/iommu: the IOMMUs with their attributes and devices. */
export function virtualIommu(world: SysfsWorld): DirNode {
  return dir(() =>
    Object.fromEntries(
      world.hardware.iommus.map((iommu) => {
        const here = `/sys/devices/virtual/iommu/${iommu.name}`;
        const members = (): [string, ReturnType<typeof link>][] =>
          instanceDevices(world.core, iommu.instance).map((dev) => {
            const path = world.pci.of(dev)?.sysPath ?? `/sys/devices/${dev.name}`;
            return [dev.name, link(relative(`${here}/devices`, path))];
          });
        return [
          iommu.name,
          dir(() => ({
            devices: dir(() => Object.fromEntries(members())),
            subsystem: link('../../../../class/iommu'),
            uevent: textAttr(() => '', 0o644),
            ...attributeDirs(iommu.attributes ?? {}),
          })),
        ];
      }),
    ),
  );
}

/** Directories of text files, as a type of IOMMU describes them. */
function attributeDirs(groups: NonNullable<Iommu['attributes']>): Record<string, DirNode> {
  return Object.fromEntries(
    Object.entries(groups).map(([name, files]) => [
      name,
      dir(() =>
        Object.fromEntries(Object.entries(files).map(([file, text]) => [file, textAttr(text)])),
      ),
    ]),
  );
}
