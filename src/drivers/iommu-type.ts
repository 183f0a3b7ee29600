/**
 * What a type of IOMMU is to a machine: a name in the description, options, and how an instance of it is made.
 *
 * A type is one file with a row in types.ts, or given by the user of the library (MachineOptions.iommuTypes). Nothing
 * else in the machine names a type.
 */
import type { PhysicalMemory } from '../base/physical-memory.ts';
import type { Result } from '../base/errno.ts';
import type { OptionTable, OptionValues } from '../base/options.ts';
import type { Device } from '../core/contract/device.ts';
import type { IommuDevice } from '../core/contract/driver.ts';
import type { IommuCore } from '../core/contract/iommu-core.ts';
import type { RemappingUnit } from '../core/contract/remapping-unit.ts';
import type { PciFunction } from '../pci/topology.ts';
import type { PtFormat } from '../pt/format.ts';
import type { PciGrouping } from './pci-group.ts';

/** Options as a description gives them: checked, and with the defaults of the table. */
export type IommuOptions = OptionValues;

/** A type of IOMMU. */
export interface IommuType {
  /** Its name in a machine description. */
  readonly type: string;
  /** One line for people. */
  readonly summary: string;
  /** Instances nobody named are called this and a number, as the kernel does: 'dmar' makes dmar0, dmar1. */
  readonly prefix: string;
  readonly options: OptionTable;
  /** How its units are seen in the sysfs of a real machine; undefined: they are not. */
  readonly seen?: SeenIommu;
  /** The driver in one machine; it serves every instance of the type there. */
  createDriver(world: IommuWorld): IommuDriver;
}

/** Units of a type in the sysfs of a real machine, of which `topology --from` makes entries. */
export interface SeenIommu {
  /** What is looked at, below the directory of a unit: 'intel-iommu/cap'. */
  readonly attributes: readonly string[];
  /** Options that are not the defaults, by these texts. Undefined: Linux writes no such texts. */
  options(texts: readonly string[]): OptionValues | undefined;
}

/** The machine, as the driver of a type sees it. */
export interface IommuWorld {
  readonly core: IommuCore;
  /** For tables that do not lie in the machine's RAM. */
  readonly memory: PhysicalMemory;
  readonly grouping: PciGrouping;
  /** Every page-table format there is, by name: those that come with softiommu, and those of plugins. */
  readonly formats: ReadonlyMap<string, PtFormat>;
}

/** Makes the instances of a machine. */
export interface IommuDriver {
  /** Make an instance and register it with the core under `place.fwnode`. ENOMEM: the RAM has no room for its tables. */
  create(place: IommuPlace, options: IommuOptions): Result<Iommu>;
}

/** Where an instance stands. */
export interface IommuPlace {
  readonly name: string;
  /** What its devices name it by (fwspec). */
  readonly fwnode: object;
  /** Does it translate for this function? */
  readonly covers: (fn: PciFunction) => boolean;
  /** Of the functions it translates for. */
  readonly enableBits: EnableBits;
  /** Ranges that firmware wants mapped one to one. */
  readonly directRegions: readonly FirmwareRegion[];
}

/** Bits in the configuration space of functions, by requester id, that the driver of their IOMMU decides; a reset clears them. */
export interface EnableBits {
  /** May the device ask for translations? @kernel pci_enable_ats */
  setAts(requesterId: number, enabled: boolean): void;
  /** May it ask for pages? @kernel pci_enable_pri */
  setPri(requesterId: number, enabled: boolean): void;
}

/** A range of addresses, in bytes, that firmware wants mapped one to one for some functions. */
export interface FirmwareRegion {
  readonly start: bigint;
  readonly length: bigint;
  /** Needed at boot only: the device may be owned. */
  readonly relaxable: boolean;
  /** Which functions it is for. */
  readonly of: (fn: PciFunction) => boolean;
}

/** One IOMMU of a machine, from both sides. */
export interface Iommu {
  readonly instance: IommuDevice;
  readonly unit: RemappingUnit;
  /** One line for people: what it can do. */
  readonly summary: string;
  /** Texts in its sysfs directory: directory → file → what reading it gives, newline included. */
  readonly attributes?: Readonly<Record<string, Readonly<Record<string, () => string>>>>;
  /**
   * The unit's knowledge of the enable bits: told what a function has whenever that may have changed, by the driver or by a
   * reset. Undefined: the unit does not care.
   */
  readonly heeds?: EnableBits;
  /** A device is about to be probed whose requests will carry this id; it is gone again. */
  connect?(dev: Device, requesterId: number): void;
  /** The device with this id is gone. */
  disconnect?(requesterId: number): void;
}
