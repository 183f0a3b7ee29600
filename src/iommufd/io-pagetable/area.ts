/**
 * One mapping of an IOAS: an interval of IOVAs on part of a pages object (iommufd.md 3.1).
 *
 * The pages object is made when somebody pins the memory or shares it: a program may hold a million mappings before a device is attached,
 * and of the 209 bytes of each 72 were an object that had nothing to say.
 */
import type { Domain } from '../../core/contract/domain.ts';
import {
  granuleOf,
  joinWords,
  lessPair,
  registerOf,
  type U64Register,
  type WordPair,
} from '../../base/word-pair.ts';
import type { PageBacking } from './page-backing.ts';
import { Pages } from './pages.ts';

const TWO_32 = 0x1_0000_0000;
const PAGE_LG2 = 12;
const IN_PAGE = 0xfff;

/** Where the memory of a mapping begins. */
export interface Piece {
  /** A backing is new memory, of which nobody else has a part. */
  readonly memory: Pages | PageBacking;
  /** Address of its first byte: of a program, in a file, in a dma-buf. */
  readonly from: WordPair;
}

/** What in-kernel accesses have of an area. */
interface AreaUse {
  accesses: number;
  locks: number;
  isPrevented: boolean;
}

export class Area {
  /** All words as int32: a field that holds more is a reference to a number on the heap. */
  readonly #startHi: number;
  readonly #startLo: number;
  readonly #lastHi: number;
  readonly #lastLo: number;
  readonly #fromHi: number;
  readonly #fromLo: number;
  #memory: Pages | PageBacking;
  /** IOMMU_READ and friends. */
  readonly prot: number;
  /** The domain that holds the pins; undefined with no domain attached. */
  storageDomain: Domain | undefined;
  /** Undefined until the first access: few areas meet one, and of a million each field counts. */
  #use: AreaUse | undefined;

  /** `last` is inclusive. */
  constructor(start: WordPair, last: WordPair, piece: Piece, prot: number) {
    this.#startHi = start.hi | 0;
    this.#startLo = start.lo | 0;
    this.#lastHi = last.hi | 0;
    this.#lastLo = last.lo | 0;
    this.#fromHi = piece.from.hi | 0;
    this.#fromLo = piece.from.lo | 0;
    this.#memory = piece.memory;
    this.prot = prot;
  }
  /** The pages object, made now if this is the first to ask. */
  get pages(): Pages {
    if (this.#memory instanceof Pages) return this.#memory;
    const whole = { firstPage: this.#firstPage, npages: this.lastIndex + 1 };
    const pages = new Pages(this.#memory, whole);
    this.#memory = pages;
    return pages;
  }
  /** What is known of the memory without a pages object. */
  get backing(): Pick<PageBacking, 'origin' | 'writable'> {
    return this.#memory;
  }
  get isDmabuf(): boolean {
    return this.#memory.origin.kind === 'dmabuf';
  }
  /** Its first page in the origin. */
  get #firstPage(): number {
    return granuleOf(this.#fromHi >>> 0, this.#fromLo >>> 0, PAGE_LG2);
  }
  /** First page inside the pages object. */
  get firstIndex(): number {
    return this.#memory instanceof Pages ? this.#firstPage - this.#memory.firstPage : 0;
  }
  /** Byte of that page at which the area begins. */
  get pageOffset(): number {
    return this.#fromLo & IN_PAGE;
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
  get startHi(): number {
    return this.#startHi >>> 0;
  }
  get startLo(): number {
    return this.#startLo >>> 0;
  }
  get lastHi(): number {
    return this.#lastHi >>> 0;
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
    return (lo - this.#startLo + this.#fromLo) & IN_PAGE;
  }
  /** The memory from an IOVA inside the area on, which somebody else gets too. */
  pieceAt(at: WordPair): Piece {
    const { pages } = this;
    const page = pages.firstPage + this.indexAt(at.hi, at.lo);
    return {
      memory: pages,
      from: registerOf((BigInt(page) << 12n) | BigInt(this.offsetAt(at.lo))),
    };
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
