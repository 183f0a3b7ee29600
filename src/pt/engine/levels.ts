/**
 * What a format says of each level, made once for all of its tables: a machine of 2,000 groups has 2,000 of them, and each
 * would have nine objects of its own.
 */
import { levelBitsOf, type PtFormat, type Word } from '../format.ts';

/** 6 levels at most. */
const LEVELS = [0, 1, 2, 3, 4, 5];

/** By level. */
export interface Levels {
  /** 2^-bn: moves the index of level n to the low bits. */
  readonly scale: Float64Array;
  /** Table pointers, by level of the item, software bit included. */
  readonly tableBits: readonly Word[];
  /** `lo & tableMask` of an ordinary table pointer, by level of the item. */
  readonly tableMask: number;
  readonly tableValues: readonly number[];
}

/** Without the software bit, and with it. */
const KNOWN = [new WeakMap<PtFormat, Levels>(), new WeakMap<PtFormat, Levels>()] as const;

/** `incoherent`: pointers carry the bit that says that their table has been flushed. */
export function levelsOf(format: PtFormat, incoherent: boolean): Levels {
  const known = KNOWN[incoherent ? 1 : 0];
  let levels = known.get(format);
  if (levels === undefined) {
    levels = makeLevels(format, incoherent ? (format.flushed?.lo ?? 0) : 0);
    known.set(format, levels);
  }
  return levels;
}

function makeLevels(format: PtFormat, flushed: number): Levels {
  const bits = levelBitsOf(format);
  const tableBits = LEVELS.map((level) => {
    const word = format.table(level);
    return { lo: word.lo | flushed, hi: word.hi };
  });
  const tableMask = format.table(0).lo | (format.kind.mask << format.kind.shift);
  return {
    scale: Float64Array.from(LEVELS, (level) => 2 ** (-bits * level)),
    tableBits,
    tableMask,
    tableValues: tableBits.map(({ lo }) => lo & tableMask),
  };
}
