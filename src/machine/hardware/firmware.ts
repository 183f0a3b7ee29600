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
import type { BarSpec } from '../../pci/identity.ts';
import {
  hull,
  openWindow,
  setWindow,
  WINDOW_KINDS,
  WINDOW_STEP,
  type BusRange,
  type WindowKind,
} from './bridge-windows.ts';
import type { PciSlot } from './slot.ts';

const PAGE = 0x1000;
/** Behind a bridge a larger 64-bit BAR is above 4 GiB, whether it is prefetchable or not. */
const LARGEST_BELOW_4G = 0x100_0000;

/** Something that wants bus addresses. */
interface Wish {
  readonly kind: WindowKind;
  readonly size: number;
  /** Whoever asked for the same before gets the same again. */
  readonly key: string;
}

/** Hands out bus addresses; one for a whole machine. */
export class Firmware {
  readonly #given = new Map<string, BusRange>();
  /** Where the next is looked for; prefetchable memory is what lies above 4 GiB. */
  readonly #next: Record<WindowKind, number> = {
    memory: 0xe000_0000,
    prefetchable: 0x1_0000_0000,
    io: 0xc000,
  };
  #line = 10;

  /** What is on one bus; `below` gives what is behind a bridge. */
  assign(slots: readonly PciSlot[], below: (bridge: PciSlot) => readonly PciSlot[]): void {
    for (const slot of slots) {
      if (slot.isBridge) this.#bridge(slot, below);
      else this.#endpoint(slot);
    }
  }

  #endpoint(slot: PciSlot): void {
    for (const { register, wish } of barsOf(slot)) register.assign(this.#place(wish).start);
    const bars = slot.fn.bars.filter((bar) => bar !== undefined);
    const decode =
      (bars.some((bar) => bar.isIo) ? PCI_COMMAND_IO : 0) |
      (bars.some((bar) => !bar.isIo) ? PCI_COMMAND_MEMORY : 0);
    slot.fn.writeConfig(PCI_COMMAND, 2, decode);
    if (slot.fn.identity.interruptPin === 0) return;
    slot.fn.writeConfig(PCI_INTERRUPT_LINE, 1, this.#line);
    this.#line = this.#line === 11 ? 10 : 11;
  }

  /** A function was plugged in behind the bridge: its windows take the addresses in, and those of bridges above it. */
  widen(bridge: PciSlot, slot: PciSlot): void {
    for (let above: PciSlot | undefined = bridge; above; above = above.parent) {
      for (const kind of WINDOW_KINDS) {
        const own = openWindow(above.fn, kind);
        setWindow(above.fn, kind, hull([...(own ? [own] : []), ...this.#rangesOf(slot, kind)]));
      }
    }
  }

  #bridge(slot: PciSlot, below: (bridge: PciSlot) => readonly PciSlot[]): void {
    this.#toSteps();
    const behind = below(slot);
    this.assign(behind, below);
    this.#toSteps();
    for (const kind of WINDOW_KINDS) {
      setWindow(slot.fn, kind, hull(behind.flatMap((each) => this.#rangesOf(each, kind))));
    }
    slot.fn.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  }
  /** What is handed out next shares no step of a window with what was before. */
  #toSteps(): void {
    for (const kind of WINDOW_KINDS) {
      this.#next[kind] = roundUp(this.#next[kind], WINDOW_STEP[kind]);
    }
  }
  /** Addresses of this kind that a slot answers to, or passes on. */
  #rangesOf(slot: PciSlot, kind: WindowKind): BusRange[] {
    if (slot.isBridge) {
      const window = openWindow(slot.fn, kind);
      return window ? [window] : [];
    }
    const wishes = barsOf(slot).map(({ wish }) => wish);
    return wishes.filter((wish) => wish.kind === kind).map((wish) => this.#place(wish));
  }

  /** Memory BARs begin on pages of their own, so that each can be mapped alone. */
  #place({ kind, size, key }: Wish): BusRange {
    const name = `${key} ${kind} ${size}`;
    const range = this.#given.get(name) ?? this.#fresh(kind, size);
    this.#given.set(name, range);
    return range;
  }
  #fresh(kind: WindowKind, size: number): BusRange {
    const step = kind === 'io' ? size : Math.max(size, PAGE);
    const start = roundUp(this.#next[kind], step);
    this.#next[kind] = start + step;
    return { start, last: start + size - 1 };
  }
}

/** The base address registers of a slot, those of its virtual functions with room for all there can be. */
function barsOf(slot: PciSlot): { register: { assign(at: number): void }; wish: Wish }[] {
  const { bars, sriov } = slot.fn;
  const own = bars.flatMap((bar) => {
    if (!bar) return [];
    const { size, index } = bar;
    return [
      {
        register: bar,
        wish: { kind: kindOf(slot, bar, size), size, key: `${slot.name} BAR ${index}` },
      },
    ];
  });
  const virtual = (sriov?.spec.bars ?? []).map((bar) => {
    const size = bar.size * sriov!.spec.totalVfs;
    const wish = { kind: kindOf(slot, bar, size), size, key: `${slot.name} VF ${bar.index}` };
    return { register: sriov!.bars.get(bar.index)!, wish };
  });
  return [...own, ...virtual];
}
/** Only prefetchable memory has a window above 4 GiB; on a root bus there are no windows. */
function kindOf(
  slot: PciSlot,
  { kind, prefetchable }: Omit<BarSpec, 'index'>,
  size: number,
): WindowKind {
  if (kind !== 'mem64') return kind === 'io' ? 'io' : 'memory';
  return !slot.parent || prefetchable || size > LARGEST_BELOW_4G ? 'prefetchable' : 'memory';
}
function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}
