/** Buses in sysfs: pci_bus/DDDD:BB below what leads to one, with its file `rescan`, and /sys/class/pci_bus (vfio.md 4.1). */
import { isErrno } from '../../../base/errno.ts';
import { parseUnsigned } from '../../kernel/parameters.ts';
import type { PciDev } from '../../kernel/pci-dev.ts';
import type { AttrNode, DirNode } from '../nodes.ts';
import { dir, dirOf, link, textAttr, writableAttr } from '../tree.ts';
import { relative, type SysfsWorld } from './world.ts';

const ALL_CPUS = { mask: 'ff\n', list: '0-7\n' };

/** The bus behind a bridge, in the bridge's directory. */
export function busDirs(world: SysfsWorld, bridge: PciDev): DirNode {
  const bus = bridgeBus(bridge);
  return dirOf(
    () => [[bus, bridge] as const],
    () => busDir(world, `${bridge.sysPath}/pci_bus/${bus}`, bridge),
  );
}
/** A root bus, in the directory of its host bridge. */
export function rootBusDirs(world: SysfsWorld, hostBridge: string): DirNode {
  const bus = busOfHostBridge(hostBridge);
  return dirOf(
    () => [[bus, hostBridge] as const],
    () => busDir(world, `/sys/devices/${hostBridge}/pci_bus/${bus}`, undefined),
  );
}

/** /sys/class/pci_bus: a link for each bus. */
export function pciBusClass(world: SysfsWorld, hostBridges: () => readonly string[]): DirNode {
  return dirOf(
    () => [
      ...hostBridges().map((name) => {
        const bus = busOfHostBridge(name);
        return [bus, `/sys/devices/${name}/pci_bus/${bus}`] as const;
      }),
      ...world.pci.devices().flatMap((pci) => {
        if (!pci.isBridge) return [];
        const bus = bridgeBus(pci);
        return [[bus, `${pci.sysPath}/pci_bus/${bus}`] as const];
      }),
    ],
    (path) => link(relative('/sys/class/pci_bus', path)),
  );
}

/** The file `rescan`: a number other than 0 scans the bus behind a bridge; undefined: all. @kernel rescan_store */
export function rescanFile(world: SysfsWorld, bridge: PciDev | undefined): AttrNode {
  return writableAttr(undefined, (text) => {
    const yes = parseUnsigned(text, Number.MAX_SAFE_INTEGER);
    if (isErrno(yes)) return yes;
    if (yes !== 0) world.pci.rescan(bridge);
    return undefined;
  });
}

function busDir(world: SysfsWorld, here: string, bridge: PciDev | undefined): DirNode {
  return dir(() => ({
    rescan: rescanFile(world, bridge),
    cpuaffinity: textAttr(() => ALL_CPUS.mask),
    cpulistaffinity: textAttr(() => ALL_CPUS.list),
    subsystem: link(relative(here, '/sys/class/pci_bus')),
    device: link('../..'),
    uevent: textAttr(() => '', 0o644),
    power: dir(() => ({ control: textAttr(() => 'auto\n', 0o644) })),
  }));
}

/** '0000:01' */
function bridgeBus({ fn }: PciDev): string {
  const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
  return `${hex(fn.at.segment, 4)}:${hex(fn.identity.bridge!.secondary, 2)}`;
}
/** 'pci0000:00' leads to bus '0000:00'. */
function busOfHostBridge(name: string): string {
  return name.slice('pci'.length);
}
