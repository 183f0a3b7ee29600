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
import type { BarSpec } from '../../pci/identity.ts';
import type { PciSlot } from './slot.ts';

const MIB = 0x10_0000;
const PAGE = 0x1000;
/** Offset of the memory base and limit of a bridge, 16 bits each in units of 1 MiB. */
const BRIDGE_MEMORY = 0x20;

/** Something that wants bus addresses. */
interface Wish {
  readonly kind: BarSpec['kind'];
  readonly size: number;
  /** Whoever asked for the same before gets the same again. */
  readonly key: string;
}

/** Hands out bus addresses; one for a whole machine. */
export class Firmware {
  readonly #given = new Map<string, number>();
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
    for (const bar of slot.fn.bars) if (bar) bar.assign(this.#place(wishOf(slot, bar)));
    this.#virtualFunctions(slot);
    const bars = slot.fn.bars.filter((bar) => bar !== undefined);
    const decode =
      (bars.some((bar) => bar.isIo) ? PCI_COMMAND_IO : 0) |
      (bars.some((bar) => !bar.isIo) ? PCI_COMMAND_MEMORY : 0);
    slot.fn.writeConfig(PCI_COMMAND, 2, decode);
    if (slot.fn.identity.interruptPin === 0) return;
    slot.fn.writeConfig(PCI_INTERRUPT_LINE, 1, this.#line);
    this.#line = this.#line === 11 ? 10 : 11;
  }

  /** Room for all virtual functions there can be. */
  #virtualFunctions(slot: PciSlot): void {
    const { sriov } = slot.fn;
    if (!sriov) return;
    const { bars, totalVfs } = sriov.spec;
    for (const bar of bars) {
      const size = bar.size * totalVfs;
      const key = `${slot.name} VF ${bar.index}`;
      sriov.bars.get(bar.index)!.assign(this.#place({ kind: bar.kind, size, key }));
    }
  }

  /** A function was plugged in behind the bridge: its window takes the addresses in. */
  widen(bridge: PciSlot, slot: PciSlot): void {
    for (const bar of slot.fn.bars) if (bar?.kind === 'mem32') widenTo(bridge, bar);
  }

  #bridge(slot: PciSlot, below: (bridge: PciSlot) => readonly PciSlot[]): void {
    const first = Math.ceil(this.#mem32 / MIB);
    this.#mem32 = first * MIB;
    this.assign(below(slot), below);
    const end = Math.ceil(this.#mem32 / MIB);
    this.#mem32 = end * MIB;
    if (end > first) setWindow(slot, first, end - 1);
    else setWindow(slot, 0xfff, 0);
    slot.fn.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  }

  /** Memory BARs begin on pages of their own, so that each can be mapped alone. */
  #place({ kind, size, key }: Wish): number {
    const name = `${key} ${kind} ${size}`;
    const at = this.#given.get(name) ?? this.#fresh(kind, size);
    this.#given.set(name, at);
    return at;
  }
  #fresh(kind: BarSpec['kind'], size: number): number {
    if (kind === 'io') {
      this.#io = Math.ceil(this.#io / size) * size;
      this.#io += size;
      return this.#io - size;
    }
    const step = Math.max(size, PAGE);
    const from = kind === 'mem64' ? this.#mem64 : this.#mem32;
    const at = Math.ceil(from / step) * step;
    if (kind === 'mem64') this.#mem64 = at + step;
    else this.#mem32 = at + step;
    return at;
  }
}

function wishOf(slot: PciSlot, { kind, size, index }: PciBar): Wish {
  return { kind, size, key: `${slot.name} BAR ${index}` };
}

function widenTo(bridge: PciSlot, { address, size }: PciBar): void {
  const { fn } = bridge;
  const window = fn.readConfig(BRIDGE_MEMORY, 4);
  const [base, limit] = [(window >>> 4) & 0xfff, window >>> 20];
  const first = Math.floor(address / MIB);
  const last = Math.ceil((address + size) / MIB) - 1;
  const isOpen = base <= limit;
  setWindow(bridge, isOpen ? Math.min(base, first) : first, isOpen ? Math.max(limit, last) : last);
}

/** In MiB; a base above its limit is a closed window. */
function setWindow({ fn }: PciSlot, base: number, limit: number): void {
  fn.writeConfig(BRIDGE_MEMORY, 4, (((limit << 4) << 16) | (base << 4)) >>> 0);
}
