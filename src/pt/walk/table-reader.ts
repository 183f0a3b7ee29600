/** Where a walk reads the items of tables, and marks them. */
import type { PhysicalMemory } from '../../base/physical-memory.ts';
import { FRAME_WORDS, type Ram } from '../ram.ts';

/** One item as two int32 halves. */
export interface Item {
  lo: number;
  hi: number;
}

/** Where a unit reads tables from. Offsets are bytes within the frame, a multiple of 8. */
export interface TableReader {
  /** Take an item. False: nothing is there. */
  read(pfn: number, offset: number, into: Item): boolean;
  /** Put an item. False: nothing is there. */
  write(pfn: number, offset: number, item: Item): boolean;
}

/** Tables in the machine's RAM; elsewhere through physical memory, where there is one. */
export class MemoryReader implements TableReader {
  readonly #ram: Ram;
  readonly #memory: PhysicalMemory | undefined;
  readonly #view = new DataView(new ArrayBuffer(8));
  readonly #bytes = new Uint8Array(this.#view.buffer);

  constructor(ram: Ram, memory?: PhysicalMemory) {
    this.#ram = ram;
    this.#memory = memory;
  }

  /** As TableReader has it. */
  read(pfn: number, offset: number, into: Item): boolean {
    if (pfn < this.#ram.frameCount) {
      const at = pfn * FRAME_WORDS + (offset >> 2);
      into.lo = this.#ram.words[at]!;
      into.hi = this.#ram.words[at + 1]!;
      return true;
    }
    const status = this.#memory?.read(pfn, offset, this.#bytes);
    if (this.#memory === undefined || status !== undefined) return false;
    into.lo = this.#view.getInt32(0, true);
    into.hi = this.#view.getInt32(4, true);
    return true;
  }

  /** As TableReader has it. */
  write(pfn: number, offset: number, item: Item): boolean {
    if (pfn < this.#ram.frameCount) {
      const at = pfn * FRAME_WORDS + (offset >> 2);
      this.#ram.words[at] = item.lo;
      this.#ram.words[at + 1] = item.hi;
      return true;
    }
    this.#view.setInt32(0, item.lo, true);
    this.#view.setInt32(4, item.hi, true);
    return this.#memory !== undefined && this.#memory.write(pfn, offset, this.#bytes) === undefined;
  }
}
