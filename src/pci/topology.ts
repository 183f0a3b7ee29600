/**
 * The PCI tree as grouping sees it: buses, functions, their kinds, ACS, and the quirks that change requester ids
 * (core.md 2.3; PCIe 7.5.3.2).
 *
 * Pure structure: configuration space and registers are elsewhere. A devfn is slot << 3 | function.
 */

export type PciFunctionType =
  | 'endpoint'
  | 'legacy-endpoint'
  | 'rc-integrated'
  | 'rc-event-collector'
  | 'root-port'
  | 'upstream-port'
  | 'downstream-port'
  /** PCI Express above, conventional PCI below. */
  | 'pcie-to-pci-bridge'
  | 'pci-to-pcie-bridge'
  /** Conventional PCI on both sides. */
  | 'pci-bridge'
  /** A conventional PCI function. */
  | 'pci';

/** An ACS capability, in the bits of PCI_ACS_*. */
export interface Acs {
  /** The capability register: what the function can control. */
  readonly capability: number;
  /** The control register: what is switched on. */
  readonly control: number;
}

/** What a function is when it is plugged in. */
export interface PciFunctionConfig {
  readonly slot: number;
  readonly func?: number;
  readonly type: PciFunctionType;
  /** The header's multi-function bit; never set for a VF. */
  readonly multifunction?: boolean;
  /** Absent: no ACS capability. */
  readonly acs?: Acs;
  /** A quirk table that answers before the capability is looked at. */
  readonly acsQuirk?: 'enabled' | 'not-enabled';
  /** Other devfns of its bus under which it may send requests. */
  readonly aliasDevfns?: readonly number[];
  /** Requests are sent in the name of this function (VMD). */
  readonly realDmaDevice?: PciFunction;
  readonly physfn?: PciFunction;
  /** Bridges: translation happens below it. */
  readonly translationRoot?: boolean;
  /** PCIe-to-PCI bridges: requester ids pass unchanged. */
  readonly noAlias?: boolean;
  /** Conventional bridges that take requests over like a PCIe-to-PCI bridge. */
  readonly aliasLikePcieBridge?: boolean;
}

/** A bus of the tree, with the functions on it. */
export class PciBus {
  readonly segment: number;
  readonly number: number;
  /** The bus above; undefined for a root bus. */
  readonly parent: PciBus | undefined;
  /** The bridge that leads here; undefined for a root bus and for a bus that only holds VFs. */
  readonly bridge: PciFunction | undefined;
  readonly functions: PciFunction[] = [];

  constructor(config: {
    readonly segment?: number;
    readonly number: number;
    readonly parent?: PciBus | undefined;
    readonly bridge?: PciFunction | undefined;
  }) {
    this.segment = config.segment ?? 0;
    this.number = config.number;
    this.bridge = config.bridge;
    this.parent = config.parent ?? config.bridge?.bus;
    if (config.bridge) config.bridge.subordinate = this;
  }
  get isRoot(): boolean {
    return this.parent === undefined;
  }
  add(config: PciFunctionConfig): PciFunction {
    const added = new PciFunction(this, config);
    this.functions.push(added);
    return added;
  }
  /** It is unplugged. */
  remove(fn: PciFunction): void {
    const at = this.functions.indexOf(fn);
    if (at >= 0) this.functions.splice(at, 1);
  }
  /** It is plugged in again. */
  restore(fn: PciFunction): void {
    this.remove(fn);
    this.functions.push(fn);
  }
}

/** A function as grouping sees it: its place, its kind, its ACS, its quirks. */
export class PciFunction {
  readonly bus: PciBus;
  readonly devfn: number;
  readonly type: PciFunctionType;
  readonly config: PciFunctionConfig;
  /** Written by config space when software switches ACS. */
  acs: Acs | undefined;
  /** The bus behind a bridge. */
  subordinate: PciBus | undefined;

  constructor(bus: PciBus, config: PciFunctionConfig) {
    this.bus = bus;
    this.devfn = (config.slot << 3) | (config.func ?? 0);
    this.type = config.type;
    this.config = config;
    this.acs = config.acs;
  }
  get multifunction(): boolean {
    return (this.config.multifunction ?? false) && this.config.physfn === undefined;
  }
  get requesterId(): number {
    return (this.bus.number << 8) | this.devfn;
  }
  /** '0000:00:04.0'. */
  get name(): string {
    return `${digits(this.bus.segment, 4)}:${bdf(this.requesterId)}`;
  }
}

/** '00:04.0' of a requester id. */
export function bdf(requesterId: number): string {
  const bus = digits(requesterId >> 8, 2);
  return `${bus}:${digits((requesterId >> 3) & 31, 2)}.${requesterId & 7}`;
}

function digits(value: number, width: number): string {
  return value.toString(16).padStart(width, '0');
}
