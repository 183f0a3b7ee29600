/** /sys/kernel/debug/vfio: what a VFIO device does, for people (vfio.md 4.1). */
import type { VfioDevice } from '../../../vfio/device.ts';
import type { DeviceMigration } from '../../../vfio/device-ops.ts';
import type { DirNode } from '../nodes.ts';
import { dir, dirOf, textAttr } from '../tree.ts';
import type { SysfsWorld } from './world.ts';

/** Undefined in kernels without it. @kernel vfio_debugfs_create_root */
export function vfioDebugDir(world: SysfsWorld): DirNode | undefined {
  const members = () => Array.from(world.vfio.devices(), (one) => [one.dev.name, one] as const);
  return dirOf(members, (device) => deviceDir(world, device));
}

/** @kernel vfio_device_debugfs_init */
function deviceDir({ env }: SysfsWorld, { ops }: VfioDevice): DirNode {
  const { migration } = ops;
  return dir(() => ({
    migration: migration && migrationDir(migration),
    pci: ops.name === 'vfio-pci' && !env.has('vfio-no-fdinfo') ? pciDir() : undefined,
  }));
}
function migrationDir(migration: DeviceMigration): DirNode {
  const { p2p, preCopy } = migration.device;
  const features = ['stop-copy', ...(p2p ? ['p2p'] : []), ...(preCopy ? ['pre-copy'] : [])];
  return dir(() => ({
    features: textAttr(() => features.map((each) => `${each}\n`).join('')),
    state: textAttr(() => `${migration.stateName}\n`),
  }));
}
/** The parameters nointxmask and disable_idle_d3 as they were when the driver took the device. */
function pciDir(): DirNode {
  return dir(() => ({
    disable_idle_d3: textAttr(() => 'N\n'),
    nointxmask: textAttr(() => 'N\n'),
  }));
}
