/**
 * One PCI function as hardware: configuration space, BAR windows, interrupts, bus mastering and reset (vfio.md 6.0;
 * PCIe 5.3.1, 6.1, 6.6, 7.5.1).
 *
 * The machine makes one for every device model; sysfs reads its configuration space, vfio virtualises it. Effects
 * of configuration writes happen here, at the write.
 */
import type { BarMemory } from '../base/bar-memory.ts';
import { bugOn } from '../base/bug.ts';
import { ENOTTY, type Status } from '../base/errno.ts';
import type { KernelEnv } from '../base/kernel-env.ts';
import type { Ref } from '../base/refs.ts';
import { SparseMemory } from '../base/sparse-memory.ts';
import { refuse } from '../base/refuse.ts';
import {
  PCI_BASE_ADDRESS_0,
  PCI_ATS_CTRL,
  PCI_ATS_CTRL_ENABLE,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PM,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXT_CAP_ID_ATS,
  PCI_EXT_CAP_ID_PRI,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_PM_CAP_D1,
  PCI_PM_CAP_D2,
  PCI_PM_CTRL,
  PCI_PM_CTRL_STATE_MASK,
  PCI_PM_PMC,
  PCI_PRI_CTRL,
  PCI_PRI_CTRL_ENABLE,
  PCI_STATUS,
  PCI_STATUS_INTERRUPT,
} from '../uapi/pci-regs.ts';
import { BarRegister, PciBar } from './bar.ts';
import { BarWindow } from './bar-window.ts';
import { ConfigWindow } from './config-window.ts';
import { ConfigSpace } from './config-space.ts';
import {
  pciName,
  type PciAddress,
  type PciIdentity,
  type PciRegisters,
  type ResetKind,
} from './identity.ts';
import type { MessageSink, MsiMessage } from './messages.ts';
import { MsixTable } from './msix.ts';
import { Sriov } from './sriov.ts';

/** What carries a virtual function: a physical one, which has several. */
export interface Carrier {
  readonly pf: PciDeviceFunction;
  /** From 0. */
  readonly index: number;
}

/** One PCI function as hardware. */
export class PciDeviceFunction {
  readonly env: KernelEnv;
  readonly at: PciAddress;
  /** '0000:00:04.0' */
  readonly name: string;
  readonly identity: PciIdentity;
  readonly config: ConfigSpace;
  /** Index 0…5; undefined where unimplemented, and at the upper half of a 64-bit BAR. */
  readonly bars: readonly (PciBar | undefined)[];
  readonly msix: MsixTable | undefined;
  /** Of a physical function: its virtual ones. */
  readonly sriov: Sriov | undefined;
  /** Of a virtual function that is switched on by its physical one. */
  readonly carrier: Carrier | undefined;
  #plugged = true;
  /**
   * The functions that a slot or bus reset of this one resets, itself included; undefined: no such reset is
   * possible (root bus).
   */
  readonly hotResetSet: () => readonly PciDeviceFunction[] | undefined;
  /** Told after every change of COMMAND, of the power state or of an enable bit below, and after a reset. */
  readonly watchers = new Set<() => void>();
  readonly #sink: MessageSink;
  readonly #registersOf: () => PciRegisters | undefined;
  readonly #window: ConfigWindow | undefined;
  #intx = false;
  #still = false;

