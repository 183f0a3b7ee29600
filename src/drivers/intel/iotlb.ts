/**
 * The translation caches of a VT-d unit: a direct-mapped IOTLB in typed arrays (formats.md 7, 12).
 *
 * An entry is four words: low word of the granule, tag and high part of the granule, output frame, permissions.
 * A tag is a small number for (domain id, PASID, kind); retiring it forgets everything cached under it at once.
 * A device TLB is the same cache under a tag of its own, which only device-TLB invalidations retire.
 */
import { pow2 } from '../../base/u64.ts';

export const TLB_LG2 = 12;
export const TLB_MASK = (1 << TLB_LG2) - 1;
/** Permission bits of an entry's last word; the leaf's size in granules (lg2) stands in bits 8 and up. */
export const TLB_READ = 1;
export const TLB_WRITE = 2;
const LAST_TAG = 0xfff;
/** Pages up to which an invalidation looks each one up instead of scanning the cache. */
const PROBE_LIMIT = 64;

export type TagKind = 'second' | 'first' | 'nested' | 'pass' | 'device';

/** What is cached under one (domain id, PASID, kind). `word` is the tag shifted into place, 0 when retired. */
export interface TlbTag {
  readonly kind: TagKind;
  /** Domain id; for a device TLB the requester id. */
  readonly did: number;
  /** -1 when entries are not told apart by PASID. */
  readonly pasid: number;
  word: number;
  hash: number;
  /** Something larger than a granule may be cached under it. */
  large: boolean;
}

export class Iotlb {
  /** Four words an entry; see the head. */
  readonly words = new Int32Array(4 << TLB_LG2);
  /** Output frames that do not fit 31 bits; the entry then says -1. */
  readonly wide = new Float64Array(1 << TLB_LG2);
  readonly #tags = new Map<string, TlbTag>();
  #lastTag = 0;
  readonly #retired: () => void;

  /** `retired` is called whenever a tag word became invalid, so that copies of it are dropped. */
  constructor(retired: () => void) {
    this.#retired = retired;
  }

  tag(kind: TagKind, did: number, pasid: number): TlbTag {
    const key = `${kind}:${did}:${pasid}`;
    let tag = this.#tags.get(key);
    if (tag === undefined) {
      tag = { kind, did, pasid, word: 0, hash: 0, large: false };
      this.#tags.set(key, tag);
    }
    if (tag.word === 0) this.#number(tag);
    return tag;
  }

  /** Give a retired tag a new number, under which nothing is cached. */
  revive(tag: TlbTag): void {
    if (tag.word === 0) this.#number(tag);
  }

  fill(tag: TlbTag, iovaG: number, out: number, permissions: number, leafLg2: number): void {
    const low = iovaG | 0;
    const slot = (low ^ tag.hash) & TLB_MASK;
    const at = slot << 2;
    this.words[at] = low;
    this.words[at + 1] = tag.word | highOf(iovaG);
    this.words[at + 3] = permissions | (leafLg2 << 8);
    if (leafLg2 > 0) tag.large = true;
    if (out < 0x8000_0000) this.words[at + 2] = out;
    else {
      this.words[at + 2] = -1;
      this.wide[slot] = out;
    }
  }

  /** The cached output frame for an access, or -1: nothing cached, or without the permission. */
  find(tag: TlbTag, iovaG: number, write: boolean): number {
    const low = iovaG | 0;
    const slot = (low ^ tag.hash) & TLB_MASK;
    const at = slot << 2;
    const t = this.words;
    if (t[at] !== low || t[at + 1] !== (tag.word | highOf(iovaG)) || tag.word === 0) return -1;
    if ((t[at + 3]! & (write ? TLB_WRITE : TLB_READ)) === 0) return -1;
    return t[at + 2]! >= 0 ? t[at + 2]! : this.wide[slot]!;
  }

  /** Permissions and leaf size of what is cached, or 0. */
  peek(tag: TlbTag, iovaG: number): number {
    const low = iovaG | 0;
    const at = ((low ^ tag.hash) & TLB_MASK) << 2;
    const hit = this.words[at] === low && this.words[at + 1] === (tag.word | highOf(iovaG));
    return hit && tag.word !== 0 ? this.words[at + 3]! : 0;
  }

  /** Forget everything under the tags that match. */
  retire(matches: (tag: TlbTag) => boolean): void {
    for (const tag of this.#tags.values()) {
      if (tag.word !== 0 && matches(tag)) {
        tag.word = 0;
        tag.large = false;
      }
    }
    this.#retired();
  }

  /** Forget what overlaps `countG` granules from `startG` on; a cached piece of a large leaf goes with its leaf. */
  invalidateRange(tag: TlbTag, startG: number, countG: number): void {
    if (tag.word === 0) return;
    if (tag.large || countG > PROBE_LIMIT) {
      this.#scan(tag, startG, startG + countG - 1);
      return;
    }
    for (let n = 0; n < countG; n++) {
      const iovaG = startG + n;
      const low = iovaG | 0;
      const at = ((low ^ tag.hash) & TLB_MASK) << 2;
      if (this.words[at] === low && this.words[at + 1] === (tag.word | highOf(iovaG))) {
        this.words[at + 1] = 0;
      }
    }
  }

  *tags(): IterableIterator<TlbTag> {
    yield* this.#tags.values();
  }

  #scan(tag: TlbTag, firstG: number, lastG: number): void {
    const t = this.words;
    for (let at = 0; at < t.length; at += 4) {
      const word = t[at + 1]!;
      if ((word & ~0xf_ffff) !== tag.word) continue;
      const iovaG = (word & 0xf_ffff) * pow2(32) + (t[at]! >>> 0);
      const leaf = pow2(t[at + 3]! >>> 8);
      const leafStart = Math.floor(iovaG / leaf) * leaf;
      if (leafStart <= lastG && leafStart + leaf - 1 >= firstG) t[at + 1] = 0;
    }
  }

  #number(tag: TlbTag): void {
    if (this.#lastTag === LAST_TAG) {
      for (const other of this.#tags.values()) other.word = 0;
      this.words.fill(0);
      this.#lastTag = 0;
      this.#retired();
    }
    const id = ++this.#lastTag;
    tag.word = id << 20;
    tag.hash = Math.imul(id, 0x9e5) & TLB_MASK;
  }
}

/** Bits 51:32 of a granule number. */
export function highOf(granule: number): number {
  return (granule * 2 ** -32) | 0;
}
