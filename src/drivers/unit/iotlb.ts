/**
 * The translation cache of a unit: a direct-mapped IOTLB in typed arrays (formats.md 12).
 *
 * An entry is four words: low word of the granule; tag and high part of the granule; output frame for reads; the same
 * for writes. A tag is a small number for whatever the unit tells entries apart by (a domain id, an ASID, a PASID);
 * retiring it forgets everything cached under it at once. The TLB of a device is the same cache under a tag of its own.
 *
 * Behind the entries, in the same array, stands the front table: which tag a requester and PASID are looked up under.
 * One array for both keeps a hit at a handful of loads (docs/performance.md).
 */
import { pow2 } from '../../base/u64.ts';

// Private to the module: V8 folds such a constant, while an exported one is a load and a check each time.
const TLB_LG2 = 12;
const TLB_MASK = (1 << TLB_LG2) - 1;
/** An output frame that is none: the access is not allowed, or the frame has more than 31 bits and stands in `wide`. */
const REFUSED = -1;
const WIDE = -2;
/** First word of the front table, of 256 times four words: requester id, PASID, tag word, hash. */
const FRONT = 4 << TLB_LG2;
const FRONT_SLOTS = 256;
const MAY_READ = 1;
const MAY_WRITE = 2;
/** Permissions, in fill() and peek(). */
export const TLB_READ = MAY_READ;
export const TLB_WRITE = MAY_WRITE;
const LAST_TAG = 0xfff;
/** Pages up to which an invalidation looks each one up instead of scanning the cache. */
const PROBE_LIMIT = 64;

/** What is cached under one tag. `word` is the tag shifted into place, 0 when retired. */
export interface TlbTag<T> {
  /** What the unit calls it. */
  readonly of: T;
  word: number;
  hash: number;
  /** Something larger than a granule may be cached under it. */
  large: boolean;
}

/** `T` is what entries are told apart by, `W` what the misses of a requester are walked by. */
export class Iotlb<T, W> {
  /** See the head. A plain field: every request reads it. */
  private readonly words = new Int32Array(FRONT + 4 * FRONT_SLOTS);
  /** Size of the leaf of each entry in granules, lg2. */
  readonly #leaves = new Uint8Array(1 << TLB_LG2);
  /** Output frames that do not fit 31 bits. */
  readonly #wide = new Float64Array(1 << TLB_LG2);
  /** Of the front table: undefined for a device with a TLB of its own. */
  readonly #walkedBy = new Array<W | undefined>(FRONT_SLOTS).fill(undefined);
  readonly #keyOf: (of: T) => string;
  readonly #tags = new Map<string, TlbTag<T>>();
  #lastTag = 0;

  /** `keyOf` is the same for what is the same tag. */
  constructor(keyOf: (of: T) => string) {
    this.#keyOf = keyOf;
    this.dropFront();
  }

  /** The tag for something, with what is cached under it; of one that is new or was retired nothing is. */
  tag(of: T): TlbTag<T> {
    const key = this.#keyOf(of);
    let tag = this.#tags.get(key);
    if (tag === undefined) {
      tag = { of, word: 0, hash: 0, large: false };
      this.#tags.set(key, tag);
    }
    this.revive(tag);
    return tag;
  }

  /** Give a retired tag a new number, under which nothing is cached. */
  revive(tag: TlbTag<T>): void {
    if (tag.word === 0) this.#number(tag);
  }

  /** The output frame of a request, or -1: not cached, not allowed, or a frame of more than 31 bits. */
  hit(requesterId: number, pasid: number, iovaG: number, write: boolean): number {
    const t = this.words;
    const front = FRONT + (frontSlot(requesterId, pasid) << 2);
    const low = iovaG | 0;
    const at = ((low ^ t[front + 3]!) & TLB_MASK) << 2;
    const high = low === iovaG ? 0 : highOf(iovaG);
    if (
      t[front] === requesterId &&
      t[front + 1] === pasid &&
      t[at] === low &&
      t[at + 1] === (t[front + 2]! | high)
    ) {
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-boolean-literal-compare -- V8 tests `write` for truth in ten instructions, for true in one
      return t[at + (write === true ? 3 : 2)]!;
    }
    return REFUSED;
  }

  /** What the misses of this requester are walked by, if that is known. */
  walkedBy(requesterId: number, pasid: number): W | undefined {
    const slot = frontSlot(requesterId, pasid);
    const front = FRONT + (slot << 2);
    const same = this.words[front] === requesterId && this.words[front + 1] === pasid;
    return same ? this.#walkedBy[slot] : undefined;
  }
  /** From now on requests of this requester and PASID are looked up under `tag`. */
  setFront(requesterId: number, pasid: number, tag: TlbTag<T>, walkedBy: W | undefined): void {
    const t = this.words;
    const slot = frontSlot(requesterId, pasid);
    const at = FRONT + (slot << 2);
    t[at] = requesterId;
    t[at + 1] = pasid;
    t[at + 2] = tag.word;
    t[at + 3] = tag.hash;
    this.#walkedBy[slot] = walkedBy;
  }
  /** Every requester is looked up from the start again. */
  dropFront(): void {
    this.words.fill(-1, FRONT);
  }

