/**
 * Everything a device model can reach, and what the machine asks of it (architecture: a device sees its port).
 *
 * The life of a device: create, powerOn, any number of accesses and resets, close. Between two calls its whole state is
 * what state() gives.
 */
import type { BarMemory } from '../base/bar-memory.ts';
import type { Clock } from '../base/clock.ts';
import type { Result, Status } from '../base/errno.ts';
import type { Option, OptionValue, OptionValues } from '../base/options.ts';
import type { PciIdentity, PciRegisters, VirtualIdentity } from '../pci/identity.ts';
import type { HostNeed, HostServices } from './host-services.ts';
import type { RegisterTable } from './unit/registers.ts';

export type { BarMemory, PageRange } from '../base/bar-memory.ts';
export type {
  BarSpec,
  PciIdentity,
  PciePortType,
  ResetKind,
  SriovSpec,
  VirtualIdentity,
} from '../pci/identity.ts';

/** The world of a device model. */
export interface DevicePort {
  readonly dma: DeviceDma;
  readonly irq: DeviceIrq;
  readonly clock: Clock;
  /** Undefined: the function has no ATS capability. */
  readonly ats: DeviceAts | undefined;
  readonly config: ConfigPort;
  readonly host: HostServices;
  /**
   * What the plain pages of a BAR (BarSpec.plain) hold. Programs may load and store there without the device; so it answers a
   * load of them by what is there, keeps a store there, and does no more. Of shadow pages (BarSpec.shadow) programs load what is
   * there, and it keeps there what it would answer: RegisterFile does, given this as `shadow`.
   */
  barMemory(bar: number): BarMemory;
}

/** One piece of a scatter-gather list. */
export interface DmaPiece {
  readonly at: bigint;
  /** Bytes. */
  readonly length: number;
}

/**
 * Work of one access of up to 8 bytes to the registers of a device, in bytes of memory that are moved meanwhile: 2 to 3
 * microseconds, where memory moves at some hundred MB/s.
 */
export const REGISTER_WORK = 1024;

/**
 * Transfers to and from memory. Addresses are what the device puts on the bus: IOVAs, translated by whatever IOMMU
 * stands above it. With a list, the pieces are taken in order and their lengths add up to that of the bytes; what was
 * moved before a piece that is refused has moved.
 */
export interface DeviceDma {
  /** Bytes that the last transfer moved: of one that was refused, how far it came. */
  readonly moved: number;
  /** What all transfers have cost so far: 1 for each byte, and REGISTER_WORK for each access to registers. */
  readonly work: number;
  /**
   * EFAULT: blocked by the IOMMU, nothing there (the device sees an unsupported request), or bus mastering is off. With
   * `most`, at least 1, it stops where so much work is done, and something is; `moved` says how far that is.
   */
  read(
    from: bigint | readonly DmaPiece[],
    into: Uint8Array,
    pasid?: number,
    most?: number,
  ): Status<'EFAULT'>;
  /** EFAULT, and `most`, as for read. */
  write(
    to: bigint | readonly DmaPiece[],
    from: Uint8Array,
    pasid?: number,
    most?: number,
  ): Status<'EFAULT'>;
}

/** Interrupts. */
export interface DeviceIrq {
  /** Send the MSI or MSI-X message of this vector, if enabled and unmasked; a masked one stays pending. */
  message(vector: number): void;
  /** True while MSI or MSI-X is on: messages replace the pin. */
  readonly messagesEnabled: boolean;
  /** Drive the legacy interrupt pin: a level, up until it is driven down. */
  intx(asserted: boolean): void;
}

/** Where an address is now, as the IOMMU told the device. */
export interface AtsTranslation {
  /** First byte of a naturally aligned range that the answer is good for, and its translation. */
  readonly iova: bigint;
  readonly address: bigint;
  /** Bytes, a power of two. */
  readonly length: bigint;
  /** Both false: nothing is mapped there, and a page may be asked for. */
  readonly read: boolean;
  readonly write: boolean;
}

/** A page the device wants present. */
export interface DevicePageRequest {
  readonly at: bigint;
  readonly pasid?: number;
  readonly read: boolean;
  readonly write: boolean;
  /** The last of its group: the answer to the group comes after it. */
  readonly last: boolean;
  /** 0…255, chosen by the device; those up to 511 are for a device that is made to go wrong. */
  readonly group: number;
}

