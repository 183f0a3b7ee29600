// What a written-out walker must know of a page-table format, found by asking the format's functions about items.
import { isErrno } from '../src/base/errno.ts';
import { levelBitsOf, type PtFormat, type Word } from '../src/pt/format.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../src/pt/page-table.ts';

/** The bit of an item that grants a right; undefined: every item of its kind does. */
type RightBit = Word | undefined;

export interface FormatFacts {
  readonly format: PtFormat;
  /** What must be set for a right: in a table pointer, in a leaf. The present bit is part of it. */
  readonly tableNeeds: { readonly read: Word; readonly write: Word };
  readonly leafNeeds: { readonly read: Word; readonly write: Word };
  /** Where the two rights stand, in either kind: bit number of reading, writing right above it. */
  readonly rights: { readonly half: 'lo' | 'hi'; readonly shift: number };
  /** Table pointers have these bits too. */
  readonly tablesHaveRights: boolean;
}

const NONE: Word = { lo: 0, hi: 0 };
/** Words a statement about a format is tried on. */
const TRIALS = 20_000;

/** Stops with a sentence when the format is not one that can be written out. */
export function factsOf(format: PtFormat): FormatFacts {
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw new Error(`${format.name}: not to be written out: ${what}`);
  };
  must(
    levelBitsOf(format) === 9 && (format.rootBits ?? 0) === 0,
    'its tables are not of one frame',
  );
  must(format.granuleLg2 <= 12, 'its granule is larger than a frame');
  const attrs = format.attrs(IOMMU_READ | IOMMU_WRITE, new Set());
  if (isErrno(attrs)) throw new Error(`${format.name}: no leaf may be read and written`);
  const table = rightBits(format, format.table(1), 1);
  const leaf = rightBits(format, attrs, 0);
  const [read, write] = [leaf.read, leaf.write];
  if (!read || !write) throw new Error(`${format.name}: a right of a leaf has no bit`);
  const tablesHaveRights = table.read !== undefined;
  must(tablesHaveRights === (table.write !== undefined), 'tables have one right only');
  if (tablesHaveRights) must(same(table.read, read) && same(table.write, write), 'bits differ');
  const half = read.lo !== 0 ? 'lo' : 'hi';
  const shift = 31 - Math.clz32(read[half]);
  must(write[half] >>> 0 === 2 ** (shift + 1), 'writing does not stand right above reading');
  const present = presentBit(format, [table, leaf]);
  const needs = ({ read: r = NONE, write: w = NONE }: Rights) => ({
    read: either(r, present),
    write: either(w, present),
  });
  const rights = { half, shift } as const;
  return { format, tableNeeds: needs(table), leafNeeds: needs(leaf), rights, tablesHaveRights };
}

interface Rights {
  readonly read: RightBit;
  readonly write: RightBit;
}

function rightBits(format: PtFormat, base: Word, level: number): Rights {
  return {
    read: rightBit(format, base, level, IOMMU_READ),
    write: rightBit(format, base, level, IOMMU_WRITE),
  };
}

/** The bit without which the right is gone, tried on other words of that kind. */
function rightBit(format: PtFormat, base: Word, level: number, right: number): RightBit {
  const found: Word[] = [];
  for (let bit = 0; bit < 64; bit++) {
    const only = bitAt(bit);
    const word = { lo: base.lo & ~only.lo, hi: base.hi & ~only.hi };
    if (has(base, only) && kindOf(format, word, level) && grants(format, word, right) === 0)
      found.push(only);
  }
  if (found.length > 1) throw new Error(`${format.name}: a right hangs on several bits`);
  const [bit] = found;
  for (let n = 0; n < TRIALS; n++) {
    const word = randomWord();
    if (level > 0 && !kindOf(format, word, level)) continue;
    // A word that would be a table further up has no rights of a leaf to look for.
    if (level === 0 && kindOf(format, word, 1)) continue;
    const expected = bit === undefined || has(word, bit);
    if ((grants(format, word, right) !== 0) !== expected)
      throw new Error(`${format.name}: a right is no single bit`);
  }
  return bit;
}

function grants(format: PtFormat, { lo, hi }: Word, right: number): number {
  return format.protOf(lo, hi) & right;
}

/** Does the word say table, at a level above 0? Of level 0 every word is a leaf. */
function kindOf({ kind }: PtFormat, { lo }: Word, level: number): boolean {
  return level === 0 || ((kind.leaves >>> ((lo >>> kind.shift) & kind.mask)) & 1) === 0;
}

/** What to ask for besides a right; nothing where a right implies that the item is present. */
function presentBit({ name, present }: PtFormat, kinds: readonly Rights[]): Word {
  if (popcount(present) === 1) return present;
  const implied = kinds.every(
    ({ read, write }) => read && write && has(present, either(read, write)),
  );
  if (!implied) throw new Error(`${name}: an item with a right may be empty`);
  return NONE;
}

function bitAt(bit: number): Word {
  return bit < 32 ? { lo: 1 << bit, hi: 0 } : { lo: 0, hi: 1 << (bit - 32) };
}
function has(word: Word, bits: Word): boolean {
  return (word.lo & bits.lo) === bits.lo && (word.hi & bits.hi) === bits.hi;
}
function either(a: Word, b: Word): Word {
  return { lo: a.lo | b.lo, hi: a.hi | b.hi };
}
function same(a: RightBit, b: RightBit): boolean {
  return a?.lo === b?.lo && a?.hi === b?.hi;
}
function popcount({ lo, hi }: Word): number {
  const bits = [lo, hi].map((half) => (half >>> 0).toString(2).replaceAll('0', '').length);
  return bits[0]! + bits[1]!;
}

let seed = 1;
function randomHalf(): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
  const high = seed & 0xffff_0000;
  seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
  return high | (seed >>> 16);
}
function randomWord(): Word {
  return { lo: randomHalf(), hi: randomHalf() };
}
