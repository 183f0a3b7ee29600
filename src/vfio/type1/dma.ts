/**
 * The mappings of a type1 container: disjoint ranges of I/O pages, sorted (vfio.md 1.9, 1.10).
 *
 * Everything is counted in 4 KiB pages as doubles: a 64-bit space has 2^52 of them, so even its very end is exact.
 */
import type { Mm } from '../../base/task.ts';

/** One MAP_DMA (struct vfio_dma). */
export interface Dma {
  /** First I/O page: iova >> 12. */
  readonly start: number;
  readonly npages: number;
  /** First page of the program: vaddr >> 12. Changes with VADDR. */
  vaddr: number;
  readonly read: boolean;
  readonly write: boolean;
  /** Whose memory and whose limit. Changes with VADDR. */
  mm: Mm;
  /** Pages the mm may lock; Infinity with CAP_IPC_LOCK. */
  lockLimit: number;
  vaddrInvalid: boolean;
  /** Pages pinned and present in every domain. */
  iommuMapped: boolean;
  /** What is mapped, in order: frame number, count, 1 when pinned or 0 for device memory. */
  runs: number[];
  /** Pages pinned now that count against the limit. */
  accounted: number;
  /** Dirty bits, one per page, while tracking is on. */
  dirty: Uint8Array | undefined;
  /** Pages that emulated devices pinned: I/O page to frame and count. */
  readonly devicePins: Map<number, DevicePin>;
}
export interface DevicePin {
  readonly pfn: number;
  count: number;
}

/** Pages of a 64-bit space. */
export const ALL_PAGES = 2 ** 52;

export class DmaList {
  readonly #sorted: Dma[] = [];
  /** In older kernels, what ends with the last page: its end is 0 in 64 bits, so that no look finds it. */
  readonly #lost: Dma[] = [];
  readonly #losesEnd: boolean;

  constructor(losesEnd = false) {
    this.#losesEnd = losesEnd;
  }
  get size(): number {
    return this.#sorted.length + this.#lost.length;
  }
  *[Symbol.iterator](): IterableIterator<Dma> {
    yield* this.#sorted;
    yield* this.#lost;
  }
  insert(dma: Dma): void {
    if (this.#isLost(dma)) this.#lost.push(dma);
    else this.#sorted.splice(this.#firstEndingAfter(dma.start), 0, dma);
  }
  remove(dma: Dma): void {
    if (this.#isLost(dma)) this.#lost.splice(this.#lost.indexOf(dma), 1);
    else this.#sorted.splice(this.#sorted.indexOf(dma, this.#firstEndingAfter(dma.start)), 1);
  }
  /** The first that overlaps the pages, or undefined. */
  find(start: number, npages: number): Dma | undefined {
    const dma = this.#sorted[this.#firstEndingAfter(start)];
    return dma && dma.start < start + npages ? dma : undefined;
  }
  /** All that overlap the pages, in order. */
  overlapping(start: number, npages: number): Dma[] {
    const found: Dma[] = [];
    for (let at = this.#firstEndingAfter(start); at < this.#sorted.length; at++) {
      const dma = this.#sorted[at]!;
      if (dma.start >= start + npages) break;
      found.push(dma);
    }
    return found;
  }
  #isLost({ start, npages }: Dma): boolean {
    return this.#losesEnd && start + npages === ALL_PAGES;
  }
  #firstEndingAfter(page: number): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const dma = this.#sorted[middle]!;
      if (dma.start + dma.npages > page) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
