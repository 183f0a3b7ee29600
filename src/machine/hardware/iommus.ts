/**
 * The IOMMUs of a description: one driver per type, one instance per entry, and which unit stands above which function.
 *
 * A function names its instance by firmware node (fwspec), so instances of different drivers stand side by side.
 */
import { Bug } from '../../base/bug.ts';
import { isErrno } from '../../base/errno.ts';
import { withDefaults, type OptionValues } from '../../base/options.ts';
import type { Device } from '../../core/contract/device.ts';
import { fwspecInit } from '../../core/probe/fwspec.ts';
import type {
  EnableBits,
  FirmwareRegion,
  Iommu,
  IommuDriver,
  IommuType,
  IommuWorld,
} from '../../drivers/iommu-type.ts';
import type { IommuTypes } from '../../drivers/types.ts';
import type { PciFunction } from '../../pci/topology.ts';
import { entriesOf, iommuNames } from '../description/entries.ts';
import type {
  DirectRegion,
  IommuDescription,
  MachineDescription,
} from '../description/description.ts';

/** One IOMMU of the machine, with the name and type it has in the description. */
export interface MachineIommu extends Iommu {
  readonly name: string;
  readonly type: string;
  /** Tell instance and device of each other, before the device is probed. */
  plug(dev: Device, requesterId: number): void;
  /** The kernel forgets the device. */
  unplug(requesterId: number): void;
}

/** What the IOMMUs of a machine are made of. */
export interface IommusOf extends IommuWorld {
  readonly description: MachineDescription;
  readonly types: IommuTypes;
  /** Of the functions below the IOMMU of that name. */
  enableBitsBelow(iommu: string): EnableBits;
  /** Name of the IOMMU above the function at an address; undefined: none. */
  nameAbove(at: string): string | undefined;
}

/** Make them in the order of the description. */
export function makeIommus(parts: IommusOf): MachineIommu[] {
  const names = iommuNames(parts.description, parts.types);
  const drivers = new Map<IommuType, IommuDriver>();
  const directRegions = entriesOf(parts.description).flatMap(({ device }) =>
    device.directRegions.map((region) => firmwareRegion(region, device.at)),
  );
  return parts.description.iommus.map((entry, n) => {
    const name = names[n]!;
    const type = parts.types.get(entry.type);
    if (!type) throw new Bug(`${name}: there is no IOMMU type ${entry.type}`);
    const driver = drivers.get(type) ?? type.createDriver(parts);
    drivers.set(type, driver);
    const fwnode = { iommu: name };
    const covers = (fn: PciFunction): boolean => parts.nameAbove(fn.name) === name;
    const enableBits = parts.enableBitsBelow(name);
    const place = { name, fwnode, covers, enableBits, directRegions };
    const made = driver.create(place, withDefaults(type.options, givenBy(entry)));
    if (isErrno(made)) throw new Bug(`${name} could not be made: ${made.name}`);
    return { ...made, name, type: entry.type, ...wiring(made, fwnode) };
  });
}

/** What an entry gives besides its type and name. */
function givenBy(entry: IommuDescription): OptionValues {
  const entries = Object.entries(entry).filter(([key]) => key !== 'type' && key !== 'name');
  return Object.fromEntries(
    entries.flatMap(([k, v]) => (v === undefined ? [] : [[k, v] as const])),
  );
}

function wiring(made: Iommu, fwnode: object): Pick<MachineIommu, 'plug' | 'unplug'> {
  return {
    plug(dev, requesterId) {
      made.connect?.(dev, requesterId);
      nameInstance(dev, fwnode);
    },
    unplug: (requesterId) => made.disconnect?.(requesterId),
  };
}

function firmwareRegion({ start, last, relaxable }: DirectRegion, at: string): FirmwareRegion {
  const from = BigInt(start);
  const length = BigInt(last) - from + 1n;
  return { start: from, length, relaxable, of: (fn) => fn.name === at };
}

/** What firmware does for a device: say by which instance it is translated. */
function nameInstance(dev: Device, fwnode: object): void {
  const rc = fwspecInit(dev, fwnode);
  if (rc) throw new Bug(`${dev.name} could not name its IOMMU: ${rc.name}`);
}
