/** Does a wanted range fit into one hole? The rule of iommufd.md 3.3 on pairs of 32-bit words. */
import { lessPair, type U64Register } from './word-pair.ts';

const TWO_32 = 0x1_0000_0000;

/** A wanted place, and where it was found. */
export interface GapRequest {
  /** Inclusive window. */
  readonly firstHi: number;
  readonly firstLo: number;
  readonly lastHi: number;
  readonly lastLo: number;
  /** Length minus one. */
  readonly spanHi: number;
  readonly spanLo: number;
  /** A start is alignup(x, 2^alignLg2) | offset; alignLg2 < 32. */
  readonly alignLg2: number;
  readonly offset: number;
  /** The start, once there is one; a search without success may change it. */
  readonly found: U64Register;
}

/** alignup(hole.start) | offset, if the length fits behind it: true, and `found` is it. A hole of one byte never fits. */
export function startInHole(
  want: GapRequest,
  hi: number,
  lo: number,
  lastHi: number,
  lastLo: number,
): boolean {
  const mask = alignMask(want.alignLg2);
  const aligned = ((lo + mask) & ~mask) >>> 0;
  const startHi = aligned < lo ? hi + 1 : hi;
  const startLo = (aligned | want.offset) >>> 0;
  if (!lessPair(startHi, startLo, lastHi, lastLo)) return false;
  let roomLo = lastLo - startLo;
  let roomHi = lastHi - startHi;
  if (roomLo < 0) {
    roomLo += TWO_32;
    roomHi--;
  }
  if (lessPair(roomHi, roomLo, want.spanHi, want.spanLo)) return false;
  want.found.set(startHi, startLo);
  return true;
}

/** 2^lg2 - 1 as an int32, for lg2 < 32. */
export function alignMask(lg2: number): number {
  return ((1 << lg2) - 1) | 0;
}
