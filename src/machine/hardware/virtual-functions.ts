/**
 * The virtual functions of one physical function: on the bus as long as its VF Enable is set, and in the same place when
 * it is set again (vfio.md 2.12; PCIe 9.2, 9.3.3.3).
 */
import type { PciSlot } from './slot.ts';

/** What becomes of virtual functions as software switches them. */
export interface VirtualBus {
  make(pf: PciSlot, index: number): PciSlot;
  /** False: another function has that address. */
  appears(slot: PciSlot): boolean;
  disappears(slot: PciSlot): void;
}

/** Keeps the bus as the SR-IOV capability of `pf` says. */
export class VirtualFunctions {
  readonly #pf: PciSlot;
  readonly #bus: VirtualBus;
  /** Made so far, by index. */
  readonly #made: PciSlot[] = [];
  /** Those with a smaller index are there. */
  #shown = 0;

  constructor(pf: PciSlot, bus: VirtualBus) {
    this.#pf = pf;
    this.#bus = bus;
    pf.fn.watchers.add(() => this.#follow());
  }
  /** All that were ever there. */
  get made(): readonly PciSlot[] {
    return this.#made;
  }

  #follow(): void {
    const { fn } = this.#pf;
    const wanted = fn.present ? fn.virtualFunctions : 0;
    while (this.#shown > wanted) this.#hide(this.#made[--this.#shown]!);
    while (this.#shown < wanted) {
      if (!this.#bus.appears(this.#slot(this.#shown))) return;
      this.#shown++;
    }
  }
  #hide(slot: PciSlot): void {
    this.#bus.disappears(slot);
    slot.fn.reset('bus');
  }
  #slot(index: number): PciSlot {
    const known = this.#made[index];
    if (known) return known;
    const slot = this.#bus.make(this.#pf, index);
    this.#made.push(slot);
    slot.model?.powerOn();
    return slot;
  }
}
