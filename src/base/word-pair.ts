/** Sixty-four bit numbers as two 32-bit words, where a bigint would be too slow: keys and lengths of areas. */
import { pow2 } from './u64.ts';

const TWO_32 = 0x1_0000_0000;

/** The result of the last addPair() or subPair(). */
export const PAIR = { hi: 0, lo: 0 };

/** a + b into PAIR; true when it wraps. */
export function addPair(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  let lo = aLo + bLo;
  let hi = aHi + bHi;
  if (lo >= TWO_32) {
    lo -= TWO_32;
    hi++;
  }
  const wraps = hi >= TWO_32;
  if (wraps) hi -= TWO_32;
  PAIR.hi = hi;
  PAIR.lo = lo;
  return wraps;
}
/** a - b into PAIR; true when it wraps. */
export function subPair(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  let lo = aLo - bLo;
  let hi = aHi - bHi;
  if (lo < 0) {
    lo += TWO_32;
    hi--;
  }
  const wraps = hi < 0;
  if (wraps) hi += TWO_32;
  PAIR.hi = hi;
  PAIR.lo = lo;
  return wraps;
}
/** Is the pair a before the pair b, as unsigned 64-bit numbers? */
export function lessPair(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  return aHi < bHi || (aHi === bHi && aLo < bLo);
}
/** Upper 32 bits of a u64. */
export function hiWord(value: bigint): number {
  return Number(value >> 32n);
}
/** Lower 32 bits of a u64. */
export function loWord(value: bigint): number {
  return Number(value & 0xffff_ffffn);
}
/** The u64 of two 32-bit words. */
export function joinWords(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo);
}
/** The address's page number, exact. */
export function pageOf(hi: number, lo: number): number {
  return hi * 0x10_0000 + (lo >>> 12);
}
/** The address in granules of 2^lg2 bytes; exact for lg2 >= 11. */
export function granuleOf(hi: number, lo: number, lg2: number): number {
  return hi * pow2(32 - lg2) + (lo >>> lg2);
}
