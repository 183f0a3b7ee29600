/** /sys/bus/pci: devices, drivers, and the files that bind the two (vfio.md 4.2). */
import { ENODEV, isErrno, type Result } from '../../../base/errno.ts';
import { refuse } from '../../../base/refuse.ts';
import type { KernelDriver } from '../../kernel/driver-core.ts';
import type { DirNode, Node } from '../nodes.ts';
import { loadedModules } from '../../kernel/modules.ts';
import { parseBool } from '../../kernel/parameters.ts';
import type { PciDev } from '../../kernel/pci-dev.ts';
import { dir, dirOf, link, writableAttr } from '../tree.ts';
import { rescanFile } from './pci-bus-class.ts';
import { byName, relative, type SysfsWorld } from './world.ts';

/** The directory /sys/bus/pci. */
export function pciBusDir(world: SysfsWorld): DirNode {
  const { drivers } = world;
  return dir(() => ({
    devices: devicesDir(world),
    drivers: dirOf(
      () => drivers.drivers,
      (driver) => driverDir(world, driver),
    ),
    slots: dir(() => ({})),
    drivers_autoprobe: writableAttr(
      () => `${drivers.autoprobe ? 1 : 0}\n`,
      (text) => {
        const on = parseBool(text);
        if (isErrno(on)) return on;
        drivers.autoprobe = on;
        return undefined;
      },
    ),
    drivers_probe: writableAttr(undefined, (text) => {
      const pci = named(world, text);
      if (isErrno(pci)) return pci;
      drivers.attach(pci);
      return undefined;
    }),
    rescan: rescanFile(world, undefined),
    uevent: writableAttr(undefined, () => undefined),
  }));
}

function devicesDir(world: SysfsWorld): DirNode {
  return dirOf(
    () => byName(world.pci.devices()),
    (pci) => link(relative('/sys/bus/pci/devices', pci.sysPath)),
  );
}

function driverDir(world: SysfsWorld, driver: KernelDriver): DirNode {
  const { drivers } = world;
  return dir(() => {
    const bound: [string, Node][] = driver.bound.map((pci) => [
      pci.name,
      link(relative(`/sys/bus/pci/drivers/${driver.name}`, pci.sysPath)),
    ]);
    return {
      ...Object.fromEntries(bound),
      bind: writableAttr(undefined, (text) => {
        const pci = named(world, text);
        return isErrno(pci) ? pci : drivers.bind(driver, pci);
      }),
      unbind: writableAttr(undefined, (text) => {
        const pci = named(world, text);
        return isErrno(pci) ? pci : drivers.unbind(driver, pci);
      }),
      new_id: writableAttr(undefined, (text) => drivers.newId(driver, text, world.pci.devices())),
      remove_id: writableAttr(undefined, (text) => drivers.removeId(driver, text)),
      uevent: writableAttr(undefined, () => undefined),
      module: hasModule(world, driver) ? link(`../../../../module/${driver.module}`) : undefined,
    };
  });
}

function hasModule({ env, drivers }: SysfsWorld, driver: KernelDriver): boolean {
  return loadedModules(env, drivers).some(({ name }) => name === driver.module);
}
function named(world: SysfsWorld, text: string): Result<PciDev, 'ENODEV'> {
  const name = text.trim();
  return world.pci.device(name) ?? refuse(ENODEV, 'no such PCI device', { device: name });
}
