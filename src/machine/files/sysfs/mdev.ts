/** Mediated devices in sysfs: their parent with its types, the devices, and the class and the bus they are on (vfio.md 1.16, 6.4). */
import { isErrno } from '../../../base/errno.ts';
import {
  MTTY_PATH,
  MTTY_TYPES,
  type MdevDevice,
  type MdevType,
  type MttyParent,
} from '../../kernel/mdev.ts';
import { parseUnsigned } from '../../kernel/parameters.ts';
import type { DirNode, Node } from '../nodes.ts';
import { dir, dirOf, link, textAttr, writableAttr } from '../tree.ts';
import { vfioDevDir } from './vfio-class.ts';
import { relative, type SysfsWorld } from './world.ts';

/** /sys/devices/virtual/mtty; undefined: the driver is not there. */
export function virtualMtty(world: SysfsWorld): DirNode | undefined {
  const { mtty } = world;
  if (!mtty) return undefined;
  const parent = dir(() => ({
    mdev_supported_types: dirOf(
      () => MTTY_TYPES.map((type) => [type.name, type]),
      (type) => typeDir(mtty, type),
    ),
    subsystem: link('../../../../class/mtty'),
    uevent: textAttr(() => '', 0o644),
    ...Object.fromEntries(mtty.devices.map((each) => [each.uuid, deviceDir(world, mtty, each)])),
  }));
  return dir(() => ({ mtty: parent }));
}
/** Of /sys/class: mdev_bus has the parents, mtty those of the driver. */
export function mdevClasses({ mtty }: SysfsWorld): Record<string, Node | undefined> {
  if (!mtty) return {};
  const parents = dir(() => ({ mtty: link('../../devices/virtual/mtty/mtty') }));
  return { mdev_bus: parents, mtty: parents };
}
/** /sys/bus/mdev: undefined without a driver. */
export function mdevBus({ mtty }: SysfsWorld): DirNode | undefined {
  if (!mtty) return undefined;
  const devices = dirOf(
    () => mtty.devices.map(({ uuid }) => [uuid, uuid]),
    (uuid) => link(`../../../devices/virtual/mtty/mtty/${uuid}`),
  );
  return dir(() => ({ devices }));
}

function typeDir(mtty: MttyParent, type: MdevType): DirNode {
  const own = (): MdevDevice[] => mtty.devices.filter((device) => device.type === type);
  return dir(() => ({
    available_instances: textAttr(() => `${mtty.available(type)}\n`),
    create: writableAttr(undefined, (text) => mtty.create(type, text)),
    device_api: textAttr(() => 'vfio-pci\n'),
    devices: dirOf(
      () => own().map(({ uuid }) => [uuid, uuid]),
      (uuid) => link(`../../../${uuid}`),
    ),
    name: textAttr(() => `${type.pretty}\n`),
  }));
}

/** @kernel mdev_create_sysfs_files */
function deviceDir(world: SysfsWorld, mtty: MttyParent, device: MdevDevice): DirNode {
  const { uuid, type, dev } = device;
  const here = `${MTTY_PATH}/${uuid}`;
  const group = dev.iommuGroup;
  return dir(() => ({
    iommu_group: group && link(relative(here, `/sys/kernel/iommu_groups/${group.id}`)),
    mdev_type: link(`../mdev_supported_types/${type.name}`),
    remove: writableAttr(undefined, (text) => {
      const value = parseUnsigned(text, Number.MAX_SAFE_INTEGER);
      if (isErrno(value)) return value;
      return value === 0 ? undefined : mtty.remove(device);
    }),
    subsystem: link(relative(here, '/sys/bus/mdev')),
    uevent: textAttr(() => '', 0o644),
    vendor: dir(() => ({ sample_mdev_dev: textAttr(() => `This is MDEV ${uuid}\n`) })),
    'vfio-dev': vfioDevDir(world, dev, here),
  }));
}
