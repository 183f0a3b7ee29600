/**
 * What a PCI function is: the facts from which its configuration space is made, and the registers behind its BARs.
 *
 * The PCI layer owns these interfaces because it is the layer that calls them; devices/port.ts passes them on to
 * the authors of device models. Follows vfio.md 6.0 (PCIe 7.5.1).
 */
import type { PageRange } from '../base/bar-memory.ts';
import type { Doorbells } from '../base/file.ts';

/** A function, as it describes itself. */
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
  /** Image of the expansion ROM; absent: the function has none. */
  readonly rom?: Uint8Array;
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
  /** PCIe capability; absent: a conventional PCI function. */
  readonly pcie?: {
    readonly flr: boolean;
    readonly type: PciePortType;
  };
  /** Widths and features for extended capabilities. */
  readonly pasidBits?: number;
  readonly ats?: boolean;
  readonly pri?: boolean;
  /** Bits of the ACS capability register; absent: no ACS capability. */
  readonly acs?: number;
  /** The PM capability: with D0 and D3hot only, or with what else it announces. */
  readonly powerManagement?: boolean | { readonly d1?: boolean; readonly d2?: boolean };
  /** True: it has a reset of its own kind, besides FLR and that of its bus. */
  readonly functionReset?: boolean;
  /** Vendor-specific capabilities in the order of their chain: of each, what follows its length byte. Read-only. */
  readonly vendorCapabilities?: readonly Uint8Array[];
  /** One more, the last: a window to the BARs (config-window.ts) with this byte behind its length. */
  readonly windowCapability?: number;
  /** A bridge (header type 1) and the buses below it. */
  readonly bridge?: {
    readonly primary: number;
    readonly secondary: number;
    readonly subordinate: number;
  };
  /** Registers of its own in configuration space, 32 bits each, outside of every capability. */
  readonly configRegisters?: readonly ConfigRegister[];
  /** Bit 7 of the header type: other functions exist in this slot. */
  readonly multifunction?: boolean;
  /** It carries virtual functions that software switches on; PCIe only. */
  readonly sriov?: SriovSpec;
  /** Alternative routing-ID: it may stand at any function number; a physical function with virtual ones may anyway. */
  readonly ari?: boolean;
  /** Of SR-IOV: whether its BARs answer is its physical function's affair, and it has no decode bits of its own. */
  readonly virtual?: boolean;
}

/** A register in configuration space that means something to the device alone. */
export interface ConfigRegister {
  /** A multiple of 4. */
  readonly offset: number;
  /** Bits that software may write. Default none. */
  readonly writable?: number;
  /** Bits that software clears by writing 1. Default none. */
  readonly clear?: number;
}

/** What a PCIe function is, by its capability. */
export type PciePortType =
  | 'endpoint'
  | 'legacy-endpoint'
  | 'rc-integrated'
  | 'root-port'
  | 'upstream-port'
  | 'downstream-port'
  | 'pcie-to-pci-bridge';

/**
 * The SR-IOV capability of a physical function (PCIe 9.3.3). The requester id of virtual function n is that of its
 * physical one, plus `firstOffset`, plus n times `stride`; all of them stand on the physical one's bus.
 */
export interface SriovSpec {
  /** 1…256. */
  readonly totalVfs: number;
  readonly firstOffset: number;
  readonly stride: number;
  /** Device id of the virtual functions; their vendor is the physical one's. */
  readonly device: number;
  /** What one virtual function has; memory only. Those of all of them lie side by side. */
  readonly bars: readonly BarSpec[];
}

/**
 * What a virtual function says of itself. Its vendor, device id and BARs are those of the SR-IOV capability above it; it
 * has no interrupt pin and no ROM. Revision, class and subsystem are its physical function's where they are not given.
 */
export type VirtualIdentity = Pick<
  Partial<PciIdentity>,
  | 'revision'
  | 'classCode'
  | 'subsystemVendor'
  | 'subsystem'
  | 'msiVectors'
  | 'msi64'
  | 'msix'
  | 'vendorCapabilities'
  | 'ats'
  | 'powerManagement'
>;

/** One base address register. */
export interface BarSpec {
  readonly index: number;
  readonly size: number;
  readonly kind: 'mem32' | 'mem64' | 'io';
  readonly prefetchable?: boolean;
  /** Memory BARs of a page and more: pages that programs may have as memory. Default none: each access is the device's. */
  readonly plain?: readonly PageRange[];
  /**
   * Pages of registers whose loads do nothing besides, and whose values the device keeps in its BAR memory: programs may load
   * them as memory, and each store is the device's. Default none.
   */
  readonly shadow?: readonly PageRange[];
}

/** The registers behind the BARs. A DeviceModel is one. */
export interface PciRegisters {
  /** Registers of BAR `bar`; width 1, 2, 4 or 8. Values are zero-extended. */
  mmioRead(bar: number, offset: number, width: number): bigint;
  /** A store to a BAR. */
  mmioWrite(bar: number, offset: number, width: number, value: bigint): void;
  /**
   * A store of 64 aligned bytes in one transaction, as MOVDIR64B makes it. Absent: the device sees eight stores of 8.
   */
  mmioWrite64?(bar: number, offset: number, bytes: Uint8Array): void;
  /** Doorbells among the registers of a BAR, the same object each time. Absent: it has none. Not asked of a device of a plugin. */
  doorbells?(bar: number): Doorbells | undefined;
  /** Name of the register at exactly this offset, for events; undefined: none has a name there. */
  registerName?(bar: number, offset: number): string | undefined;
  /** Back to the values of power-on, whatever was in progress. */
  reset(kind: ResetKind): void;
}

/** What resets a function: itself by FLR, itself by a method of its own, or its whole bus or slot. */
export type ResetKind = 'flr' | 'function' | 'bus';

/** The ways to reset one function alone, as sysfs calls them, by what happens to it. */
export const RESET_METHODS: Readonly<Record<ResetKind, string>> = {
  function: 'device_specific',
  flr: 'flr',
  bus: 'bus',
};

/** Where a function stands. */
export interface PciAddress {
  readonly segment: number;
  readonly bus: number;
  readonly device: number;
  readonly fn: number;
}

/** '0000:00:04.0' */
export function pciName(at: PciAddress): string {
  const two = (n: number): string => n.toString(16).padStart(2, '0');
  return `${at.segment.toString(16).padStart(4, '0')}:${two(at.bus)}:${two(at.device)}.${at.fn.toString(16)}`;
}
