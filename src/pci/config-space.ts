/**
 * Configuration space of one function: bytes, what software may write, and what a reset brings back (vfio.md 6.0; PCIe
 * 7.5.1, 7.6).
 *
 * It knows bits, not effects: PciDeviceFunction looks at what a write changed and acts.
 */
import { bugOn } from '../base/bug.ts';
import {
  PCI_BASE_ADDRESS_0,
  PCI_BRIDGE_CONTROL,
  PCI_CACHE_LINE_SIZE,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_EXP_SIZE,
  PCI_CFG_SPACE_SIZE,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_HEADER_TYPE,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_IO_BASE,
  PCI_MEMORY_BASE,
  PCI_PREF_BASE_UPPER32,
  PCI_PREF_LIMIT_UPPER32,
  PCI_PREF_MEMORY_BASE,
  PCI_PRIMARY_BUS,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../uapi/pci-regs.ts';
import { barTypeBits, barWriteMask } from './bar-bits.ts';
import { extendedCapabilities, standardCapabilities, type Capability } from './caps.ts';
import type { BarSpec, ConfigRegister, PciIdentity } from './identity.ts';

/** The bytes of one function, 256 or 4096, with the bits software may write. */
export class ConfigSpace {
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #writable: DataView;
  /** Bits that writing 1 clears. */
  readonly #clear: DataView;
  readonly #powerOn: Uint8Array;
  readonly #standard = new Map<number, number>();
  readonly #extended = new Map<number, number>();
  /** Offset of the last capability in the chain below 256; 0 without any. */
  #last = 0;

  /** `carried`: by a physical function, whose capability has the ids and the BARs (PCIe 9.3.4.1). */
  constructor(pci: PciIdentity, carried = false) {
    this.size = pci.pcie ? PCI_CFG_SPACE_EXP_SIZE : PCI_CFG_SPACE_SIZE;
    this.bytes = new Uint8Array(this.size);
    this.#view = new DataView(this.bytes.buffer);
    this.#writable = new DataView(new ArrayBuffer(this.size));
    this.#clear = new DataView(new ArrayBuffer(this.size));
    this.#header(pci, carried);
    if (pci.bridge) this.#bridgeHeader(pci.bridge);
    else if (!carried) for (const bar of pci.bars) this.#bar(bar);
    this.#chain(standardCapabilities(pci));
    this.#extendedChain(extendedCapabilities(pci));
    for (const register of pci.configRegisters ?? []) this.#own(register);
    this.#powerOn = this.bytes.slice();
  }

  /** Little-endian; width 1, 2 or 4. Bytes beyond the end read as ones. */
  read(offset: number, width: number): number {
    let value = 0;
    // Not 2 ** n: with a variable exponent it is a call to pow(), and each transfer of a device asks whether it may start.
    for (let n = width - 1; n >= 0; n--) value = value * 256 + (this.bytes[offset + n] ?? 0xff);
    return value;
  }
  /** Changes the writable bits only. */
  write(offset: number, width: number, value: number): void {
    for (let n = 0; n < width && offset + n < this.size; n++) {
      const at = offset + n;
      const given = (value >>> (8 * n)) & 0xff;
      const writable = this.#writable.getUint8(at);
      const kept = this.bytes[at]! & ~writable;
      this.bytes[at] = (kept | (given & writable)) & ~(given & this.#clear.getUint8(at));
    }
  }
  /** Hardware's own change of a register, past the write mask. */
  force(offset: number, width: 1 | 2 | 4, value: number): void {
    for (let n = 0; n < width; n++) this.bytes[offset + n] = (value >>> (8 * n)) & 0xff;
  }
  reset(): void {
    this.bytes.set(this.#powerOn);
  }
  /** Offset of a capability, of several the first; 0 without it. */
  capability(id: number): number {
    return this.#standard.get(id) ?? 0;
  }
  get lastCapability(): number {
    return this.#last;
  }
  extendedCapability(id: number): number {
    return this.#extended.get(id) ?? 0;
  }

  #header(pci: PciIdentity, carried: boolean): void {
    const v = this.#view;
    v.setUint16(PCI_VENDOR_ID, carried ? 0xffff : pci.vendor, true);
    v.setUint16(PCI_DEVICE_ID, carried ? 0xffff : pci.device, true);
    v.setUint32(PCI_CLASS_REVISION, ((pci.classCode << 8) | pci.revision) >>> 0, true);
    v.setUint8(PCI_HEADER_TYPE, (pci.bridge ? 1 : 0) | (pci.multifunction ? 0x80 : 0));
    v.setUint8(PCI_INTERRUPT_PIN, pci.interruptPin);
    const w = this.#writable;
    const decode = pci.virtual ? 0 : PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
    w.setUint16(PCI_COMMAND, 0x0544 | decode, true); //  master, parity, SERR, INTx disable
    this.#clear.setUint16(PCI_STATUS, 0xf900, true);
    w.setUint8(PCI_CACHE_LINE_SIZE, 0xff);
    w.setUint8(PCI_INTERRUPT_LINE, 0xff);
    if (pci.bridge) return;
    v.setUint16(PCI_SUBSYSTEM_VENDOR_ID, pci.subsystemVendor ?? 0, true);
    v.setUint16(PCI_SUBSYSTEM_ID, pci.subsystem ?? 0, true);
  }

  #bridgeHeader(bridge: NonNullable<PciIdentity['bridge']>): void {
    this.#view.setUint8(PCI_PRIMARY_BUS, bridge.primary);
    this.#view.setUint8(PCI_PRIMARY_BUS + 1, bridge.secondary);
    this.#view.setUint8(PCI_PRIMARY_BUS + 2, bridge.subordinate);
    for (let at = PCI_PRIMARY_BUS; at < PCI_PRIMARY_BUS + 3; at++)
      this.#writable.setUint8(at, 0xff);
    this.#view.setUint32(PCI_PREF_MEMORY_BASE, 0x0001_0001, true); // a 64-bit window
    this.#writable.setUint16(PCI_IO_BASE, 0xf0f0, true);
    this.#writable.setUint32(PCI_MEMORY_BASE, 0xfff0_fff0, true);
    this.#writable.setUint32(PCI_PREF_MEMORY_BASE, 0xfff0_fff0, true);
    this.#writable.setUint32(PCI_PREF_BASE_UPPER32, 0xffff_ffff, true);
    this.#writable.setUint32(PCI_PREF_LIMIT_UPPER32, 0xffff_ffff, true);
    this.#writable.setUint16(PCI_BRIDGE_CONTROL, 0x007f, true);
  }

  #bar(bar: BarSpec): void {
    const lg2 = Math.log2(bar.size);
    const least = bar.kind === 'io' ? 4 : 16;
    bugOn(!Number.isInteger(lg2) || bar.size < least, `BAR ${bar.index}: ${bar.size} bytes`);
    bugOn(bar.index > (bar.kind === 'mem64' ? 4 : 5), `BAR ${bar.index} does not fit the header`);
    const at = PCI_BASE_ADDRESS_0 + 4 * bar.index;
    const [low, high] = barWriteMask(bar);
    this.#view.setUint32(at, barTypeBits(bar), true);
    this.#writable.setUint32(at, low, true);
    if (bar.kind === 'mem64') this.#writable.setUint32(at + 4, high, true);
  }

  #chain(caps: readonly Capability[]): void {
    let at = 0x40;
    let link = PCI_CAPABILITY_LIST;
    for (const cap of caps) {
      this.#place(cap, at);
      this.#view.setUint8(at, cap.id);
      this.#view.setUint8(link, at);
      if (!this.#standard.has(cap.id)) this.#standard.set(cap.id, at);
      link = at + 1;
      this.#last = at;
      at = (at + cap.value.byteLength + 3) & ~3;
    }
    bugOn(at > PCI_CFG_SPACE_SIZE, 'the capabilities do not fit into 256 bytes');
    if (caps.length > 0) this.#view.setUint16(PCI_STATUS, PCI_STATUS_CAP_LIST, true);
  }

  #extendedChain(caps: readonly Capability[]): void {
    let at = PCI_CFG_SPACE_SIZE;
    for (const [n, cap] of caps.entries()) {
      const next = (at + cap.value.byteLength + 3) & ~3;
      this.#place(cap, at);
      const link = n + 1 < caps.length ? next : 0;
      this.#view.setUint32(at, (cap.id | (cap.version! << 16) | (link << 20)) >>> 0, true);
      this.#extended.set(cap.id, at);
      at = next;
    }
  }

  #own({ offset, writable = 0, clear = 0 }: ConfigRegister): void {
    const fits = offset % 4 === 0 && offset + 4 <= this.size;
    bugOn(!fits, `a register of the device at ${offset} of configuration space`);
    this.#writable.setUint32(offset, writable, true);
    this.#clear.setUint32(offset, clear, true);
  }
  #place(cap: Capability, at: number): void {
    for (let n = 0; n < cap.value.byteLength; n++) {
      this.#view.setUint8(at + n, cap.value.getUint8(n));
      this.#writable.setUint8(at + n, cap.writable.getUint8(n));
      this.#clear.setUint8(at + n, cap.clear.getUint8(n));
    }
  }
}
