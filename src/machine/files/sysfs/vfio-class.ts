/** Class directories of VFIO: vfio-dev/vfioX of a device, /sys/class/vfio and /sys/class/vfio-dev (vfio.md 3.1). */
import type { Device } from '../../../core/contract/device.ts';
import type { VfioDevice } from '../../../vfio/device.ts';
import { VFIO_DEVICE_MAJOR, VFIO_GROUP_MAJOR } from '../../../vfio/vfio-core.ts';
import type { DirNode, Node } from '../nodes.ts';
import { dir, dirOf, link, textAttr } from '../tree.ts';
import { relative, sysPathOfDevice, type SysfsWorld } from './world.ts';

/** Undefined while no vfio driver holds the device. */
export function vfioDevDir(world: SysfsWorld, dev: Device, sysPath: string): DirNode | undefined {
  const device = world.vfio.deviceOf(dev);
  if (!device) return undefined;
  return dir(() => ({ [device.cdevName]: oneVfioDev(world, sysPath, device) }));
}

function oneVfioDev(world: SysfsWorld, sysPath: string, device: VfioDevice): DirNode {
  const here = `${sysPath}/vfio-dev/${device.cdevName}`;
  const number = `${VFIO_DEVICE_MAJOR}:${device.index}`;
  const hasCdev = world.vfio.hasCdev(device);
  return dir(() => ({
    dev: hasCdev ? textAttr(() => `${number}\n`) : undefined,
    uevent: textAttr(
      () =>
        hasCdev
          ? `MAJOR=${VFIO_DEVICE_MAJOR}\nMINOR=${device.index}\nDEVNAME=vfio/devices/${device.cdevName}\n`
          : '',
      0o644,
    ),
    subsystem: link(relative(here, '/sys/class/vfio-dev')),
    device: link(`../../../${device.dev.name}`),
    power: dir(() => ({})),
  }));
}

/** /sys/class/vfio-dev: a link for each device that has a cdev. */
export function vfioDevClass(world: SysfsWorld): DirNode {
  return dir(() => {
    const out: Record<string, Node> = {};
    for (const device of world.vfio.devices()) {
      const sysPath = sysPathOfDevice(world, device.dev);
      if (sysPath === undefined) continue;
      const target = `${sysPath}/vfio-dev/${device.cdevName}`;
      out[device.cdevName] = link(relative('/sys/class/vfio-dev', target));
    }
    return out;
  });
}

/** /sys/class/vfio: links to /sys/devices/virtual/vfio/N. */
export function vfioClass(world: SysfsWorld): DirNode {
  return dirOf(
    () => groupsByNode(world),
    ({ nodeName }) => link(`../../devices/virtual/vfio/${nodeName}`),
  );
}

/** /sys/devices/virtual/vfio: the nodes of groups, with their numbers. */
export function virtualVfio(world: SysfsWorld): DirNode {
  return dirOf(
    () => groupsByNode(world),
    ({ nodeName, minor }) =>
      dir(() => ({
        dev: textAttr(() => `${VFIO_GROUP_MAJOR}:${minor}\n`),
        uevent: textAttr(
          () => `MAJOR=${VFIO_GROUP_MAJOR}\nMINOR=${minor}\nDEVNAME=vfio/${nodeName}\n`,
          0o644,
        ),
        subsystem: link('../../../../class/vfio'),
      })),
  );
}

function groupsByNode(world: SysfsWorld) {
  return Array.from(world.vfio.groups(), (group) => [group.nodeName, group] as const);
}
