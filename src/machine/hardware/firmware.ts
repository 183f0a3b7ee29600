/**
 * What the firmware does before a kernel starts: every BAR gets an address, every bridge its windows, decoding is on
 * (PCIe 7.5.1.1.3, 7.5.1.2.1, 7.5.1.3).
 */
import {
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_INTERRUPT_LINE,
} from '../../uapi/pci-regs.ts';
import type { PciBar } from '../../pci/bar.ts';
import type { PciSlot } from './slot.ts';

const MIB = 0x10_0000;
const PAGE = 0x1000;
/** Offset of the memory base and limit of a bridge, 16 bits each in units of 1 MiB. */
const BRIDGE_MEMORY = 0x20;

/** Hands out bus addresses; one for a whole machine. */
export class Firmware {
  #mem32 = 0xe000_0000;
  #mem64 = 0x1_0000_0000;
  #io = 0xc000;
  #line = 10;

  /** What is on one bus; `below` gives what is behind a bridge. */
  assign(slots: readonly PciSlot[], below: (bridge: PciSlot) => readonly PciSlot[]): void {
    for (const slot of slots) {
      if (slot.isBridge) this.#bridge(slot, below);
      else this.#endpoint(slot);
    }
  }

  #endpoint(slot: PciSlot): void {
    for (const bar of slot.fn.bars) if (bar) bar.assign(this.#place(bar));
    const bars = slot.fn.bars.filter((bar) => bar !== undefined);
    const decode =
      (bars.some((bar) => bar.isIo) ? PCI_COMMAND_IO : 0) |
      (bars.some((bar) => !bar.isIo) ? PCI_COMMAND_MEMORY : 0);
    slot.fn.writeConfig(PCI_COMMAND, 2, decode);
    if (slot.fn.identity.interruptPin === 0) return;
    slot.fn.writeConfig(PCI_INTERRUPT_LINE, 1, this.#line);
    this.#line = this.#line === 11 ? 10 : 11;
  }

  #bridge(slot: PciSlot, below: (bridge: PciSlot) => readonly PciSlot[]): void {
    const first = Math.ceil(this.#mem32 / MIB);
    this.#mem32 = first * MIB;
    this.assign(below(slot), below);
    const end = Math.ceil(this.#mem32 / MIB);
    this.#mem32 = end * MIB;
    // A base above its limit is a closed window.
    const [base, limit] = end > first ? [first, end - 1] : [0xfff, 0];
    slot.fn.writeConfig(BRIDGE_MEMORY, 4, (((limit << 4) << 16) | (base << 4)) >>> 0);
    slot.fn.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  }

  /** Memory BARs begin on pages of their own, so that each can be mapped alone. */
  #place(bar: PciBar): number {
    if (bar.isIo) {
      this.#io = Math.ceil(this.#io / bar.size) * bar.size;
      this.#io += bar.size;
      return this.#io - bar.size;
    }
    const step = Math.max(bar.size, PAGE);
    const from = bar.kind === 'mem64' ? this.#mem64 : this.#mem32;
    const at = Math.ceil(from / step) * step;
    if (bar.kind === 'mem64') this.#mem64 = at + step;
    else this.#mem32 = at + step;
    return at;
  }
}
