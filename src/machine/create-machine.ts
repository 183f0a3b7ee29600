/** A machine from what somebody wrote: checked first, so that what cannot be is told with all its problems. */
import { parseDescription } from './description/description-check.ts';
import type {
  DeviceDescription,
  MachineDescription,
  MachineInput,
} from './description/description.ts';
import { entriesOf } from './description/entries.ts';
import type { Problem } from './description/shape-problems.ts';
import type { Hardware } from './hardware/hardware.ts';
import type { PciSlot } from './hardware/slot.ts';
import { given } from './description/wording.ts';
import { allTypes, Machine, type MachineOptions } from './machine.ts';

/** The machine of this description, or every problem found in it. */
export function createMachine(
  input: MachineInput,
  options: MachineOptions = {},
): { readonly machine: Machine } | { readonly problems: readonly Problem[] } {
  const checked = parseDescription(input, allTypes(options), options.host);
  if ('problems' in checked) return checked;
  const problems = [
    ...unopenedFiles(checked.description, options),
    ...unloadedPlugins(checked.description),
  ];
  if (problems.length > 0) return { problems };
  return { machine: new Machine(checked.description, options) };
}

/** The library opens no files: whoever makes the machine gives it what is on them. */
function unopenedFiles(
  { blocks, wires }: MachineDescription,
  { host = {} }: MachineOptions,
): readonly Problem[] {
  const files = Object.keys(blocks)
    .filter((name) => blocks[name]!.file !== undefined && !host.blocks?.has(name))
    .map((name) => ({
      path: ['blocks', name, 'file'],
      message: `files are opened by softiommu run only; give ${name} in host.blocks`,
    }));
  const ends = Object.keys(wires)
    .filter((name) => !host.wires?.has(name))
    .map((name) => ({
      path: ['wires', name],
      message: `wires are joined to the host by softiommu run only; give ${name} in host.wires`,
    }));
  return [...files, ...ends];
}

/** The library loads no modules: whoever makes the machine gives it their types. */
function unloadedPlugins({ plugins }: MachineDescription): readonly Problem[] {
  return plugins.map((file, n) => ({
    path: ['plugins', n],
    message: `plugins are loaded by softiommu's commands only; give the types of ${given(file)} in deviceTypes and iommuTypes`,
  }));
}

/** One device as a machine file has it. */
export type DeviceInput = Partial<DeviceDescription> & Pick<DeviceDescription, 'type' | 'at'>;

/**
 * Put a device into a machine that runs: its address says behind which bridge. Every problem found, as if the
 * description of the machine as it is now had been written with it.
 */
export function plugDevice(
  machine: Machine,
  input: DeviceInput,
): { readonly slot: PciSlot } | { readonly problems: readonly Problem[] } {
  const { hardware } = machine;
  if (hardware.slot(input.at)?.fn.carrier) {
    return { problems: [{ path: ['at'], message: `a virtual function is at ${input.at}` }] };
  }
  const bridge = hardware.bridgeAbove(input.at)?.name;
  const devices = devicesNow(hardware, undefined, { bridge, input });
  const whole = { ...machine.description, devices };
  const checked = parseDescription(whole, machine.types, machine.host);
  if ('problems' in checked) return checked;
  const { description } = checked;
  const entry = entriesOf(description).find(({ device }) => device.at === input.at);
  return { slot: machine.hotplug.plug(entry!.device, description) };
}

/** What is plugged in now, and the new one behind its bridge. A bridge with nothing behind it is left out. */
function devicesNow(
  hardware: Hardware,
  above: PciSlot | undefined,
  added: { readonly bridge: string | undefined; readonly input: DeviceInput },
): unknown[] {
  const there = hardware.childrenOf(above).filter(({ fn }) => !fn.carrier);
  const devices = there.flatMap((slot) => {
    const behind = slot.isBridge ? devicesNow(hardware, slot, added) : [];
    if (slot.isBridge && behind.length === 0) return [];
    return [{ ...slot.description, devices: behind }];
  });
  return added.bridge === above?.name ? [...devices, added.input] : devices;
}
