/** One mapping of an IOAS: an interval of IOVAs on part of a pages object (iommufd.md 3.1). */
import type { Domain } from '../../core/contract/domain.ts';
import { joinWords, lessPair, type U64Register, type WordPair } from '../../base/word-pair.ts';
import type { Pages } from './pages.ts';

const TWO_32 = 0x1_0000_0000;

/** Part of a pages object. */
export interface Piece {
  readonly pages: Pages;
  readonly firstIndex: number;
  readonly pageOffset: number;
}

/** What in-kernel accesses have of an area. */
interface AreaUse {
  accesses: number;
  locks: number;
  isPrevented: boolean;
}

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
  /** Undefined until the first access: few areas meet one, and of a million each field counts. */
  #use: AreaUse | undefined;

  /** `last` is inclusive. */
  constructor(start: WordPair, last: WordPair, piece: Piece, prot: number) {
    this.startHi = start.hi;
    this.#startLo = start.lo | 0;
    this.lastHi = last.hi;
    this.#lastLo = last.lo | 0;
    this.pages = piece.pages;
    this.firstIndex = piece.firstIndex;
    this.pageOffset = piece.pageOffset;
    this.prot = prot;
  }
  /** Pins of in-kernel accesses. */
  get numAccesses(): number {
    return this.#use?.accesses ?? 0;
  }
  /** Pins that forbid to unmap. */
  get numLocks(): number {
    return this.#use?.locks ?? 0;
  }
  /** An unmap is under way: no new access. */
  get preventAccess(): boolean {
    return this.#use?.isPrevented === true;
  }
  /** An in-kernel access pins. `locks`: it forbids to unmap. */
  addAccess(locks: boolean): void {
    this.#use ??= { accesses: 0, locks: 0, isPrevented: false };
    this.#use.accesses++;
    if (locks) this.#use.locks++;
  }
  dropAccess(locks: boolean): void {
    const use = this.#use!; // it was added
    use.accesses--;
    if (locks) use.locks--;
  }
  /** Only of an area that has accesses. */
  prevent(isPrevented: boolean): void {
    this.#use!.isPrevented = isPrevented;
  }
  get startLo(): number {
    return this.#startLo >>> 0;
  }
  get lastLo(): number {
    return this.#lastLo >>> 0;
  }
  /** First IOVA, for messages and the doors. */
  get start(): bigint {
    return joinWords(this.startHi, this.startLo);
  }
  /** Last IOVA, inclusive. */
  get last(): bigint {
    return joinWords(this.lastHi, this.lastLo);
  }
  /** Does all of it lie below an IOVA? */
  endsBefore(at: WordPair): boolean {
    return lessPair(this.lastHi, this.lastLo, at.hi, at.lo);
  }
  /** Index of the last page the area touches. */
  get lastIndex(): number {
    return this.indexAt(this.lastHi, this.lastLo);
  }
  /** Index of the page at an IOVA inside the area. */
  indexAt(hi: number, lo: number): number {
    const borrow = lo < this.startLo ? 1 : 0;
    const beyondLo = ((lo - this.startLo) >>> 0) + this.pageOffset;
    return this.firstIndex + (hi - this.startHi - borrow) * 0x10_0000 + Math.floor(beyondLo / 4096);
  }
  /** Offset in its page of an IOVA inside the area. */
  offsetAt(lo: number): number {
    return (lo - this.startLo + this.pageOffset) & 0xfff;
  }
  /** Bytes; exact below 2^53, which every area that can be pinned is. */
  get length(): number {
    return (this.lastHi - this.startHi) * TWO_32 + (this.lastLo - this.startLo) + 1;
  }
  /** The length added to a sum of bytes, modulo 2^64. */
  addLengthTo(sum: U64Register): void {
    const borrow = this.lastLo < this.startLo ? 1 : 0;
    sum.plusWords(this.lastHi - this.startHi - borrow, (this.lastLo - this.startLo) >>> 0);
    sum.increment();
  }
}
