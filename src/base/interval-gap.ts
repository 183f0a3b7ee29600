/** Does a wanted range fit into one hole? The rule of iommufd.md 3.3 on pairs of 32-bit words. */
import { pow2 } from './u64.ts';

const TWO_32 = 0x1_0000_0000;

/** A wanted place. */
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
}

/** The start found by the last startInHole() that said yes. */
export const START = { hi: 0, lo: 0 };

/** alignup(hole.start) | offset into START, if the length fits behind it. A hole of one byte never fits. */
export function startInHole(
  want: GapRequest,
  hi: number,
  lo: number,
  lastHi: number,
  lastLo: number,
): boolean {
  const step = pow2(want.alignLg2);
  let startLo = Math.ceil(lo / step) * step;
  let startHi = hi;
  if (startLo >= TWO_32) {
    startLo -= TWO_32;
    startHi++;
    if (startHi >= TWO_32) return false;
  }
  startLo = (startLo | want.offset) >>> 0;
  if (!less(startHi, startLo, lastHi, lastLo)) return false;
  let roomLo = lastLo - startLo;
  let roomHi = lastHi - startHi;
  if (roomLo < 0) {
    roomLo += TWO_32;
    roomHi--;
  }
  if (less(roomHi, roomLo, want.spanHi, want.spanLo)) return false;
  START.hi = startHi;
  START.lo = startLo;
  return true;
}

export function less(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  return aHi < bHi || (aHi === bHi && aLo < bLo);
}
