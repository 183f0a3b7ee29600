/** The tree below /sys, as far as it is ours; the rest of the host's shows through in merged directories. */
import { hostBridgeOf } from '../../kernel/pci-dev.ts';
import type { DirNode } from '../nodes.ts';
import { dir, textAttr } from '../tree.ts';
import { hotPlugDir } from '../hot-plug-files.ts';
import { iommuClass, iommuGroupsDir, virtualIommu } from './iommu.ts';
import { devDir, miscClass, virtualMisc } from './char-devices.ts';
import { mdevBus, mdevClasses, virtualMtty } from './mdev.ts';
import { moduleDir } from './modules.ts';
import { pciBusDir } from './pci-bus.ts';
import { pciBusClass, rootBusDirs } from './pci-bus-class.ts';
import { pciDeviceDir } from './pci-device.ts';
import { vfioClass, vfioDevClass, virtualVfio } from './vfio-class.ts';
import { vfioDebugDir } from './vfio-debug.ts';
import type { SysfsWorld } from './world.ts';

/** The directory /sys. */
export function sysfsRoot(world: SysfsWorld): DirNode {
  const pciBus = pciBusDir(world);
  const modules = moduleDir(world);
  const groups = iommuGroupsDir(world);
  const classes = dir(
    () => ({
      iommu: iommuClass(world),
      ...mdevClasses(world),
      misc: miscClass(world),
      pci_bus: pciBusClass(world, () => Object.keys(rootBuses(world))),
      vfio: vfioClass(world),
      'vfio-dev': vfioDevClass(world),
    }),
    true,
  );
  const devices = devicesDir(world);
  const bus = dir(() => ({ mdev: mdevBus(world), pci: pciBus }), true);
  const debug = debugDir(world);
  const kernel = dir(() => ({ iommu_groups: groups, debug }), true);
  const dev = devDir(world);
  return dir(() => ({ bus, class: classes, dev, devices, kernel, module: modules }), true);
}

function debugDir(world: SysfsWorld): DirNode {
  const { env, faults, hotplug } = world;
  const softiommu = env.has('debug-hotplug') ? hotPlugDir(hotplug) : undefined;
  return dir(() => ({ ...faults?.directories(), softiommu, vfio: vfioDebugDir(world) }), true);
}

function devicesDir(world: SysfsWorld): DirNode {
  const virtual = dir(
    () => ({
      iommu: virtualIommu(world),
      misc: virtualMisc(world),
      mtty: virtualMtty(world),
      vfio: virtualVfio(world),
    }),
    true,
  );
  return dir(() => ({ ...rootBuses(world), virtual }), true);
}

/** pciDDDD:BB, one per root bus. */
function rootBuses(world: SysfsWorld): Record<string, DirNode> {
  const out: Record<string, DirNode> = {};
  for (const bus of world.hardware.rootBuses()) {
    const name = hostBridgeOf(bus);
    out[name] = dir(() => ({
      ...Object.fromEntries(
        world.pci
          .childrenOf(undefined)
          .filter((each) => each.sysPath.split('/')[3] === name)
          .map((each) => [each.name, pciDeviceDir(world, each)]),
      ),
      pci_bus: rootBusDirs(world, name),
      uevent: textAttr(() => '', 0o644),
      power: dir(() => ({ control: textAttr(() => 'auto\n', 0o644) })),
    }));
  }
  return out;
}