/** Address translation services and page requests (PCIe 10). Software decides by the function's enable bits. */
export interface DeviceAts {
  /** The enable bit of the ATS capability. */
  readonly enabled: boolean;
  /** The enable bit of the page request capability; false without one. */
  readonly pagesEnabled: boolean;
  /** Ask where an address is. EFAULT: ATS or bus mastering is off, or the IOMMU refuses such requests of this device. */
  translate(
    at: bigint,
    options?: { readonly pasid?: number; readonly noWrite?: boolean },
  ): Result<AtsTranslation, 'EFAULT'>;
  /**
   * Ask for a page. True: `respond` is called once for the group, with 0 success, 1 invalid, 15 failure as PCIe has
   * them, perhaps before this returns. False: page requests or bus mastering are off, nobody takes them, or the queue
   * is full; nothing more will come.
   */
  requestPage(request: DevicePageRequest, respond: (code: number) => void): boolean;
}

/** What software decides in configuration space, as far as a device acts on it. */
export type ConfigSwitch =
  | 'busMaster'
  | 'memoryDecode'
  | 'ioDecode'
  /** In D0. */
  | 'power'
  | 'messages'
  | 'ats'
  | 'pageRequests'
  /** VF Enable of the SR-IOV capability. */
  | 'virtualFunctions';

/** The function's configuration space, as its device sees it. */
export interface ConfigPort {
  /** Where the function is, '0000:00:04.0': it learns that from every access to its configuration space. */
  readonly name: string;
  /** Is it on now? */
  is(what: ConfigSwitch): boolean;
  /** Hardware's own change of a register that the identity declares (`configRegisters`). */
  set(offset: number, value: number): void;
  /** Hear when it changes; a reset switches everything off. Dispose to stop. */
  watch(what: ConfigSwitch, run: (on: boolean) => void): Disposable;
  /** How many virtual functions software has switched on; 0 without SR-IOV. */
  readonly virtualFunctions: number;
}

/**
 * The state of a device, as a structure of plain values and bytes that can be cloned. Only the type that made it reads
 * it.
 */
export type DeviceState = object;

/** One device. */
export interface DeviceModel extends PciRegisters {
  /** Everything has its value of power-on; called once, before anything else. */
  powerOn(): void;
  /** All there is to know of the device, work in progress included; a copy. */
  state(): DeviceState;
  /** Go on from there, as a device of the same type and options was: the same future. */
  restore(state: DeviceState): void;
  /** It is unplugged or the machine ends: whatever is in progress outside of the clock is given up. */
  close?(): void;
  /**
   * The registers behind virtual function `index`, from 0: a device of its own, whose port has its own requester id, BARs
   * and interrupts. Asked for once, when software first switches it on; powerOn() follows. Whenever software switches
   * it off again it is reset, and stays. Needed where the identity has `sriov`.
   */
  virtualFunction?(index: number, port: DevicePort): DeviceModel;
}

/** Options of one device: every one its type has, at its default where the description says nothing. */
export type DeviceOptions = OptionValues;
/** One option of a device type; it has a default. */
export type DeviceOption = Option & { readonly default: OptionValue };

/** Registers of one BAR. */
export interface RegisterSpace {
  readonly bar: number;
  readonly table: RegisterTable;
}

/** A kind of device: named in a machine's description, given its checked options. */
export interface DeviceType {
  readonly type: string;
  readonly summary: string;
  /** Allowed options by name. */
  readonly options: Readonly<Record<string, DeviceOption>>;
  /** The registers of its BARs, as far as they are a table: for the page of the device and for whoever drives it. */
  readonly registers?: readonly RegisterSpace[];
  /** All there is to know of a device is in its state(), so that it can be taken to another machine while it works. */
  readonly migratable?: true;
  /** What the function is: configuration space, BARs and capabilities are made from it. No device is made yet. */
  identity(options: DeviceOptions): PciIdentity;
  /** What its virtual functions are, where the identity has `sriov`. Default: functions without interrupts. */
  virtualIdentity?(options: DeviceOptions): VirtualIdentity;
  /** What a device with these options uses of the host. A machine that was not given it is refused. Default: nothing. */
  needs?(options: DeviceOptions): readonly HostNeed[];
  /** One device; the function it belongs to is there, and its port can be used. Power comes later. */
  create(port: DevicePort, options: DeviceOptions): DeviceModel;
}
