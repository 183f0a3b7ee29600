/** Everything a device model can reach, and what the machine can ask of it (architecture: a device sees its port). */
import type { Clock } from '../base/clock.ts';
import type { Status } from '../base/errno.ts';

/** Addresses are what the device puts on the bus: IOVAs, translated by whatever IOMMU stands above it. */
export interface DevicePort {
  /** EFAULT: blocked by the IOMMU, or nothing there (the device sees an unsupported request). Refused while bus mastering is off. */
  read(at: bigint, into: Uint8Array, pasid?: number): Status<'EFAULT'>;
  write(at: bigint, from: Uint8Array, pasid?: number): Status<'EFAULT'>;
  /** Send the MSI or MSI-X message of this vector, if enabled and unmasked; else it stays pending. */
  interrupt(vector: number): void;
  /** Drive the legacy interrupt pin. */
  intx(asserted: boolean): void;
  readonly clock: Clock;
}

/** A PCI function: how its configuration space looks at power-on, and how its registers behave. */
export interface DeviceModel {
  readonly name: string;
  readonly pci: PciIdentity;
  /** Registers of BAR `bar`; width 1, 2, 4 or 8. Values are zero-extended. */
  mmioRead(bar: number, offset: number, width: number): bigint;
  mmioWrite(bar: number, offset: number, width: number, value: bigint): void;
  /** Function-level or bus reset, and power-on. */
  reset(): void;
}

export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** 24 bits: base class, sub class, programming interface. */
  readonly classCode: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  /** Index 0…5. */
  readonly bars: readonly BarSpec[];
  /** 1…4 for INTA…INTD; 0 for none. */
  readonly interruptPin: number;
  /** MSI vectors (a power of two), 0 for no MSI capability. */
  readonly msiVectors?: number;
  readonly msi64?: boolean;
  readonly msix?: {
    readonly vectors: number;
    readonly bar: number;
    readonly tableOffset: number;
    readonly pbaOffset: number;
  };
  /** PCIe endpoint capability; absent: a conventional PCI function. */
  readonly pcie?: {
    readonly flr: boolean;
    readonly type: 'endpoint' | 'legacy-endpoint' | 'rc-integrated';
  };
  /** Widths and features for extended capabilities. */
  readonly pasidBits?: number;
  readonly ats?: boolean;
  readonly pri?: boolean;
  readonly powerManagement?: boolean;
}

export interface BarSpec {
  readonly index: number;
  readonly size: number;
  readonly kind: 'mem32' | 'mem64' | 'io';
  readonly prefetchable?: boolean;
}

/** How a model is made: named in the topology, given its port and its checked options. */
export interface DeviceType {
  readonly type: string;
  readonly summary: string;
  /** Allowed options and their defaults, for errors and docs. */
  readonly options: Readonly<
    Record<string, { readonly default: number | string | boolean; readonly help: string }>
  >;
  create(
    port: DevicePort,
    options: Readonly<Record<string, number | string | boolean>>,
  ): DeviceModel;
}
