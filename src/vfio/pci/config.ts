/**
 * The configuration space a vfio user sees: part copy, part device (vfio.md 2.11).
 *
 * Accesses are handled in pieces of at most four aligned bytes that belong to one capability. The user's BARs are a
 * copy: they size as real ones do and move nothing.
 */
import { EFAULT, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import { barTypeBits } from '../../pci/bar-bits.ts';
import {
  PCI_BASE_ADDRESS_0,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_PM,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXP_DEVCTL_READRQ,
  PCI_INTERRUPT_PIN,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_QSIZE,
  PCI_PM_CTRL,
  PCI_PM_CTRL_STATE_MASK,
  PCI_ROM_ADDRESS,
  PCI_VENDOR_ID,
} from '../../uapi/pci-regs.ts';
import { buildPerms, type ConfigPerms } from './perms.ts';

/** What a write to configuration space makes the rest of the device do. */
export interface ConfigEffects {
  /** Virtual INTX_DISABLE changed. */
  setIntxDisabled(disabled: boolean): void;
  /** The user asked for a function-level reset. */
  resetFunction(): void;
  /** log2 of the MSI vectors enabled through SET_IRQS; undefined while MSI is not active. */
  msiVectorsLg2(): number | undefined;
}

export class VfioPciConfig {
  readonly #fn: PciDeviceFunction;
  readonly #effects: ConfigEffects;
  readonly #perms: ConfigPerms;
  /** The real BARs at open: brought back when somebody reset the device behind our back. */
  readonly #realBars: readonly number[];

  constructor(fn: PciDeviceFunction, effects: ConfigEffects) {
    this.#fn = fn;
    this.#effects = effects;
    this.#perms = buildPerms(fn.config.bytes);
    this.#realBars = Array.from({ length: 6 }, (_, n) =>
      fn.readConfig(PCI_BASE_ADDRESS_0 + 4 * n, 4),
    );
    for (let n = 0; n < 6; n++) this.#fixBar(n);
    this.#fixRom();
    if (fn.identity.virtual) this.#keepDecode();
    if (fn.carrier) this.#showIds();
  }
  /** The device has no such bit: the user sees what he has written, and that it is on at first. */
  #keepDecode(): void {
    const { virtual } = this.#perms;
    virtual.setUint16(PCI_COMMAND, virtual.getUint16(PCI_COMMAND, true) | PCI_COMMAND_MEMORY, true);
    this.#image.setUint16(
      PCI_COMMAND,
      this.#image.getUint16(PCI_COMMAND, true) | PCI_COMMAND_MEMORY,
      true,
    );
  }
  /** Its own read as nobody's: the physical function has them. */
  #showIds(): void {
    this.#image.setUint16(PCI_VENDOR_ID, this.#fn.identity.vendor, true);
    this.#image.setUint16(PCI_DEVICE_ID, this.#fn.identity.device, true);
  }
  get size(): number {
    return this.#fn.config.size;
  }
  /** As the user sees it: memory decode gates BAR access, but for a virtual function, which has none. */
  get memoryEnabled(): boolean {
    if (this.#fn.identity.virtual) return true;
    return (this.#image.getUint16(PCI_COMMAND, true) & PCI_COMMAND_MEMORY) !== 0;
  }
  get intxDisabled(): boolean {
    return (this.#image.getUint16(PCI_COMMAND, true) & PCI_COMMAND_INTX_DISABLE) !== 0;
  }
  get interruptPin(): number {
    return this.#image.getUint8(PCI_INTERRUPT_PIN);
  }

  read(offset: number, into: Uint8Array): Result<number, 'EFAULT'> {
    if (offset + into.length > this.size) return this.#outside(offset, into.length);
    for (let n = 0; n < into.length; n++) {
      const virtual = this.#perms.virtual.getUint8(offset + n);
      const real = this.#fn.readConfig(offset + n, 1);
      into[n] = (real & ~virtual) | (this.#image.getUint8(offset + n) & virtual);
    }
    return into.length;
  }
  write(offset: number, from: Uint8Array): Result<number, 'EFAULT'> {
    if (offset + from.length > this.size) return this.#outside(offset, from.length);
    for (let done = 0; done < from.length;) {
      const at = offset + done;
      const width = this.#pieceAt(at, from.length - done);
      let value = 0;
      for (let n = 0; n < width; n++) value += from[done + n]! * 2 ** (8 * n);
      this.#writePiece(at, width, value);
      done += width;
    }
    return from.length;
  }

  get #image(): DataView {
    return this.#perms.image;
  }
  #outside(offset: number, length: number): Result<number, 'EFAULT'> {
    return refuse(EFAULT, 'the access leaves configuration space', {
      offset,
      length,
      size: this.size,
    });
  }
  #pieceAt(at: number, left: number): 1 | 2 | 4 {
    const { owner } = this.#perms;
    const fits = (width: number): boolean =>
      at % width === 0 && left >= width && owner[at] === owner[at + width - 1];
    if (fits(4)) return 4;
    return fits(2) ? 2 : 1;
  }

  #writePiece(at: number, width: 1 | 2 | 4, value: number): void {
    const covers = (from: number, to: number): boolean => at < to && at + width > from;
    if (covers(PCI_COMMAND, PCI_COMMAND + 2)) this.#beforeCommand(at, value);
    this.#store(at, width, value);
    if (this.#perms.owner[at] === 0) {
      if (covers(PCI_COMMAND, PCI_COMMAND + 2)) this.#afterCommand(at, width, value);
      for (let n = 0; n < 6; n++) this.#fixBar(n);
      this.#fixRom();
      return;
    }
    const pm = this.#perms.caps.get(PCI_CAP_ID_PM);
    if (pm !== undefined && covers(pm + PCI_PM_CTRL, pm + PCI_PM_CTRL + 1)) {
      this.#setPowerState(pm + PCI_PM_CTRL, value);
    }
    const msi = this.#perms.caps.get(PCI_CAP_ID_MSI);
    if (msi !== undefined && covers(msi + PCI_MSI_FLAGS, msi + PCI_MSI_FLAGS + 1)) {
      this.#afterMsi(msi);
    }
    const exp = this.#perms.caps.get(PCI_CAP_ID_EXP);
    if (exp !== undefined && covers(exp + PCI_EXP_DEVCTL + 1, exp + PCI_EXP_DEVCTL + 2)) {
      this.#afterDevctl(exp);
    }
  }
  /** The writable bits, each where it lives. */
  #store(at: number, width: 1 | 2 | 4, value: number): void {
    let realMask = 0;
    for (let n = 0; n < width; n++) {
      const virtual = this.#perms.virtual.getUint8(at + n);
      const writable = this.#perms.writable.getUint8(at + n);
      const given = (value >>> (8 * n)) & 0xff;
      const copied = virtual & writable;
      const kept = this.#image.getUint8(at + n) & ~copied;
      this.#image.setUint8(at + n, kept | (given & copied));
      realMask += (writable & ~virtual) * 2 ** (8 * n);
    }
    if (realMask === 0) return;
    const real = this.#fn.readConfig(at, width);
    this.#fn.writeConfig(at, width, ((real & ~realMask) | (value & realMask)) >>> 0);
  }

  /** Turning decode on again after a reset behind our back: the device has lost its BARs. */
  #beforeCommand(at: number, value: number): void {
    if (at !== PCI_COMMAND || (value & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO)) === 0) return;
    for (const [n, bar] of this.#realBars.entries()) {
      const register = PCI_BASE_ADDRESS_0 + 4 * n;
      if (this.#fn.readConfig(register, 4) !== bar) this.#fn.writeConfig(register, 4, bar);
    }
  }
  #afterCommand(at: number, width: number, value: number): void {
    if (at === PCI_COMMAND) {
      const decode = PCI_COMMAND_MEMORY | PCI_COMMAND_IO;
      const copy = this.#image.getUint16(PCI_COMMAND, true) & ~decode;
      this.#image.setUint16(PCI_COMMAND, copy | (value & decode), true);
    }
    if (at + width > PCI_COMMAND + 1) this.#effects.setIntxDisabled(this.intxDisabled);
  }
  #setPowerState(at: number, value: number): void {
    const real = this.#fn.readConfig(at, 2);
    const state = value & PCI_PM_CTRL_STATE_MASK;
    this.#fn.writeConfig(at, 2, (real & ~PCI_PM_CTRL_STATE_MASK) | state);
  }
  /** Enable sticks only while MSI is active, with no more messages than vectors. */
  #afterMsi(cap: number): void {
    const at = cap + PCI_MSI_FLAGS;
    const lg2 = this.#effects.msiVectorsLg2();
    let flags = this.#image.getUint16(at, true);
    if (lg2 === undefined) flags &= ~PCI_MSI_FLAGS_ENABLE;
    if ((flags & PCI_MSI_FLAGS_QSIZE) >> 4 > (lg2 ?? 0)) {
      flags = (flags & ~PCI_MSI_FLAGS_QSIZE) | ((lg2 ?? 0) << 4);
    }
    this.#image.setUint16(at, flags, true);
    const ours = PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE;
    const real = this.#fn.readConfig(at, 2);
    this.#fn.writeConfig(at, 2, (real & ~ours) | (flags & ours));
  }
  #afterDevctl(cap: number): void {
    const at = cap + PCI_EXP_DEVCTL;
    const wanted = this.#image.getUint16(at, true);
    const real = this.#fn.readConfig(at, 2);
    // The device's read requests may not be smaller than its payload.
    const request = Math.max((wanted & PCI_EXP_DEVCTL_READRQ) >> 12, (real >> 5) & 7);
    this.#fn.writeConfig(at, 2, (real & ~PCI_EXP_DEVCTL_READRQ) | (request << 12));
    if ((wanted & PCI_EXP_DEVCTL_BCR_FLR) === 0) return;
    this.#image.setUint16(at, wanted & ~PCI_EXP_DEVCTL_BCR_FLR, true);
    const able = this.#fn.readConfig(cap + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR;
    if (able) this.#effects.resetFunction();
  }

  #fixBar(n: number): void {
    const at = PCI_BASE_ADDRESS_0 + 4 * n;
    const bar = this.#fn.bars[n];
    const below = n > 0 ? this.#fn.bars[n - 1] : undefined;
    let value = 0;
    if (bar) {
      const spec = barTypeBits(bar);
      value = ((this.#image.getUint32(at, true) & sizeMask(bar.size, 0)) | spec) >>> 0;
    } else if (below?.kind === 'mem64') {
      value = (this.#image.getUint32(at, true) & sizeMask(below.size, 32)) >>> 0;
    }
    this.#image.setUint32(at, value, true);
  }
  #fixRom(): void {
    const size = romSize(this.#fn);
    const value = size === 0 ? 0 : this.#image.getUint32(PCI_ROM_ADDRESS, true);
    this.#image.setUint32(PCI_ROM_ADDRESS, (value & (sizeMask(size, 0) | 1)) >>> 0, true);
  }
}

/** 32 bits of ~(size - 1), from bit `from` on. */
function sizeMask(size: number, from: 0 | 32): number {
  if (from === 32) return size >= 2 ** 32 ? -(size / 2 ** 32) | 0 : -1;
  return size >= 2 ** 32 ? 0 : -size | 0;
}
/** The image's length rounded up to a power of two: what a ROM BAR would decode. */
export function romSize({ identity: { rom } }: PciDeviceFunction): number {
  return rom ? 2 ** Math.ceil(Math.log2(Math.max(rom.length, 2048))) : 0;
}
