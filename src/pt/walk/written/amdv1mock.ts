// Written by scripts/gen-walkers.ts from the format; not to be changed by hand.
/* eslint-disable complexity, max-lines-per-function -- levels are written out, as bench/c/translate.c has them */
/** Walks tables of the format `amdv1mock`; see written-parts.ts. */
import { type PageWalker, type WalkCode, type WalkResult, type WalkRoot } from '../walker.ts';
import { writtenSettings, type WrittenParts } from '../written-parts.ts';

// Private to the file, so that V8 folds them.
const DONE = 0;
const READ = 1;
const WRITE = 2;
/** High half of the address field, and what its lowest bit is worth in granules. */
const ADDRESS_HIGH = 0xfffff;
const HIGH_GRANULES = 0x100000;
/** Bits that tell a leaf from a table. */
const KIND = 0xe00;

/** The quick way of `amdv1mock`, the interpreted walker behind it. */
export class Amdv1mockWalker implements PageWalker {
  private readonly words: Int32Array;
  private readonly tables: number;
  private readonly leafLevels: number;
  private readonly tableMark: number;
  private readonly leafMark: number;
  private readonly dirtyMark: number;
  private readonly user: number;
  private readonly judge: PageWalker;

  constructor(parts: WrittenParts) {
    const settings = writtenSettings(parts);
    this.words = settings.words;
    this.tables = settings.tables;
    this.leafLevels = settings.leafLevels;
    this.tableMark = settings.tableMark;
    this.leafMark = settings.leafMark;
    this.dirtyMark = settings.dirtyMark;
    this.user = settings.user;
    this.judge = settings.judge;
  }

  /** As PageWalker has it. */
  walk(root: WalkRoot, iovaG: number, access: number, out: WalkResult): WalkCode {
    quick: {
      const { topLevel: top, limitG, upperG } = root;
      if (access < READ || access > WRITE || top < 1 || top > 5) break quick;

      if (root.host !== undefined) break quick;
      if (limitG !== undefined && iovaG >= limitG && !(upperG !== undefined && iovaG >= upperG))
        break quick;
      const { words, tables } = this;
      const low = iovaG | 0;
      const high = low === iovaG ? 0 : (iovaG * 2 ** -32) | 0;
      const write = access === WRITE;
      const tableLow = 0x1 | this.tableMark | this.user;
      const tableHigh = write ? 0x40000000 : 0x20000000;
      let rights = -1;
      let level = 0;
      let table = root.pfn * 2;
      if (table >= tables) break quick;
      let at =
        ((table << 9) +
          (top === 3
            ? ((low >>> 26) | (high << 6)) & 0x3fe
            : top === 2
              ? (low >>> 17) & 0x3fe
              : top === 4
                ? (high >>> 3) & 0x3fe
                : top === 5
                  ? (high >>> 12) & 0x3fe
                  : (low >>> 8) & 0x3fe)) |
        0;
      let lo = words[at]!;
      let hi = words[at | 1]!;
      items: {
        if (top >= 5) {
          if (
            (lo & (tableLow | KIND)) !== (tableLow | 0xa00) ||
            (hi & (ADDRESS_HIGH | tableHigh)) !== tableHigh
          ) {
            level = 5;
            break items;
          }
          rights &= hi;
          table = lo >>> 12;
          if (table >= tables) break quick;
          at = ((table << 9) + ((high >>> 3) & 0x3fe)) | 0;
          lo = words[at]!;
          hi = words[at | 1]!;
        }
        if (top >= 4) {
          if (
            (lo & (tableLow | KIND)) !== (tableLow | 0x800) ||
            (hi & (ADDRESS_HIGH | tableHigh)) !== tableHigh
          ) {
            level = 4;
            break items;
          }
          rights &= hi;
          table = lo >>> 12;
          if (table >= tables) break quick;
          at = ((table << 9) + (((low >>> 26) | (high << 6)) & 0x3fe)) | 0;
          lo = words[at]!;
          hi = words[at | 1]!;
        }
        if (top >= 3) {
          if (
            (lo & (tableLow | KIND)) !== (tableLow | 0x600) ||
            (hi & (ADDRESS_HIGH | tableHigh)) !== tableHigh
          ) {
            level = 3;
            break items;
          }
          rights &= hi;
          table = lo >>> 12;
          if (table >= tables) break quick;
          at = ((table << 9) + ((low >>> 17) & 0x3fe)) | 0;
          lo = words[at]!;
          hi = words[at | 1]!;
        }
        if (top >= 2) {
          if (
            (lo & (tableLow | KIND)) !== (tableLow | 0x400) ||
            (hi & (ADDRESS_HIGH | tableHigh)) !== tableHigh
          ) {
            level = 2;
            break items;
          }
          rights &= hi;
          table = lo >>> 12;
          if (table >= tables) break quick;
          at = ((table << 9) + ((low >>> 8) & 0x3fe)) | 0;
          lo = words[at]!;
          hi = words[at | 1]!;
        }
        if (
          (lo & (tableLow | KIND)) !== (tableLow | 0x200) ||
          (hi & (ADDRESS_HIGH | tableHigh)) !== tableHigh
        ) {
          level = 1;
          break items;
        }
        rights &= hi;
        table = lo >>> 12;
        if (table >= tables) break quick;
        at = ((table << 9) + ((low << 1) & 0x3fe)) | 0;
        lo = words[at]!;
        hi = words[at | 1]!;
      }
      const leafLow = 0x1 | this.user;
      const leafHigh = write ? 0x40000000 : 0x20000000;
      if (level > 0 && ((0x81 >>> ((lo >>> 9) & 0x7)) & 1) === 0) break quick;
      if ((lo & leafLow) !== leafLow || (hi & leafHigh) !== leafHigh) break quick;
      const sizeLg2 = 9 * level;
      if (((this.leafLevels >>> level) & 1) === 0 || sizeLg2 > 20) break quick;
      if ((lo & 0xe00) === 0xe00) break quick;
      const marks = this.leafMark | (write ? this.dirtyMark : 0);
      if ((lo & marks) !== marks) {
        lo |= marks;
        words[at] = lo;
      }
      const clean = (lo & this.dirtyMark) !== this.dirtyMark;
      rights &= hi;
      const prot = (rights >>> 29) & (clean ? READ : READ | WRITE);
      const inside = (1 << sizeLg2) - 1;
      const outG = (hi & ADDRESS_HIGH) * HIGH_GRANULES + (((lo >>> 12) & ~inside) | (low & inside));
      out.outG = outG;
      out.prot = prot;
      out.sizeLg2 = sizeLg2;
      return DONE;
    }
    return this.judge.walk(root, iovaG, access, out);
  }
}
