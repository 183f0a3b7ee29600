/**
 * What a checked description says: its entries with where they stand, addresses in numbers, the names of its IOMMUs.
 *
 * Nothing here knows shapes, so that a machine can be built of a description that was checked elsewhere.
 */
import type { IommuTypes } from '../../drivers/types.ts';
import type { DeviceType } from '../../devices/port.ts';
import type { PtFormat } from '../../pt/format.ts';
import type { DeviceDescription, MachineDescription } from './description.ts';
import { BRIDGE_TYPES, type BridgeType } from './names.ts';

/** Device models by their type. */
export type DeviceTypes = ReadonlyMap<string, DeviceType>;

/** What can be plugged into a machine, by the names a description uses. */
export interface HardwareTypes {
  readonly devices: DeviceTypes;
  readonly iommus: IommuTypes;
  /** Page-table formats besides those that come with softiommu; IOMMUs find them by name (IommuWorld). */
  readonly formats?: ReadonlyMap<string, PtFormat>;
}

/** A PCI address in numbers: segment 16 bits, bus 8, device 5, function 3. */
export interface Address {
  readonly segment: number;
  readonly bus: number;
  readonly device: number;
  readonly fn: number;
}

/** The text has been checked against the pattern. */
export function parseAddress(at: string): Address {
  const [segment = '', bus = '', slot = ''] = at.split(':');
  const [device = '', fn = ''] = slot.split('.');
  return {
    segment: parseInt(segment, 16),
    bus: parseInt(bus, 16),
    device: parseInt(device, 16),
    fn: parseInt(fn, 16),
  };
}

/** Is it the type of a bridge, and not of a device model? */
export function isBridge(type: string): type is BridgeType {
  return BRIDGE_TYPES.some((bridge) => bridge === type);
}

/** The kernel driver that is bound at boot. */
export function driverOf({ type, driver }: DeviceDescription): string {
  return driver ?? (isBridge(type) ? 'pcieport' : 'vfio-pci');
}

/** One device entry with where it stands. */
export interface DeviceEntry {
  readonly device: DeviceDescription;
  readonly path: readonly (string | number)[];
  readonly parent: DeviceEntry | undefined;
}

/** Every device entry, parents first. */
export function entriesOf(description: MachineDescription): DeviceEntry[] {
  const out: DeviceEntry[] = [];
  const visit = (
    devices: readonly DeviceDescription[],
    path: readonly (string | number)[],
    parent: DeviceEntry | undefined,
  ): void => {
    for (const [n, device] of devices.entries()) {
      const entry = { device, path: [...path, n], parent };
      out.push(entry);
      visit(device.devices, [...entry.path, 'devices'], entry);
    }
  };
  visit(description.devices, ['devices'], undefined);
  return out;
}

/** Names the IOMMUs get when they have none: dmar0, dmar1, … and mock0, mock1, …; counted per type. */
export function iommuNames(description: MachineDescription, types: IommuTypes): string[] {
  const counts = new Map<string, number>();
  return description.iommus.map(({ name, type }) => {
    if (name !== undefined) return name;
    const count = counts.get(type) ?? 0;
    counts.set(type, count + 1);
    return `${types.get(type)?.prefix ?? type}${count}`;
  });
}
