/** What is written down of the registers of one BAR: name, offset, width, access, value at power-on. */

/** Bytes of one access. */
export type RegisterWidth = 1 | 2 | 4 | 8;

/**
 * What loads and stores do. 'ro': stores are ignored; 'wo': loads read as if nothing were there; 'w1c': a one clears its
 * bit; 'w1s': a one sets its bit; 'rc': as 'ro', and a load clears it.
 */
export type RegisterAccess = 'ro' | 'wo' | 'rw' | 'w1c' | 'w1s' | 'rc';

/** Where a register, or the first of an array of them, is: in bytes from the beginning of its BAR. */
export interface RegisterPlace {
  readonly offset: number;
  /** Of an array: how many there are, each `stride` bytes after the one before. Default 1. */
  readonly count?: number;
  /** Bytes. Default the width. */
  readonly stride?: number;
}

/** One register, or an array of equal ones. */
export interface RegisterSpec extends RegisterPlace {
  readonly width: RegisterWidth;
  /** Narrower accesses it answers besides those of its width, all at its offset; with declared widths only. */
  readonly narrow?: readonly RegisterWidth[];
  readonly access: RegisterAccess;
  /** Bits that a store can change, where that is not all of them. */
  readonly writable?: number | bigint;
  /** Value at power-on; of an array also its first elements, the last of these for all others. Default 0. */
  readonly reset?: number | bigint | readonly (number | bigint)[];
  /** Other places where the same cells are; of an array, from its first element on. */
  readonly also?: readonly RegisterPlace[];
  /** A handler acts on a store to the lowest byte, or to any. Default 'lowest': two halves are one action. */
  readonly acts?: 'lowest' | 'any';
  /** A load does nothing besides, and gives what the device has set or a store has left: it may be memory (shadowPages). */
  readonly shadow?: true;
  readonly help: string;
}

/** The registers of one BAR by name. */
export type RegisterTable = Readonly<Record<string, RegisterSpec>>;
