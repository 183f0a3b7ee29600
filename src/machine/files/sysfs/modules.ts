/** /sys/module: what is loaded, with its parameters, its users and its drivers (vfio.md 4.1). */
import { holdersOf, loadedModules, refCount, type KernelModule } from '../../kernel/modules.ts';
import type { DirNode, LinkNode } from '../nodes.ts';
import { dir, dirOf, link, textAttr, writableAttr } from '../tree.ts';
import type { SysfsWorld } from './world.ts';

/** The directory /sys/module; the host's modules show through. */
export function moduleDir(world: SysfsWorld): DirNode {
  return dirOf(
    () => loadedModules(world.env, world.drivers).map((module) => [module.name, module] as const),
    (module) => oneModule(world, module),
    true,
  );
}

function oneModule(world: SysfsWorld, { name, size }: KernelModule): DirNode {
  const loaded = (): KernelModule[] => loadedModules(world.env, world.drivers);
  const parameters = world.modules[name] ?? {};
  const drivers = [...world.drivers.drivers.values()].filter(({ module }) => module === name);
  return dir(() => ({
    coresize: textAttr(() => `${size}\n`),
    drivers: drivers.length === 0 ? undefined : dirOf(() => namesOf(drivers), driverLink),
    holders: dirOf(
      () => holdersOf(loaded(), name).map((holder) => [holder, holder] as const),
      (holder) => link(`../../${holder}`),
    ),
    initsize: textAttr(() => '0\n'),
    initstate: textAttr(() => 'live\n'),
    parameters: Object.keys(parameters).length === 0 ? undefined : parametersDir(parameters),
    refcnt: textAttr(() => `${refCount(loaded(), name, world.vfio)}\n`),
    taint: textAttr(() => '\n'),
    uevent: writableAttr(undefined, () => undefined),
  }));
}
function namesOf(drivers: readonly { name: string }[]): [string, string][] {
  return drivers.map(({ name }) => [`pci:${name}`, name]);
}
function driverLink(name: string): LinkNode {
  return link(`../../../bus/pci/drivers/${name}`);
}

function parametersDir(parameters: SysfsWorld['modules'][string]): DirNode {
  return dirOf(
    () => Object.entries(parameters),
    (parameter) => {
      const read = (): string => parameter.read();
      const { write } = parameter;
      return write ? writableAttr(read, write) : textAttr(read);
    },
  );
}
