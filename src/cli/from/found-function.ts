/**
 * A PCI function of a real machine, as far as a text or a copy of its sysfs says what it is. What is undefined was not
 * to be seen there: `lspci` of an ordinary user shows no capabilities, and a hex dump no sizes.
 */

/** One base address register. */
export interface FoundBar {
  /** 0…5. */
  readonly index: number;
  readonly kind: 'io' | 'mem32' | 'mem64';
  readonly prefetchable: boolean;
  /** Bytes; undefined: not said. */
  readonly size: number | undefined;
}

/** What a PCIe function is: the values of its capability that a machine can have. */
export type FoundPcieKind =
  | 'endpoint'
  | 'legacy-endpoint'
  | 'root-port'
  | 'upstream-port'
  | 'downstream-port'
  | 'pcie-to-pci-bridge'
  | 'pci-to-pcie-bridge'
  | 'rc-integrated'
  | 'event-collector';

/** The PCIe capability. */
export interface FoundPcie {
  readonly kind: FoundPcieKind;
  readonly flr: boolean;
}

/** The MSI-X capability: where table and pending bits lie. */
export interface FoundMsix {
  readonly vectors: number;
  readonly bar: number;
  readonly table: number;
  readonly pbaBar: number;
  readonly pba: number;
}

/** The SR-IOV capability of a physical function. */
export interface FoundSriov {
  readonly totalVfs: number;
  /** How many are switched on. */
  readonly numVfs: number;
  readonly offset: number;
  readonly stride: number;
  readonly device: number;
}

/** Capabilities; those that were seen. */
export interface FoundCapabilities {
  readonly pcie?: FoundPcie;
  /** 1, 2, 4 … 32. */
  readonly msiVectors?: number;
  readonly msix?: FoundMsix;
  readonly sriov?: FoundSriov;
  readonly ats?: boolean;
  readonly pri?: boolean;
  /** 1…20. */
  readonly pasidBits?: number;
  /** ACS with P2P request redirect: it isolates its peers. */
  readonly acs?: boolean;
}

/** Ids and class, as every source has them. */
export interface FoundIds {
  readonly vendor: number;
  readonly device: number;
  /** 24 bits. */
  readonly classCode: number;
  readonly revision: number;
  readonly subsystemVendor: number;
  readonly subsystem: number;
}

/** Memory that firmware wants mapped one to one; both ends inclusive, '0x…'. */
export interface FoundRegion {
  readonly start: string;
  readonly last: string;
  /** Needed at boot only. */
  readonly relaxable: boolean;
}

/** An IOMMU. */
export interface FoundIommu {
  /** 'dmar0'. */
  readonly name: string;
  /** Texts of its driver's attributes: 'intel-iommu/cap'. */
  readonly attributes: ReadonlyMap<string, string>;
}

/** One function. */
export interface FoundFunction extends FoundIds {
  /** '0000:01:00.0'; a domain may have more than four digits. */
  readonly at: string;
  /** Where it is said: 'lspci.txt:12', 'sysfs.tar: 0000:01:00.0'. */
  readonly place: string;
  /** Maker and product in words. */
  readonly words?: string | undefined;
  /** 1…4 for INTA…INTD, 0 for none. */
  readonly pin: number;
  readonly bars: readonly FoundBar[];
  /** Of a bridge: the buses behind it; inclusive. */
  readonly bridge?: { readonly secondary: number; readonly subordinate: number } | undefined;
  readonly capabilities: FoundCapabilities;
  /** Could capabilities be seen at all, and those from 0x100 on? */
  readonly sees: { readonly capabilities: boolean; readonly extended: boolean };
  readonly group?: string | undefined;
  /** Of its group. */
  readonly directRegions?: readonly FoundRegion[];
  /** Undefined: none is named. */
  readonly iommu?: FoundIommu | undefined;
  /** Name of the driver; undefined: none is named. */
  readonly driver?: string | undefined;
  /** It is known to be a virtual function. */
  readonly virtual: boolean;
}
