/**
 * Files of /proc that tell of the whole simulated kernel: its modules, its character devices, its PCI functions (vfio.md 1.1,
 * 4.1). The host's lines of the same files stay beside ours, but for PCI, which is the machine's alone.
 */
import { VFIO_DEVICE_MAJOR, VFIO_GROUP_MAJOR } from '../../vfio/vfio-core.ts';
import { PCI_INTERRUPT_LINE } from '../../uapi/pci-regs.ts';
import { holdersOf, loadedModules, refCount } from '../kernel/modules.ts';
import type { PciDev } from '../kernel/pci-dev.ts';
import type { AttrNode, DirNode } from './nodes.ts';
import { miscDevices } from './sysfs/char-devices.ts';
import { configFile } from './sysfs/pci-device.ts';
import type { SysfsWorld } from './sysfs/world.ts';
import { dir, dirOf, textAttr } from './tree.ts';

/** What the host's file of a path says; nothing where it has none. */
export type HostText = (path: string) => string;
/** What such a file says, given what the host's says of itself. */
type ProcText = (world: SysfsWorld, host: string) => string;

/** The directory /proc. */
export function procRoot(world: SysfsWorld, hostText: HostText): DirNode {
  const file = (name: string, text: ProcText): AttrNode =>
    textOfKernel(() => text(world, hostText(`/proc/${name}`)));
  const kernel = {
    devices: file('devices', devices),
    misc: file('misc', misc),
    modules: file('modules', modules),
  };
  const bus = dir(() => ({ pci: pciDir(world) }), true);
  return dir(() => ({ bus, ...kernel }), true);
}
function textOfKernel(text: () => string): AttrNode {
  return { ...textAttr(text), size: 0, uid: 0, gid: 0 };
}

/** 'devices', and a directory of functions for each bus. @kernel pci_proc_attach_device */
function pciDir(world: SysfsWorld): DirNode {
  return dir(() => {
    const functions = world.pci.devices();
    const buses = [...new Set(functions.map(busName))];
    return {
      devices: textOfKernel(() => functions.map(pciLine).join('')),
      ...Object.fromEntries(
        buses.map((bus) => {
          const onBus = functions.filter((pci) => busName(pci) === bus);
          return [bus, dirOf(() => onBus.map((pci) => [functionName(pci), pci]), configOf)];
        }),
      ),
    };
  });
}
function busName({ name }: PciDev): string {
  const [domain, bus] = name.split(':');
  return domain === '0000' ? bus! : `${domain}:${bus}`;
}
function functionName({ name }: PciDev): string {
  return name.split(':')[2]!;
}
function configOf(pci: PciDev): AttrNode {
  return { ...configFile(pci), uid: 0, gid: 0 };
}

function modules(world: SysfsWorld, host: string): string {
  const loaded = loadedModules(world.env, world.drivers);
  const ours = loaded.map(({ name, size }) => {
    const users = holdersOf(loaded, name).map((user) => `${user},`);
    const count = refCount(loaded, name, world.vfio);
    return `${name} ${size} ${count} ${users.join('') || '-'} Live 0x0000000000000000\n`;
  });
  return beside(ours, host, 0);
}
function misc(world: SysfsWorld, host: string): string {
  const ours = miscDevices(world).map(
    ({ name, node }) => `${String(node.minor).padStart(3)} ${name}\n`,
  );
  return beside(ours, host, 1);
}

const CHARACTER = 'Character devices:\n';
const BLOCK = '\nBlock devices:\n';
function devices(_world: SysfsWorld, host: string): string {
  const end = host.indexOf(BLOCK);
  const [characters, blocks] = end < 0 ? ['', BLOCK] : [host.slice(0, end), host.slice(end)];
  const ours = [`${VFIO_GROUP_MAJOR} vfio\n`, `${VFIO_DEVICE_MAJOR} vfio-dev\n`];
  const lines = beside(ours, characters.replace(CHARACTER, ''), 1).match(/[^\n]*\n/g) ?? [];
  lines.sort((a, b) => parseInt(a, 10) - parseInt(b, 10));
  return CHARACTER + lines.join('') + blocks;
}

/** Our lines, and those of the host with another word at that place and another first word. */
function beside(ours: readonly string[], host: string, place: number): string {
  const words = (line: string): string[] => line.trim().split(/\s+/);
  const taken = new Set(ours.flatMap((line) => [words(line)[0], words(line)[place]]));
  const theirs = (host.match(/[^\n]+\n/g) ?? []).filter(
    (line) => !taken.has(words(line)[0]) && !taken.has(words(line)[place]),
  );
  return [...ours, ...theirs].join('');
}

/** Of BARs 0 to 5 and the ROM: 7 places, then 7 sizes. */
const PLACES = 7;
function pciLine(pci: PciDev): string {
  const { fn } = pci;
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  const { device, vendor } = fn.identity;
  const bars = Array.from({ length: PLACES }, (_, n) => fn.bars[n]);
  const wide = (value: number): string => value.toString(16).padStart(16);
  const head = [
    hex(fn.at.bus, 2) + hex(fn.devfn, 2),
    hex(vendor, 4) + hex(device, 4),
    fn.readConfig(PCI_INTERRUPT_LINE, 1).toString(16),
  ];
  const places = bars.map((bar) => wide(bar ? bar.address + typeBits(bar.kind) : 0));
  const sizes = bars.map((bar) => wide(bar?.size ?? 0));
  return `${[...head, ...places, ...sizes, pci.driver?.name ?? ''].join('\t')}\n`;
}
function typeBits(kind: 'io' | 'mem32' | 'mem64'): number {
  if (kind === 'io') return 1;
  return kind === 'mem64' ? 4 : 0;
}
