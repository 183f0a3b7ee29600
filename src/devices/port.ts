/** Everything a device model can reach, and what the machine can ask of it (architecture: a device sees its port). */
import type { Clock } from '../base/clock.ts';
import type { Status } from '../base/errno.ts';
import type { PciIdentity, PciRegisters } from '../pci/identity.ts';

export type { BarSpec, PciIdentity } from '../pci/identity.ts';

/** Addresses are what the device puts on the bus: IOVAs, translated by whatever IOMMU stands above it. */
export interface DevicePort {
  /** EFAULT: blocked by the IOMMU, or nothing there (the device sees an unsupported request). Refused while bus mastering is off. */
  read(at: bigint, into: Uint8Array, pasid?: number): Status<'EFAULT'>;
  /** EFAULT as for read. */
  write(at: bigint, from: Uint8Array, pasid?: number): Status<'EFAULT'>;
  /** Send the MSI or MSI-X message of this vector, if enabled and unmasked; else it stays pending. */
  interrupt(vector: number): void;
  /** True while MSI or MSI-X is on: messages replace the pin. */
  readonly messagesEnabled: boolean;
  /** Drive the legacy interrupt pin. */
  intx(asserted: boolean): void;
  readonly clock: Clock;
}

/** How the registers of one device behave. */
export type DeviceModel = PciRegisters;

/** Options of one device: every one its type has, at its default where the description says nothing. */
export type DeviceOptions = Readonly<Record<string, number | string | boolean>>;

/**
 * One option of a device type: a yes or no, a whole number of a range, a text, or one of a few numbers or texts. A
 * value that is none of these is refused with the place it was written at, before any device is made.
 */
export type DeviceOption = SwitchOption | NumberOption | TextOption;

interface SwitchOption {
  readonly default: boolean;
  readonly help: string;
}
interface NumberOption {
  readonly default: number;
  readonly help: string;
  /** The least value; 0 where nothing is said. */
  readonly min?: number;
  /** The greatest value, inclusive; 2^53 - 1 where nothing is said. */
  readonly max?: number;
  /** The only values. */
  readonly choices?: readonly number[];
  /** People write it in hex. */
  readonly hex?: boolean;
}
interface TextOption {
  readonly default: string;
  readonly help: string;
  /** The only values. */
  readonly choices?: readonly string[];
}

/** A kind of device: named in a machine's description, given its checked options. */
export interface DeviceType {
  readonly type: string;
  readonly summary: string;
  /** Allowed options by name. */
  readonly options: Readonly<Record<string, DeviceOption>>;
  /** What the function is: configuration space, BARs and capabilities are made from it. No device is made yet. */
  identity(options: DeviceOptions): PciIdentity;
  /** One device; the function it belongs to is there, and its port can be used. */
  create(port: DevicePort, options: DeviceOptions): DeviceModel;
}

/** All options of a type: what is given, and the defaults of the others. */
export function optionsOf(type: DeviceType, given: DeviceOptions): DeviceOptions {
  const out: Record<string, number | string | boolean> = {};
  for (const [name, option] of Object.entries(type.options)) out[name] = option.default;
  return { ...out, ...given };
}
