/**
 * Memory behind a BAR: pages of a device that programs may have as memory of their own, in place of registers whose loads
 * and stores are calls. What holds it is the machine's affair: the host's is memory that real processes can map.
 */

import { bugOn } from './bug.ts';

/** Pages of a BAR; bytes, multiples of 4096. */
export interface PageRange {
  readonly offset: number;
  readonly length: number;
}

/** What the plain and shadow pages of one BAR hold. Offsets are those of the BAR; bytes never written are 0. */
export interface BarMemory {
  /** Bytes: the size of the BAR. */
  readonly length: number;
  /** Bytes from there, as a load sees them. */
  read(offset: number, into: Uint8Array): void;
  /** Bytes to there, as a store leaves them. */
  write(offset: number, from: Uint8Array): void;
  /** All is 0 again. */
  clear(): void;
  /** Copies of the pages that are not all 0, by their offset, ascending. */
  pages(): Map<number, Uint8Array>;
  /**
   * Exactly these, as pages() gave them. What are no whole pages of this BAR is a Bug, before anything has changed.
   */
  fill(pages: ReadonlyMap<number, Uint8Array>): void;
  /** Do programs that have mapped it reach it now? Where they do not, each touch is a call. */
  lend(on: boolean): void;
}

/** Bytes of a page. */
export const BAR_PAGE = 4096;

/** A Bug unless they are whole pages of such a BAR. */
export function checkPages(pages: ReadonlyMap<number, Uint8Array>, length: number): void {
  for (const [offset, bytes] of pages) {
    const isPage = Number.isInteger(offset / BAR_PAGE) && bytes.length === BAR_PAGE;
    const isInside = isPage && offset >= 0 && offset + BAR_PAGE <= length;
    bugOn(!isInside, `no page of ${length} bytes begins at ${offset}`);
  }
}
