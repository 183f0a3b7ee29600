/**
 * Choosing page sizes (core.md 3.4): which leaf comes next, and how many of it.
 *
 * Shared by the engine and by the core's loop over map_pages. Sizes are exponents counted in granules, so that the
 * granule itself is 0. The bitmap is compiled once into a table, because every map call asks.
 */
import { bugOn } from '../base/bug.ts';
import { pow2 } from '../base/u64.ts';

/** A page-size bitmap made ready for questions. */
export interface PageSizes {
  readonly bitmap: bigint;
  readonly granuleLg2: number;
  /** floor[n]: the largest size of at most 2^n granules, or -1. */
  readonly floor: Int8Array;
  /** above[n]: the smallest size greater than 2^n granules, or -1. */
  readonly above: Int8Array;
  /** Smallest size. */
  readonly smallest: number;
}

const WIDTH = 64;

/** By bitmap and granule: domains by the thousand have the same few. */
const KNOWN = new Map<bigint, PageSizes[]>();
const MOST_KNOWN = 64;

/** What picking a page size needs of a bitmap, precomputed. */
export function pageSizes(bitmap: bigint, granuleLg2: number): PageSizes {
  let known = KNOWN.get(bitmap);
  if (known === undefined) {
    if (KNOWN.size === MOST_KNOWN) KNOWN.clear();
    KNOWN.set(bitmap, (known = []));
  }
  return (known[granuleLg2] ??= compile(bitmap, granuleLg2));
}

function compile(bitmap: bigint, granuleLg2: number): PageSizes {
  const floor = new Int8Array(WIDTH).fill(-1);
  const above = new Int8Array(WIDTH).fill(-1);
  const inGranules = bitmap >> BigInt(granuleLg2);
  bugOn(inGranules << BigInt(granuleLg2) !== bitmap, 'a page size is smaller than the granule');
  const has = (n: number): boolean => ((inGranules >> BigInt(n)) & 1n) === 1n;
  for (let n = 0, best = -1; n < WIDTH; n++) {
    if (has(n)) best = n;
    floor[n] = best;
  }
  for (let n = WIDTH - 2; n >= 0; n--) above[n] = has(n + 1) ? n + 1 : above[n + 1]!;
  return { bitmap, granuleLg2, floor, above, smallest: has(0) ? 0 : above[0]! };
}

/** Number of zero bits below the lowest one; 63 for 0. */
export function trailingZeros(value: number): number {
  const low = value | 0;
  if (low !== 0) return 31 - Math.clz32(low & -low);
  if (value === 0) return 63;
  const high = (value / 0x1_0000_0000) | 0;
  return 63 - Math.clz32(high & -high);
}

/** floor(log2(value)); the value must be 1 or more. */
export function floorLg2(value: number): number {
  return value < 0x1_0000_0000
    ? 31 - Math.clz32(value)
    : 63 - Math.clz32(Math.floor(value / 0x1_0000_0000));
}

/**
 * The largest page that fits the alignment of both addresses and the length, as an exponent in granules;
 * -1 when none does.
 *
 * @kernel iommu_pgsize
 */
export function pickPageSize(
  sizes: PageSizes,
  iovaG: number,
  paG: number,
  lengthG: number,
): number {
  if (lengthG < 1) return -1;
  const aligned = Math.min(trailingZeros(iovaG), trailingZeros(paG));
  return sizes.floor[Math.min(aligned, floorLg2(lengthG))]!;
}

/**
 * How many pages of that size to take in a row: all that fit, or as many as lead to the boundary from which
 * the next larger size can be used.
 *
 * @kernel iommu_pgsize
 */
export function pickPageCount(
  sizes: PageSizes,
  sizeLg2: number,
  iovaG: number,
  paG: number,
  lengthG: number,
): number {
  const page = pow2(sizeLg2);
  const next = sizes.above[sizeLg2]!;
  if (next >= 0 && trailingZeros(Math.abs(iovaG - paG)) >= next) {
    const larger = pow2(next);
    const toBoundary = larger - (iovaG % larger);
    if (toBoundary + larger <= lengthG) return toBoundary / page;
  }
  return Math.floor(lengthG / page);
}
