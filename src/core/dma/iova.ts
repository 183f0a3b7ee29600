/**
 * The allocator of I/O virtual addresses for the DMA API (core.md 10.3): frame numbers of a granule, from the top down.
 *
 * Small ranges (orders 0 to 5) are kept in magazines when they are freed, so that most calls touch no tree. Everything
 * else is found by walking the gaps of a sorted list downwards from where the last search ended.
 */
import { bugOn } from '../../base/bug.ts';
import { pow2 } from '../../base/u64.ts';
import { floorLg2 } from '../../pt/page-size.ts';

/** Ranges of 2^0 … 2^5 granules are cached. */
export const RANGE_CACHE_ORDERS = 6;
/** Ranges in one magazine. */
export const MAGAZINE_SIZE = 127;
/** Full magazines kept per order; more go back to the list of ranges. */
const DEPOT_SIZE = 32;

/** Allocated ranges, ascending and disjoint: first and last granule, inclusive. */
class RangeList {
  readonly #lo: number[] = [];
  readonly #hi: number[] = [];

  get size(): number {
    return this.#lo.length;
  }
  lo(index: number): number {
    return this.#lo[index]!;
  }
  hi(index: number): number {
    return this.#hi[index]!;
  }
  /** How many ranges start below that granule. */
  countBelow(granule: number): number {
    let low = 0;
    let high = this.#lo.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#lo[middle]! < granule) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  has(granule: number): boolean {
    const at = this.countBelow(granule + 1) - 1;
    return at >= 0 && this.#hi[at]! >= granule;
  }
  insert(lo: number, hi: number): void {
    const at = this.countBelow(lo);
    this.#lo.splice(at, 0, lo);
    this.#hi.splice(at, 0, hi);
  }
  /** Take out the range that starts there; its last granule, or -1. */
  remove(lo: number): number {
    const at = this.countBelow(lo);
    if (this.#lo[at] !== lo) return -1;
    const hi = this.#hi[at]!;
    this.#lo.splice(at, 1);
    this.#hi.splice(at, 1);
    return hi;
  }
  /** Union with what is there: for reserved ranges, which may overlap each other. */
  cover(lo: number, hi: number): void {
    let first = this.countBelow(lo);
    if (first > 0 && this.#hi[first - 1]! >= lo) first--;
    let end = first;
    while (end < this.#lo.length && this.#lo[end]! <= hi) end++;
    const from = end > first ? Math.min(lo, this.#lo[first]!) : lo;
    const to = end > first ? Math.max(hi, this.#hi[end - 1]!) : hi;
    this.#lo.splice(first, end - first, from);
    this.#hi.splice(first, end - first, to);
  }
}

/** Freed ranges of one order, ready to be given out again. */
class RangeCache {
  #loaded: number[] = [];
  #spare: number[] = [];
  readonly #depot: number[][] = [];

  /** Some range that ends at or below `lastStart`; -1 when there is none at hand. */
  get(lastStart: number): number {
    if (this.#loaded.length === 0) {
      if (this.#spare.length > 0) this.#swap();
      else this.#loaded = this.#depot.pop() ?? this.#loaded;
    }
    const mag = this.#loaded;
    for (let n = mag.length - 1; n >= 0; n--) {
      const start = mag[n]!;
      if (start > lastStart) continue;
      mag[n] = mag[mag.length - 1]!;
      mag.pop();
      return start;
    }
    return -1;
  }
  /** False when there is no room: the range must go back to the list. */
  put(start: number): boolean {
    if (this.#loaded.length === MAGAZINE_SIZE) {
      if (this.#spare.length < MAGAZINE_SIZE) this.#swap();
      else if (this.#depot.length < DEPOT_SIZE) {
        this.#depot.push(this.#loaded);
        this.#loaded = [];
      } else return false;
    }
    this.#loaded.push(start);
    return true;
  }
  drain(): number[] {
    const all = [this.#loaded, this.#spare, ...this.#depot].flat();
    this.#loaded = [];
    this.#spare = [];
    this.#depot.length = 0;
    return all;
  }
  #swap(): void {
    [this.#loaded, this.#spare] = [this.#spare, this.#loaded];
  }
}

/** One space of addresses (struct iova_domain). All numbers are granules. */
export class IovaDomain {
  readonly granuleLg2: number;
  /** Nothing below is ever given out. */
  readonly startPfn: number;
  /** First granule at 4 GiB. */
  readonly dma32Pfn: number;
  readonly #used = new RangeList();
  readonly #reserved = new RangeList();
  /** By order; a space from which nothing was freed yet has none. */
  readonly #caches: (RangeCache | undefined)[] = [];
  /** Searches begin below these granules: for limits below 4 GiB, and for others. */
  #below32 = Infinity;
  #below = Infinity;
  /** The smallest size that is known not to fit below 4 GiB. */
  #tooLarge32 = Infinity;

  constructor(granuleLg2: number, startPfn: number) {
    this.granuleLg2 = granuleLg2;
    this.startPfn = startPfn;
    this.dma32Pfn = pow2(Math.max(0, 32 - granuleLg2));
  }

  /**
   * A range of `size` granules that ends at or below `limitPfn`: from the caches when they have one. Only when
   * `flushRcache` may the caches be emptied to make room. -1 when there is no room.
   * @kernel alloc_iova_fast
   */
  allocFast(size: number, limitPfn: number, flushRcache: boolean): number {
    const rounded = roundForCache(size);
    const cached = this.#fromCache(rounded, limitPfn);
    if (cached >= 0) return cached;
    const found = this.alloc(rounded, limitPfn);
    if (found >= 0 || !flushRcache) return found;
    this.flushRcaches();
    return this.alloc(rounded, limitPfn);
  }
  /** @kernel free_iova_fast */
  freeFast(pfn: number, size: number): void {
    const rounded = roundForCache(size);
    const order = cacheOrder(rounded);
    if (order < RANGE_CACHE_ORDERS && (this.#caches[order] ??= new RangeCache()).put(pfn)) return;
    this.free(pfn);
  }
  /**
   * The highest fit below where the last search ended; if there is none, the highest below the limit. Aligned to the
   * size, rounded up to a power of two.
   * @kernel alloc_iova
   */
  alloc(size: number, limitPfn: number): number {
    const is32 = limitPfn < this.dma32Pfn;
    if (is32 && size >= this.#tooLarge32) return -1;
    const align = pow2(ceilLg2(size));
    const from = Math.min(limitPfn + 1, is32 ? this.#below32 : this.#below);
    let pfn = this.#findBelow(from, size, align);
    if (pfn < 0 && from <= limitPfn) pfn = this.#findBelow(limitPfn + 1, size, align);
    if (pfn < 0) {
      if (limitPfn === this.dma32Pfn - 1) this.#tooLarge32 = size;
      return -1;
    }
    this.#used.insert(pfn, pfn + size - 1);
    if (is32) this.#below32 = pfn;
    else this.#below = pfn;
    return pfn;
  }
  /** @kernel free_iova */
  free(pfn: number): void {
    // Reserved after it was given out: it stays reserved.
    if (this.#reserved.has(pfn)) return;
    const last = this.#used.remove(pfn);
    bugOn(last < 0, `granule ${pfn} freed but not allocated`);
    if (pfn < this.dma32Pfn) this.#tooLarge32 = Infinity;
    // Searches start again above the hole, at the next range.
    const next = this.#used.countBelow(last + 1);
    const above = next < this.#used.size ? this.#used.lo(next) : Infinity;
    if (pfn < this.dma32Pfn && pfn >= this.#below32) this.#below32 = above;
    if (pfn >= this.#below) this.#below = above;
  }
  /**
   * Keep a range from being given out, for ever.
   * @kernel reserve_iova
   */
  reserve(lo: number, hi: number): void {
    this.#used.cover(lo, hi);
    this.#reserved.cover(lo, hi);
  }
  flushRcaches(): void {
    for (const cache of this.#caches) {
      for (const pfn of cache?.drain() ?? []) this.free(pfn);
    }
  }
  /** Ranges taken out of the space, reserved and cached ones included. */
  get rangeCount(): number {
    return this.#used.size;
  }

  #fromCache(size: number, limitPfn: number): number {
    const order = cacheOrder(size);
    if (order >= RANGE_CACHE_ORDERS || size > limitPfn) return -1;
    return this.#caches[order]?.get(limitPfn - size + 1) ?? -1;
  }
  /** Walk the gaps downwards from `end`, exclusive. */
  #findBelow(end: number, size: number, align: number): number {
    let high = end;
    for (let at = this.#used.countBelow(end) - 1; ; at--) {
      const floor = at >= 0 ? this.#used.hi(at) + 1 : 0;
      if (high > floor) {
        const pfn = Math.floor((high - size) / align) * align;
        if (pfn >= Math.max(floor, this.startPfn)) return pfn;
      }
      if (at < 0 || floor <= this.startPfn) return -1;
      high = Math.min(high, this.#used.lo(at));
    }
  }
}

/** Sizes that the caches can hold are rounded up to a power of two. */
function roundForCache(size: number): number {
  return size < pow2(RANGE_CACHE_ORDERS - 1) ? pow2(ceilLg2(size)) : size;
}
/** Order of a range, rounded up. */
function cacheOrder(size: number): number {
  return ceilLg2(size);
}
function ceilLg2(size: number): number {
  return size <= 1 ? 0 : floorLg2(size - 1) + 1;
}
