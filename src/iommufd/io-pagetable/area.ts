/** One mapping of an IOAS: an interval of IOVAs on part of a pages object (iommufd.md 3.1). */
import type { Domain } from '../../core/contract/domain.ts';
import { PAIR, subPair } from '../../base/word-pair.ts';
import type { Pages } from './pages.ts';

export class Area {
  readonly startHi: number;
  readonly lastHi: number;
  /** As int32: a field that holds more is a reference to a number on the heap. */
  readonly #startLo: number;
  readonly #lastLo: number;
  readonly pages: Pages;
  /** First page inside the pages object. */
  readonly firstIndex: number;
  /** Byte of that page at which the area begins. */
  readonly pageOffset: number;
  /** IOMMU_READ and friends. */
  readonly prot: number;
  /** The domain that holds the pins; undefined with no domain attached. */
  storageDomain: Domain | undefined;
  /** Pins of in-kernel accesses. */
  numAccesses = 0;
  /** Pins that forbid to unmap. */
  numLocks = 0;
  /** An unmap is under way: no new access. */
  preventAccess = false;

  // eslint-disable-next-line max-params -- two 64-bit addresses are four numbers; no object a mapping
  constructor(
    startHi: number,
    startLo: number,
    lastHi: number,
    lastLo: number,
    piece: Piece,
    prot: number,
  ) {
    this.startHi = startHi;
    this.#startLo = startLo | 0;
    this.lastHi = lastHi;
    this.#lastLo = lastLo | 0;
    this.pages = piece.pages;
    this.firstIndex = piece.firstIndex;
    this.pageOffset = piece.pageOffset;
    this.prot = prot;
  }
  get startLo(): number {
    return this.#startLo >>> 0;
  }
  get lastLo(): number {
    return this.#lastLo >>> 0;
  }
  /** Index of the last page the area touches. */
  get lastIndex(): number {
    return this.indexAt(this.lastHi, this.lastLo);
  }
  /** Index of the page at an IOVA inside the area. */
  indexAt(hi: number, lo: number): number {
    subPair(hi, lo, this.startHi, this.startLo);
    return this.firstIndex + PAIR.hi * 0x10_0000 + Math.floor((PAIR.lo + this.pageOffset) / 4096);
  }
  /** Offset in its page of an IOVA inside the area. */
  offsetAt(lo: number): number {
    return (lo - this.startLo + this.pageOffset) & 0xfff;
  }
  /** Bytes; exact below 2^53, which every area that can be pinned is. */
  get length(): number {
    subPair(this.lastHi, this.lastLo, this.startHi, this.startLo);
    return PAIR.hi * 0x1_0000_0000 + PAIR.lo + 1;
  }
}

/** An interval of IOVAs. */
export interface Span {
  readonly startHi: number;
  readonly startLo: number;
  readonly lastHi: number;
  readonly lastLo: number;
}
/** Part of a pages object. */
export interface Piece {
  readonly pages: Pages;
  readonly firstIndex: number;
  readonly pageOffset: number;
}