  /** Cache an output frame with its permissions; the leaf it is a piece of has 2^leafLg2 granules. */
  fill(tag: TlbTag<T>, iovaG: number, out: number, permissions: number, leafLg2: number): void {
    const t = this.words;
    const low = iovaG | 0;
    const slot = (low ^ tag.hash) & TLB_MASK;
    const at = slot << 2;
    let frame = out;
    if (out >= 0x8000_0000) {
      frame = WIDE;
      this.#wide[slot] = out;
    }
    t[at] = low;
    t[at + 1] = tag.word | (low === iovaG ? 0 : highOf(iovaG));
    t[at + 2] = (permissions & MAY_READ) !== 0 ? frame : REFUSED;
    t[at + 3] = (permissions & MAY_WRITE) !== 0 ? frame : REFUSED;
    this.#leaves[slot] = leafLg2;
    if (leafLg2 > 0) tag.large = true;
  }

  /** The cached output frame for an access, or -1: nothing cached, or without the permission. */
  find(tag: TlbTag<T>, iovaG: number, write: boolean): number {
    const slot = this.#slotOf(tag, iovaG);
    if (slot < 0) return -1;
    const out = this.words[(slot << 2) + (write ? 3 : 2)]!;
    return out === WIDE ? this.#wide[slot]! : out;
  }

  /** What is cached: permissions, and the size of the leaf from bit 8 on; 0 for nothing. */
  peek(tag: TlbTag<T>, iovaG: number): number {
    const slot = this.#slotOf(tag, iovaG);
    if (slot < 0) return 0;
    const read = this.words[(slot << 2) + 2]! === REFUSED ? 0 : MAY_READ;
    const write = this.words[(slot << 2) + 3]! === REFUSED ? 0 : MAY_WRITE;
    return read | write | (this.#leaves[slot]! << 8);
  }

  #slotOf(tag: TlbTag<T>, iovaG: number): number {
    const low = iovaG | 0;
    const slot = (low ^ tag.hash) & TLB_MASK;
    const at = slot << 2;
    const hit = this.words[at] === low && this.words[at + 1] === (tag.word | highOf(iovaG));
    return hit && tag.word !== 0 ? slot : -1;
  }

  /** Forget everything under the tags that match. */
  retire(matches: (of: T) => boolean): void {
    let found = false;
    for (const tag of this.#tags.values()) {
      if (tag.word === 0 || !matches(tag.of)) continue;
      tag.word = 0;
      tag.large = false;
      found = true;
    }
    if (found) this.dropFront();
  }

  /**
   * Under the tags that match, forget what overlaps `countG` granules from `startG` on; a cached piece of a large leaf
   * goes with its leaf.
   */
  invalidate(matches: (of: T) => boolean, startG: number, countG: number): void {
    for (const tag of this.#tags.values()) {
      if (tag.word !== 0 && matches(tag.of)) this.#invalidateRange(tag, startG, countG);
    }
  }

  #invalidateRange(tag: TlbTag<T>, startG: number, countG: number): void {
    if (tag.large || countG > PROBE_LIMIT) {
      this.#scan(tag, startG, startG + countG - 1);
      return;
    }
    for (let n = 0; n < countG; n++) {
      const slot = this.#slotOf(tag, startG + n);
      if (slot >= 0) this.words[(slot << 2) + 1] = 0;
    }
  }

  #scan(tag: TlbTag<T>, firstG: number, lastG: number): void {
    const t = this.words;
    for (let at = 0; at < FRONT; at += 4) {
      const word = t[at + 1]!;
      if ((word & ~0xf_ffff) !== tag.word) continue;
      const iovaG = (word & 0xf_ffff) * pow2(32) + (t[at]! >>> 0);
      const leaf = pow2(this.#leaves[at >> 2]!);
      const leafStart = Math.floor(iovaG / leaf) * leaf;
      if (leafStart <= lastG && leafStart + leaf - 1 >= firstG) t[at + 1] = 0;
    }
  }

  #number(tag: TlbTag<T>): void {
    if (this.#lastTag === LAST_TAG) {
      for (const other of this.#tags.values()) other.word = 0;
      this.words.fill(0, 0, FRONT);
      this.#lastTag = 0;
      this.dropFront();
    }
    const id = ++this.#lastTag;
    tag.word = id << 20;
    tag.hash = Math.imul(id, 0x9e5) & TLB_MASK;
  }
}

/** A requester's place in the front table. */
function frontSlot(requesterId: number, pasid: number): number {
  return (requesterId ^ (requesterId >>> 8) ^ (pasid + 1)) & (FRONT_SLOTS - 1);
}

/** Bits 51:32 of a granule number. */
function highOf(granule: number): number {
  return (granule * 2 ** -32) | 0;
}
