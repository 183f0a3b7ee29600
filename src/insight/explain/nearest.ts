/** Where something is mapped in a translation, next to an address where nothing is. */
import type { Explanation } from '../../core/contract/remapping-unit.ts';

/** An entry of a page table. */
export type TableEntry = Explanation['walk'][number];

/** The entries on the way to an address of a translation; none: the address cannot be translated at all. */
export type Walk = (iova: bigint) => readonly TableEntry[];

/** The mapped bytes that lie next to an address, inclusive. */
export interface Neighbours {
  /** The last mapped byte before it. */
  readonly before?: bigint;
  /** The first mapped byte behind it. */
  readonly behind?: bigint;
}

const SMALLEST_LG2 = 12n;
const LARGEST_LG2 = 63n;
/** Empty entries that are passed over in one direction. */
const MAX_STEPS = 1200;

/** Looks in both directions, entry by entry of the table, over the empty ones. */
export function neighbours(walk: Walk, iova: bigint): Neighbours {
  const before = search(walk, iova, (hole) => hole.start - 1n);
  const behind = search(walk, iova, (hole) => hole.last + 1n);
  return { ...(before !== undefined && { before }), ...(behind !== undefined && { behind }) };
}

/** An aligned block of 2^lg2 bytes where nothing is mapped. */
interface Hole {
  readonly start: bigint;
  readonly last: bigint;
  readonly lg2: bigint;
}

/** The byte next to the holes from `iova` on, when it is mapped. */
function search(walk: Walk, iova: bigint, next: (hole: Hole) => bigint): bigint | undefined {
  let at = iova;
  let lg2 = SMALLEST_LG2;
  for (let n = 0; n < MAX_STEPS && at >= 0n; n++) {
    const entry = walk(at).at(-1);
    if (!entry) return undefined;
    if (entry.kind === 'leaf') return at;
    const hole = holeOf(walk, at, { entry, lg2 });
    at = next(hole);
    lg2 = hole.lg2;
  }
  return undefined;
}

/** What an empty entry is responsible for: the largest aligned block around an address whose walk ends in it. */
function holeOf(
  walk: Walk,
  at: bigint,
  { entry, lg2: guess }: { readonly entry: TableEntry; readonly lg2: bigint },
): Hole {
  const isOf = (address: bigint): boolean => walk(address).at(-1)?.entryPa === entry.entryPa;
  // Most entries are as large as the one before.
  const isLess = guess > SMALLEST_LG2 && !isOf(at ^ (1n << (guess - 1n)));
  let lg2 = isLess ? SMALLEST_LG2 : guess;
  while (lg2 < LARGEST_LG2 && isOf(at ^ (1n << lg2))) lg2++;
  const start = (at >> lg2) << lg2;
  return { start, last: start + (1n << lg2) - 1n, lg2 };
}
