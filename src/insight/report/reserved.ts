/** Ranges of IO virtual addresses that no mapping may take: what a reader sees where a program found no room. */

/** One range of one device. Plain data: addresses are '0x…', for it goes into a page as JSON. */
export interface ReservedFact {
  readonly device: string;
  readonly first: string;
  /** Its last byte. */
  readonly last: string;
  /** As `reserved_regions` in sysfs says it: 'direct', 'direct-relaxable', 'reserved', 'msi'. */
  readonly what: string;
}
/** The same, for a domain: of all its devices together. */
export interface ReservedRange {
  readonly iova: bigint;
  readonly last: bigint;
  readonly what: string;
}

/** By ascending address, disjoint: where ranges of two devices meet, the one that begins first is told to its end. */
export function reservedRanges(
  facts: readonly ReservedFact[],
  isMember: (device: string) => boolean,
): ReservedRange[] {
  const all = facts
    .filter(({ device }) => isMember(device))
    .map(({ first, last, what }) => ({ iova: BigInt(first), last: BigInt(last), what }))
    .sort((a, b) => (a.iova < b.iova ? -1 : 1));
  const ranges: ReservedRange[] = [];
  for (const { iova, last, what } of all) {
    const free = (ranges.at(-1)?.last ?? -1n) + 1n;
    if (last >= free) ranges.push({ iova: iova < free ? free : iova, last, what });
  }
  return ranges;
}
