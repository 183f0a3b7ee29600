/** The addresses of a domain as a reader sees them: what is mapped, the holes between, and where DMA went wrong. */
import { U64_MAX } from '../../base/u64.ts';
import type { MappingStory } from './address-story.ts';
import type { ReservedRange } from './reserved.ts';

interface Range {
  readonly iova: bigint;
  readonly last: bigint;
}
/** A range of IO virtual addresses. */
export type AddressRow = Range &
  (
    | { readonly kind: 'mapping'; readonly of: MappingStory }
    | { readonly kind: 'hole' }
    | { readonly kind: 'reserved'; readonly what: string }
    | { readonly kind: 'fault'; readonly seq: number }
  );

/** An address that was not to be reached, by the event that tells of it. */
export interface Missed {
  readonly seq: number;
  readonly iova: bigint;
}

/**
 * By ascending address, with all addresses in it. A miss parts the hole it fell into, and stands behind the mapping that did not
 * permit it; of what is reserved that is told where nothing is mapped. `reserved`: by ascending address, disjoint.
 */
export function addressRows(
  mappings: readonly MappingStory[],
  misses: readonly Missed[],
  reserved: readonly ReservedRange[] = [],
): AddressRow[] {
  const missed = [...misses].sort((a, b) => (a.iova < b.iova ? -1 : 1));
  const rows: AddressRow[] = [];
  for (const row of rangesOf(mappings, reserved)) {
    if (row.kind === 'mapping') rows.push(row);
    let from = row.iova;
    while (missed.length > 0 && missed[0]!.iova <= row.last) {
      const { seq, iova } = missed.shift()!;
      if (row.kind !== 'mapping' && iova > from) rows.push({ ...row, iova: from, last: iova - 1n });
      rows.push({ kind: 'fault', iova, last: iova, seq });
      from = iova;
    }
    if (row.kind !== 'mapping') rows.push({ ...row, iova: from });
  }
  return rows;
}

/** Without the misses. */
function* rangesOf(
  mappings: readonly MappingStory[],
  reserved: readonly ReservedRange[],
): Generator<AddressRow> {
  let next = 0n;
  for (const of of mappings) {
    yield* unmapped({ iova: next, last: of.iova - 1n }, reserved);
    yield { kind: 'mapping', iova: of.iova, last: of.last, of };
    next = of.last + 1n;
  }
  yield* unmapped({ iova: next, last: U64_MAX }, reserved);
}
function* unmapped(range: Range, reserved: readonly ReservedRange[]): Generator<AddressRow> {
  let next = range.iova;
  for (const { iova, last, what } of reserved) {
    const from = iova > next ? iova : next;
    const to = last < range.last ? last : range.last;
    if (from > to) continue;
    if (next < from) yield { kind: 'hole', iova: next, last: from - 1n };
    yield { kind: 'reserved', iova: from, last: to, what };
    next = to + 1n;
  }
  if (next <= range.last) yield { kind: 'hole', iova: next, last: range.last };
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