  constructor(parts: {
    env: KernelEnv;
    at: PciAddress;
    identity: PciIdentity;
    /** Where messages and the pin lead. */
    sink: MessageSink;
    /** What is behind the BARs: asked at every access, because a device is made with a port of its function. */
    registers: () => PciRegisters | undefined;
    hotResetSet: () => readonly PciDeviceFunction[] | undefined;
    carrier?: Carrier | undefined;
    /** What holds the plain pages of a BAR. Default: memory that no program can map. */
    newBarMemory?: ((length: number) => BarMemory) | undefined;
  }) {
    const { identity, carrier } = parts;
    this.env = parts.env;
    this.at = parts.at;
    this.name = pciName(parts.at);
    this.identity = identity;
    this.#sink = parts.sink;
    this.#registersOf = parts.registers;
    this.hotResetSet = parts.hotResetSet;
    this.carrier = carrier;
    this.config = new ConfigSpace(identity, carrier !== undefined);
    const { newBarMemory = (length: number) => new SparseMemory(length) } = parts;
    this.bars = this.#makeBars(identity.bars, newBarMemory);
    if (identity.windowCapability !== undefined) {
      const at = this.config.lastCapability;
      this.#window = new ConfigWindow(this.config, at, (index) => this.bars[index]?.window);
    }
    this.sriov = identity.sriov && new Sriov(identity.sriov, this.config);
    this.msix =
      identity.msix &&
      new MsixTable(identity.msix, (vector, message) => this.#sendMsix(vector, message));
  }

  /** The function in events. */
  get ref(): Ref {
    return this.env.refs.of(this, 'device', this.name);
  }
  get devfn(): number {
    return (this.at.device << 3) | this.at.fn;
  }
  /** bus << 8 | devfn: what the function puts on the bus with every request. */
  get requesterId(): number {
    return (this.at.bus << 8) | this.devfn;
  }
  get command(): number {
    return this.config.read(PCI_COMMAND, 2);
  }
  /** Is it there? Where it is not, reads are all ones and nothing comes of it. */
  get present(): boolean {
    const { carrier } = this;
    if (!carrier) return this.#plugged;
    return carrier.pf.present && carrier.index < carrier.pf.sriov!.present;
  }
  /** Virtual functions it shows now. */
  get virtualFunctions(): number {
    return this.sriov?.present ?? 0;
  }
  get busMaster(): boolean {
    if (!this.present) return false;
    return (this.command & PCI_COMMAND_MASTER) !== 0 && this.powerState === 0;
  }
  get memoryEnabled(): boolean {
    if (!this.present) return false;
    if (this.carrier) return this.carrier.pf.sriov!.memoryEnabled && this.powerState === 0;
    const decodes = this.identity.virtual === true || (this.command & PCI_COMMAND_MEMORY) !== 0;
    return decodes && this.powerState === 0;
  }
  get ioEnabled(): boolean {
    return this.present && (this.command & PCI_COMMAND_IO) !== 0 && this.powerState === 0;
  }
  /** 0 for D0 … 3 for D3hot. */
  get powerState(): number {
    const pm = this.config.capability(PCI_CAP_ID_PM);
    return pm === 0 ? 0 : this.config.read(pm + PCI_PM_CTRL, 2) & PCI_PM_CTRL_STATE_MASK;
  }
  /** Software lets the function ask for translations (ATS), and for pages (PRI). */
  get atsEnabled(): boolean {
    const cap = this.config.extendedCapability(PCI_EXT_CAP_ID_ATS);
    return cap !== 0 && this.#has(cap + PCI_ATS_CTRL, PCI_ATS_CTRL_ENABLE);
  }
  get pageRequestsEnabled(): boolean {
    const cap = this.config.extendedCapability(PCI_EXT_CAP_ID_PRI);
    return cap !== 0 && this.#has(cap + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);
  }
  /** Nothing without the capability. */
  enableAts(on: boolean): void {
    const cap = this.config.extendedCapability(PCI_EXT_CAP_ID_ATS);
    if (cap !== 0) this.#setBits(cap + PCI_ATS_CTRL, PCI_ATS_CTRL_ENABLE, on);
  }
  enablePageRequests(on: boolean): void {
    const cap = this.config.extendedCapability(PCI_EXT_CAP_ID_PRI);
    if (cap !== 0) this.#setBits(cap + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE, on);
  }
  get msiCapacity(): number {
    return this.identity.msiVectors ?? 0;
  }
  /** Level of the interrupt pin, whatever masks it. */
  get intxAsserted(): boolean {
    return this.#intx;
  }
  /**
   * The ways to reset this function and no other, the best first: its bus counts while it is alone there. A conventional
   * function on the root bus has none.
   */
  get resetMethods(): readonly ResetKind[] {
    const { bridge, functionReset, pcie } = this.identity;
    const isAlone = !bridge && this.hotResetSet()?.length === 1;
    return [
      ...(functionReset ? (['function'] as const) : []),
      ...(pcie?.flr ? (['flr'] as const) : []),
      ...(isAlone ? (['bus'] as const) : []),
    ];
  }

  readConfig(offset: number, width: number): number {
    if (!this.present) return 2 ** (8 * width) - 1;
    this.#window?.beforeRead(offset, width);
    return this.config.read(offset, width);
  }
  writeConfig(offset: number, width: number, value: number): void {
    if (!this.present) return;
    const before = this.command;
    const switches = this.#switches;
    const { powerState } = this;
    const write = (): void => this.config.write(offset, width, value);
    if (this.sriov) this.sriov.guarded(write);
    else write();
    this.#window?.afterWrite(offset, width);
    this.#refusePowerState(powerState);
    if (this.#asksForFlr(offset, width, value)) {
      this.reset('flr');
      return;
    }
    this.#followMsix();
    const opened = before & ~this.command & PCI_COMMAND_INTX_DISABLE;
    if (opened && this.#intx) this.#deliverIntx();
    if (switches !== this.#switches) this.#changed();
  }

  /** The device model asks for an interrupt message. Dropped while bus mastering is off; MSI-X may keep it pending. */
  raise(vector: number): void {
    if (!this.busMaster) {
      this.#trace(this.identity.msix ? 'msix' : 'msi', vector, false);
      return;
    }
    if (this.#msixEnabled) {
      if (!this.msix!.raise(vector)) this.#trace('msix', vector, false);
      return;
    }
    const message = this.#msiMessage(vector);
    this.#trace('msi', vector, message !== undefined && this.#sink.message(message));
  }
  /** True when messages replace the pin. */
  get messagesEnabled(): boolean {
    return this.#msixEnabled || (this.#msiFlags & PCI_MSI_FLAGS_ENABLE) !== 0;
  }
  /** The device model drives its pin. */
  setIntx(asserted: boolean): void {
    if (this.#intx === asserted) return;
    this.#intx = asserted;
    const status = this.config.read(PCI_STATUS, 2) & ~PCI_STATUS_INTERRUPT;
    this.config.force(PCI_STATUS, 2, status | (asserted ? PCI_STATUS_INTERRUPT : 0));
    if (asserted) this.#deliverIntx();
  }

  /** It is pulled out, or put back: watchers are told. */
  setPlugged(plugged: boolean): void {
    this.#plugged = plugged;
    this.#intx = false;
    const { trace } = this.env;
    const what = plugged ? 'device-plug' : 'device-unplug';
    if (trace.heedsTroubles) trace.emit({ kind: 'life', what, who: this.ref });
    this.#changed();
  }
  /** Its device has been stopped where it is (migration): registers give ones, and stores are lost. */
  get standsStill(): boolean {
    return this.#still;
  }
  setStill(still: boolean): void {
    if (this.#still === still) return;
    this.#still = still;
    this.#changed();
  }
  /** What FLR or a bus reset does to the hardware: everything is as at power-on, configuration space too. */
  reset(kind: ResetKind): void {
    this.#intx = false;
    this.config.reset();
    this.msix?.reset();
    this.#registersOf()?.reset(kind);
    const { trace } = this.env;
    if (trace.hears.life) trace.emit({ kind: 'life', what: 'device-reset', who: this.ref });
    this.#changed();
  }
  /**
   * Reset the function alone, keeping what configuration space says. ENOTTY: there is no way to.
   * @kernel pci_reset_function
   */
  resetFunction(): Status {
    const [method] = this.resetMethods;
    if (!method) return refuse(ENOTTY, 'the function cannot be reset alone');
    this.resetKeepingConfig(method);
    return undefined;
  }
  /**
   * Configuration space as it was at another time; ATS and page requests stay as their IOMMU's driver has them now,
   * virtual functions as the driver of the physical one has.
   */
  restoreConfig(saved: Uint8Array): void {
    const { atsEnabled, pageRequestsEnabled, sriov } = this;
    const virtual = sriov?.bytes.slice();
    this.config.bytes.set(saved);
    if (virtual) sriov?.bytes.set(virtual);
    this.enableAts(atsEnabled);
    this.enablePageRequests(pageRequestsEnabled);
    this.#changed();
  }
  /** Save, reset, restore: the part every reset of the kernel has in common. */
  resetKeepingConfig(kind: ResetKind): void {
    const saved = this.config.bytes.slice();
    const messages = Array.from({ length: this.msix?.vectors ?? 0 }, (_, n) => ({
      message: this.msix!.message(n),
      masked: this.msix!.isMasked(n),
    }));
    this.reset(kind);
    this.config.bytes.set(saved);
    const status = this.config.read(PCI_STATUS, 2) & ~PCI_STATUS_INTERRUPT;
    this.config.force(PCI_STATUS, 2, status | (this.#intx ? PCI_STATUS_INTERRUPT : 0));
    for (const [n, entry] of messages.entries()) this.msix!.program(n, entry.message, entry.masked);
    this.#followMsix();
    this.#changed();
  }

  /** A state that the capability does not announce is not taken: the old one stays (PCIe 7.5.2.2). */
  #refusePowerState(before: number): void {
    const announces = { 1: PCI_PM_CAP_D1, 2: PCI_PM_CAP_D2 }[this.powerState];
    if (announces === undefined) return;
    const pm = this.config.capability(PCI_CAP_ID_PM);
    if ((this.config.read(pm + PCI_PM_PMC, 2) & announces) !== 0) return;
    const others = this.config.read(pm + PCI_PM_CTRL, 2) & ~PCI_PM_CTRL_STATE_MASK;
    this.config.force(pm + PCI_PM_CTRL, 2, others | before);
  }
  #has(at: number, bit: number): boolean {
    return this.present && (this.config.read(at, 2) & bit) !== 0;
  }
  #setBits(at: number, bits: number, on: boolean): void {
    const rest = this.config.read(at, 2) & ~bits;
    this.writeConfig(at, 2, on ? rest | bits : rest);
  }
  #asksForFlr(offset: number, width: number, value: number): boolean {
    const exp = this.config.capability(PCI_CAP_ID_EXP);
    if (exp === 0 || !this.identity.pcie?.flr) return false;
    const high = exp + PCI_EXP_DEVCTL + 1;
    if (offset > high || offset + width <= high) return false;
    return ((value >>> (8 * (high - offset))) & (PCI_EXP_DEVCTL_BCR_FLR >> 8)) !== 0;
  }
  /** Everything watchers are told of. */
  get #switches(): string {
    const bits = [this.messagesEnabled, this.atsEnabled, this.pageRequestsEnabled];
    const vfs = [this.virtualFunctions, this.sriov?.memoryEnabled];
    return [this.command, this.powerState, ...bits, ...vfs].join();
  }
  #makeBars(
    specs: PciIdentity['bars'],
    memory: (length: number) => BarMemory,
  ): (PciBar | undefined)[] {
    const bars: (PciBar | undefined)[] = Array.from({ length: 6 }, () => undefined);
    const { carrier, config } = this;
    for (const spec of specs) {
      const { index, size, kind } = spec;
      bugOn(bars[index] !== undefined, `${this.name}: BAR ${index} is given twice`);
      const register =
        carrier?.pf.sriov!.bars.get(index) ??
        new BarRegister(config, PCI_BASE_ADDRESS_0 + 4 * index, kind);
      const offset = carrier ? carrier.index * size : 0;
      const window = (bar: PciBar): BarWindow => new BarWindow(this, bar, this.#registersOf);
      bars[index] = new PciBar(spec, { register, offset }, { window, memory });
    }
    return bars;
  }
  get #msiFlags(): number {
    const cap = this.config.capability(PCI_CAP_ID_MSI);
    return cap === 0 ? 0 : this.config.read(cap + 2, 2);
  }
  get #msixFlags(): number {
    const cap = this.config.capability(PCI_CAP_ID_MSIX);
    return cap === 0 ? 0 : this.config.read(cap + 2, 2);
  }
  get #msixEnabled(): boolean {
    return (this.#msixFlags & PCI_MSIX_FLAGS_ENABLE) !== 0;
  }
  #followMsix(): void {
    const flags = this.#msixFlags;
    this.msix?.control(
      (flags & PCI_MSIX_FLAGS_ENABLE) !== 0,
      (flags & PCI_MSIX_FLAGS_MASKALL) !== 0,
    );
  }
  #msiMessage(vector: number): MsiMessage | undefined {
    const flags = this.#msiFlags;
    if ((flags & PCI_MSI_FLAGS_ENABLE) === 0) return undefined;
    const cap = this.config.capability(PCI_CAP_ID_MSI);
    const wide = (flags & PCI_MSI_FLAGS_64BIT) !== 0;
    const enabled = 1 << ((flags >> 4) & 7);
    const data = this.config.read(cap + (wide ? 12 : 8), 2);
    return {
      addressLo: this.config.read(cap + 4, 4),
      addressHi: wide ? this.config.read(cap + 8, 4) : 0,
      data: (data & ~(enabled - 1)) | (vector % enabled),
    };
  }
  #sendMsix(vector: number, message: MsiMessage): void {
    this.#trace('msix', vector, this.#sink.message(message));
  }
  #deliverIntx(): void {
    const masked = (this.command & PCI_COMMAND_INTX_DISABLE) !== 0 || this.messagesEnabled;
    this.#trace('intx', 0, this.present && !masked && this.#sink.line());
  }
  #changed(): void {
    for (const watcher of this.watchers) watcher();
  }
  #trace(index: string, vector: number, delivered: boolean): void {
    const { trace } = this.env;
    if (trace.on) trace.emit({ kind: 'interrupt', device: this.ref, index, vector, delivered });
  }
}
