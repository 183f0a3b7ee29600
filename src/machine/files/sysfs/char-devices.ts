/**
 * Character devices in sysfs: /sys/class/misc with what is of major 10, and /sys/dev/char, which finds a device by its
 * numbers (vfio.md 1.1, 3.1).
 */
import { VFIO_DEVICE_MAJOR, VFIO_GROUP_MAJOR } from '../../../vfio/vfio-core.ts';
import { MISC_DEVICES, type MiscDevice } from '../dev.ts';
import type { DirNode } from '../nodes.ts';
import { dir, dirOf, link, textAttr } from '../tree.ts';
import { byName, relative, sysPathOfDevice, type SysfsWorld } from './world.ts';

/** Misc devices of this kernel. */
export function miscDevices(world: SysfsWorld): MiscDevice[] {
  return MISC_DEVICES.filter((device) => device.isIn(world));
}

/** /sys/class/misc: a link for each. */
export function miscClass(world: SysfsWorld): DirNode {
  return dirOf(
    () => byName(miscDevices(world)),
    ({ name }) => link(`../../devices/virtual/misc/${name}`),
    true,
  );
}

/** /sys/devices/virtual/misc */
export function virtualMisc(world: SysfsWorld): DirNode {
  return dirOf(() => byName(miscDevices(world)), oneMisc, true);
}
function oneMisc({ node, devname }: MiscDevice): DirNode {
  const { major, minor, mode } = node;
  const numbers = `MAJOR=${major}\nMINOR=${minor}\n`;
  return dir(() => ({
    dev: textAttr(() => `${major}:${minor}\n`),
    power: dir(() => ({ control: textAttr(() => 'auto\n', 0o644) })),
    subsystem: link('../../../../class/misc'),
    uevent: textAttr(() => `${numbers}DEVNAME=${devname}\nDEVMODE=0${mode.toString(8)}\n`, 0o644),
  }));
}

/** /sys/dev: of its two directories only that of character devices is ours. */
export function devDir(world: SysfsWorld): DirNode {
  const char = dirOf(
    () => charDevices(world),
    (path) => link(relative('/sys/dev/char', path)),
    true,
  );
  return dir(() => ({ char }), true);
}

/** Directories of character devices, by major:minor. */
function charDevices(world: SysfsWorld): [numbers: string, path: string][] {
  const out = miscDevices(world).map(({ name, node }): [string, string] => [
    `${node.major}:${node.minor}`,
    `/sys/devices/virtual/misc/${name}`,
  ]);
  for (const { nodeName, minor } of world.vfio.groups()) {
    out.push([`${VFIO_GROUP_MAJOR}:${minor}`, `/sys/devices/virtual/vfio/${nodeName}`]);
  }
  for (const device of world.vfio.devices()) {
    const at = sysPathOfDevice(world, device.dev);
    if (at === undefined || !world.vfio.hasCdev(device)) continue;
    const path = `${at}/vfio-dev/${device.cdevName}`;
    out.push([`${VFIO_DEVICE_MAJOR}:${device.index}`, path]);
  }
  return out;
}
