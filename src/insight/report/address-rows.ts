/** The addresses of a domain as a reader sees them: what is mapped, the holes between, and where DMA went wrong. */
import { U64_MAX } from '../../base/u64.ts';
import type { MappingStory } from './address-story.ts';

/** A range of IO virtual addresses. */
export type AddressRow =
  | {
      readonly kind: 'mapping';
      readonly iova: bigint;
      readonly last: bigint;
      readonly of: MappingStory;
    }
  | { readonly kind: 'hole'; readonly iova: bigint; readonly last: bigint }
  | { readonly kind: 'fault'; readonly iova: bigint; readonly last: bigint; readonly seq: number };

/** An address that was not to be reached, by the event that tells of it. */
export interface Missed {
  readonly seq: number;
  readonly iova: bigint;
}

/** By ascending address; a miss parts the hole it fell into, and stands behind the mapping that did not permit it. */
export function addressRows(
  mappings: readonly MappingStory[],
  misses: readonly Missed[],
): AddressRow[] {
  const rows: AddressRow[] = [];
  const missed = [...misses].sort((a, b) => (a.iova < b.iova ? -1 : 1));
  let next = 0n;
  const takeMissUpTo = (last: bigint): AddressRow | undefined => {
    if (missed.length === 0 || missed[0]!.iova > last) return undefined;
    const { seq, iova } = missed.shift()!;
    return { kind: 'fault', iova, last: iova, seq };
  };
  const hole = (iova: bigint, last: bigint): void => {
    let from = iova;
    for (let miss = takeMissUpTo(last); miss; miss = takeMissUpTo(last)) {
      if (miss.iova > from) rows.push({ kind: 'hole', iova: from, last: miss.iova - 1n });
      rows.push(miss);
      from = miss.iova;
    }
    if (from <= last) rows.push({ kind: 'hole', iova: from, last });
  };
  for (const of of mappings) {
    hole(next, of.iova - 1n);
    rows.push({ kind: 'mapping', iova: of.iova, last: of.last, of });
    for (let miss = takeMissUpTo(of.last); miss; miss = takeMissUpTo(of.last)) rows.push(miss);
    next = of.last + 1n;
  }
  hole(next, U64_MAX);
  return rows;
}

/**
 * How wide ranges are drawn beside each other, adding up to 1: by the logarithm of their size, so that a page is seen beside a
 * hole of an exabyte.
 */
export function widthsOf(rows: readonly AddressRow[]): number[] {
  const weights = rows.map(({ kind, iova, last }) =>
    kind === 'fault' ? 0 : Math.log2(Number(last - iova) + 2),
  );
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => (all === 0 ? 0 : weight / all));
}
