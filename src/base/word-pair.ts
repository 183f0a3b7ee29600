/**
 * Sixty-four bit numbers as two 32-bit words, where a bigint would be too slow: where areas begin and how long they are.
 *
 * A result has an owner: a U64Register of whoever asks, used again at the next call, so nothing is allocated.
 */
import { pow2 } from './u64.ts';

const TWO_32 = 0x1_0000_0000;

/** A u64: each word is 0 … 2^32 - 1. */
export interface WordPair {
  readonly hi: number;
  readonly lo: number;
}

/** A u64 that changes. Arithmetic is modulo 2^64 and says when it wraps. */
export class U64Register implements WordPair {
  /** As int32: a field that holds more is a reference to a number on the heap. */
  #hi = 0;
  #lo = 0;

  get hi(): number {
    return this.#hi >>> 0;
  }
  get lo(): number {
    return this.#lo >>> 0;
  }
  set(hi: number, lo: number): this {
    this.#hi = hi | 0;
    this.#lo = lo | 0;
    return this;
  }
  copy(from: WordPair): this {
    return this.set(from.hi, from.lo);
  }
  /** Add; true when it wraps. */
  plus(by: WordPair): boolean {
    return this.plusWords(by.hi, by.lo);
  }
  /** plus() of a pair that nobody has as an object. */
  plusWords(hi: number, lo: number): boolean {
    const sumLo = this.lo + lo;
    const sumHi = this.hi + hi + (sumLo >= TWO_32 ? 1 : 0);
    this.set(sumHi, sumLo);
    return sumHi >= TWO_32;
  }
  /** Add 1; true when it wraps. */
  increment(): boolean {
    return this.plusWords(0, 1);
  }
  /** Subtract 1; true when it wraps. */
  decrement(): boolean {
    const borrow = this.#lo === 0 ? 1 : 0;
    const wraps = borrow === 1 && this.#hi === 0;
    this.set(this.#hi - borrow, this.#lo - 1);
    return wraps;
  }
  /** From a field of a struct: the word at `at`, and the high one behind it. */
  load(words: Uint32Array, at: number): this {
    return this.set(words[at + 1]!, words[at]!);
  }
  /** Into a field of a struct. */
  store(words: Uint32Array, at: number): void {
    words[at] = this.#lo;
    words[at + 1] = this.#hi;
  }
  get value(): bigint {
    return joinWords(this.hi, this.lo);
  }
  set value(value: bigint) {
    this.set(hiWord(value), loWord(value));
  }
}

/** A register that begins with a value. */
export function registerOf(value: bigint): U64Register {
  return new U64Register().set(hiWord(value), loWord(value));
}

/** Does a + b leave 64 bits? */
export function sumWraps(a: WordPair, b: WordPair): boolean {
  return a.hi + b.hi + (a.lo + b.lo >= TWO_32 ? 1 : 0) >= TWO_32;
}
/** a < b, word by word. */
export function lessPair(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  return aHi < bHi || (aHi === bHi && aLo < bLo);
}
/** The high word of a u64. */
export function hiWord(value: bigint): number {
  return Number(value >> 32n);
}
/** The low word of a u64. */
export function loWord(value: bigint): number {
  return Number(value & 0xffff_ffffn);
}
/** The u64 of two 32-bit words. */
export function joinWords(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo);
}
/** The number of an address's page of 4 KiB, exact. */
export function pageOf({ hi, lo }: WordPair): number {
  return hi * 0x10_0000 + (lo >>> 12);
}
/** The address in granules of 2^lg2 bytes; exact for lg2 >= 11. */
export function granuleOf(hi: number, lo: number, lg2: number): number {
  return hi * pow2(32 - lg2) + (lo >>> lg2);
}
