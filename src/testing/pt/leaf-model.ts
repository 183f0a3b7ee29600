/** What a page table holds, as a plain list of leaves; page sizes are chosen greedily, from the text of core.md 3.4. */

/** A leaf; all in granules. */
export interface ModelLeaf {
  readonly start: number;
  readonly sizeLg2: number;
  readonly pa: number;
}

/** The model of a table with these page sizes, as exponents of granules. */
export class LeafModel {
  readonly sizes: readonly number[];
  leaves: ModelLeaf[] = [];
  constructor(sizes: readonly number[]) {
    this.sizes = [...sizes].reverse();
  }
  #overlaps(start: number, length: number): boolean {
    return this.leaves.some((l) => l.start < start + length && start < l.start + 2 ** l.sizeLg2);
  }
  map(start: number, pa: number, length: number): { mapped: number; clash: boolean } {
    for (let mapped = 0; mapped < length;) {
      const at = start + mapped;
      const sizeLg2 = this.sizes.find(
        (n) => at % 2 ** n === 0 && (pa + mapped) % 2 ** n === 0 && 2 ** n <= length - mapped,
      )!;
      if (this.#overlaps(at, 2 ** sizeLg2)) return { mapped, clash: true };
      this.leaves.push({ start: at, sizeLg2, pa: pa + mapped });
      mapped += 2 ** sizeLg2;
    }
    return { mapped: length, clash: false };
  }
  unmap(start: number, length: number): number {
    let at = start;
    while (at < start + length) {
      const leaf = this.leaves.find((l) => l.start === at);
      if (!leaf) break;
      this.leaves = this.leaves.filter((l) => l !== leaf);
      at += 2 ** leaf.sizeLg2;
    }
    return at - start;
  }
  /** Where each granule from `start` on leads, or -1. */
  outputs(start: number, length: number): Float64Array {
    const out = new Float64Array(length).fill(-1);
    for (const leaf of this.leaves) {
      for (let n = 0; n < 2 ** leaf.sizeLg2; n++) {
        const at = leaf.start + n - start;
        if (at >= 0 && at < length) out[at] = leaf.pa + n;
      }
    }
    return out;
  }
}
