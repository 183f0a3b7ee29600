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

/** A PCI function: how its configuration space looks at power-on, and how its registers behave. */
export interface DeviceModel extends PciRegisters {
  readonly name: string;
  readonly pci: PciIdentity;
}

/** How a model is made: named in the topology, given its port and its checked options. */
export interface DeviceType {
  readonly type: string;
  readonly summary: string;
  /** Allowed options and their defaults, for errors and docs. */
  readonly options: Readonly<
    Record<string, { readonly default: number | string | boolean; readonly help: string }>
  >;
  /** A device at power-on. */
  create(
    port: DevicePort,
    options: Readonly<Record<string, number | string | boolean>>,
  ): DeviceModel;
}
