/** What a trace has seen mapped, so that DMA finds the mapping it goes through. */

import { lastAtOrBelow } from '../../base/binary-search.ts';

interface SeenMapping {
  readonly iova: bigint;
  /** The byte behind it. */
  readonly end: bigint;
  /** Chosen by the caller. */
  readonly id: bigint;
}

/** The mappings of one domain, which do not overlap. */
export class SeenMappings {
  /** By address. */
  readonly #all: SeenMapping[] = [];
  /** In all. */
  bytes = 0n;

  /** How many. */
  get count(): number {
    return this.#all.length;
  }
  add(iova: bigint, length: bigint, id: bigint): void {
    this.#all.splice(this.#firstBehind(iova), 0, { iova, end: iova + length, id });
    this.bytes += length;
  }
  /** The one that has this byte. */
  at(iova: bigint): bigint | undefined {
    const found = this.#all[this.#firstBehind(iova)];
    return found && found.iova <= iova ? found.id : undefined;
  }
  /** Those with bytes in the range are no more: what is left of one that reaches out of it is not followed any further. */
  remove(iova: bigint, length: bigint): bigint[] {
    const first = this.#firstBehind(iova);
    let last = first;
    while (last < this.#all.length && this.#all[last]!.iova < iova + length) last++;
    this.bytes -= length;
    return this.#all.splice(first, last - first).map(({ id }) => id);
  }

  /** Of the mappings that end behind the address the first. */
  #firstBehind(iova: bigint): number {
    return lastAtOrBelow(this.#all, iova, ({ end }) => end) + 1;
  }
}
