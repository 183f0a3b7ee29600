// Written by scripts/gen-walkers.ts from the format; not to be changed by hand.
/* eslint-disable complexity, max-lines-per-function -- levels are written out, as bench/c/translate.c has them */
/** Walks tables of the format `x86_64`; see written-parts.ts. */
import {
  newWalkResult,
  type PageWalker,
  type WalkCode,
  type WalkResult,
  type WalkRoot,
} from '../walker.ts';
import { writtenSettings, type WrittenParts } from '../written-parts.ts';

// Private to the file, so that V8 folds them.
const DONE = 0;
const READ = 1;
const WRITE = 2;
/** High half of the address field, and what its lowest bit is worth in granules. */
const ADDRESS_HIGH = 0xfffff;
const HIGH_GRANULES = 0x100000;
/** Bits that tell a leaf from a table. */
const KIND = 0x80;

/** The quick way of `x86_64`, the interpreted walker behind it. */
export class X8664Walker implements PageWalker {
  private readonly words: Int32Array;
  private readonly tables: number;
  private readonly leafLevels: number;
  private readonly tableMark: number;
  private readonly leafMark: number;
  private readonly dirtyMark: number;
  private readonly user: number;
  private readonly judge: PageWalker;
  private readonly host: PageWalker | undefined;
  private readonly ofHost = newWalkResult();

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
    this.host = parts.host;
  }

  /** As PageWalker has it. */
  walk(root: WalkRoot, iovaG: number, access: number, out: WalkResult): WalkCode {
    if (root.host !== undefined) return this.#nested(root, iovaG, access, out);
    quick: {
      const { topLevel: top, limitG, upperG } = root;
      if (access < READ || access > WRITE || top < 3 || top > 4) break quick;

      if (limitG !== undefined && iovaG >= limitG && !(upperG !== undefined && iovaG >= upperG))
        break quick;
      const { words, tables } = this;
      const low = iovaG | 0;
      const high = low === iovaG ? 0 : (iovaG * 2 ** -32) | 0;
      const write = access === WRITE;
      const tableLow = (write ? 0x3 : 0x1) | this.tableMark | this.user;
      let rights = -1;
      let level = 0;
      let table = root.pfn;
      if (table >= tables) break quick;
      let at =
        (table << 10) | (top === 3 ? ((low >>> 26) | (high << 6)) & 0x3fe : (high >>> 3) & 0x3fe);
      let lo = words[at]!;
      let hi = words[at | 1]!;
      items: {
        if (top >= 4) {
          if ((lo & (tableLow | KIND)) !== tableLow || (hi & ADDRESS_HIGH) !== 0) {
            level = 4;
            break items;
          }
          rights &= lo;
          table = lo >>> 12;
          if (table >= tables) break quick;
          at = (table << 10) | (((low >>> 26) | (high << 6)) & 0x3fe);
          lo = words[at]!;
          hi = words[at | 1]!;
        }
        if ((lo & (tableLow | KIND)) !== tableLow || (hi & ADDRESS_HIGH) !== 0) {
          level = 3;
          break items;
        }
        rights &= lo;
        table = lo >>> 12;
        if (table >= tables) break quick;
        at = (table << 10) | ((low >>> 17) & 0x3fe);
        lo = words[at]!;
        hi = words[at | 1]!;
        if ((lo & (tableLow | KIND)) !== tableLow || (hi & ADDRESS_HIGH) !== 0) {
          level = 2;
          break items;
        }
        rights &= lo;
        table = lo >>> 12;
        if (table >= tables) break quick;
        at = (table << 10) | ((low >>> 8) & 0x3fe);
        lo = words[at]!;
        hi = words[at | 1]!;
        if ((lo & (tableLow | KIND)) !== tableLow || (hi & ADDRESS_HIGH) !== 0) {
          level = 1;
          break items;
        }
        rights &= lo;
        table = lo >>> 12;
        if (table >= tables) break quick;
        at = (table << 10) | ((low << 1) & 0x3fe);
        lo = words[at]!;
        hi = words[at | 1]!;
      }
      const leafLow = (write ? 0x3 : 0x1) | this.user;
      if (level > 0 && (lo & KIND) === 0) break quick;
      if ((lo & leafLow) !== leafLow) break quick;
      const sizeLg2 = 9 * level;
      if (((this.leafLevels >>> level) & 1) === 0 || sizeLg2 > 20) break quick;
      const marks = this.leafMark | (write ? this.dirtyMark : 0);
      if ((lo & marks) !== marks) {
        lo |= marks;
        words[at] = lo;
      }
      const clean = (lo & this.dirtyMark) !== this.dirtyMark;
      rights &= lo;
      const prot = (rights >>> 0) & (clean ? READ : READ | WRITE);
      const inside = (1 << sizeLg2) - 1;
      const outG = (hi & ADDRESS_HIGH) * HIGH_GRANULES + (((lo >>> 12) & ~inside) | (low & inside));
      out.outG = outG;
      out.prot = prot;
      out.sizeLg2 = sizeLg2;
      return DONE;
    }
    return this.judge.walk(root, iovaG, access, out);
  }

  /** The same, each table and the output found through the host stage. */
  #nested(root: WalkRoot, iovaG: number, access: number, out: WalkResult): WalkCode {
    const { host: hostRoot } = root;
    const { host, ofHost } = this;

    quick: {
      const { topLevel: top, limitG, upperG } = root;
      if (access < READ || access > WRITE || top < 3 || top > 4) break quick;
      if (host === undefined || hostRoot === undefined) break quick;

      if (limitG !== undefined && iovaG >= limitG && !(upperG !== undefined && iovaG >= upperG))
        break quick;
      const { words, tables } = this;
      const low = iovaG | 0;
      const high = low === iovaG ? 0 : (iovaG * 2 ** -32) | 0;
      const write = access === WRITE;
      const tableLow = (write ? 0x3 : 0x1) | this.tableMark | this.user;
      let rights = -1;
      let level = 0;
      let table = root.pfn;
      if (host.walk(hostRoot, table, READ, ofHost) !== DONE || ofHost.outG >= tables) break quick;
      let at =
        (ofHost.outG << 10) |
        (top === 3 ? ((low >>> 26) | (high << 6)) & 0x3fe : (high >>> 3) & 0x3fe);
      let lo = words[at]!;
      let hi = words[at | 1]!;
      items: {
        if (top >= 4) {
          if ((lo & (tableLow | KIND)) !== tableLow) {
            level = 4;
            break items;
          }
          rights &= lo;
          table = (hi & ADDRESS_HIGH) * HIGH_GRANULES + (lo >>> 12);
          if (host.walk(hostRoot, table, READ, ofHost) !== DONE || ofHost.outG >= tables)
            break quick;
          at = (ofHost.outG << 10) | (((low >>> 26) | (high << 6)) & 0x3fe);
          lo = words[at]!;
          hi = words[at | 1]!;
        }
        if ((lo & (tableLow | KIND)) !== tableLow) {
          level = 3;
          break items;
        }
        rights &= lo;
        table = (hi & ADDRESS_HIGH) * HIGH_GRANULES + (lo >>> 12);
        if (host.walk(hostRoot, table, READ, ofHost) !== DONE || ofHost.outG >= tables) break quick;
        at = (ofHost.outG << 10) | ((low >>> 17) & 0x3fe);
        lo = words[at]!;
        hi = words[at | 1]!;
        if ((lo & (tableLow | KIND)) !== tableLow) {
          level = 2;
          break items;
        }
        rights &= lo;
        table = (hi & ADDRESS_HIGH) * HIGH_GRANULES + (lo >>> 12);
        if (host.walk(hostRoot, table, READ, ofHost) !== DONE || ofHost.outG >= tables) break quick;
        at = (ofHost.outG << 10) | ((low >>> 8) & 0x3fe);
        lo = words[at]!;
        hi = words[at | 1]!;
        if ((lo & (tableLow | KIND)) !== tableLow) {
          level = 1;
          break items;
        }
        rights &= lo;
        table = (hi & ADDRESS_HIGH) * HIGH_GRANULES + (lo >>> 12);
        if (host.walk(hostRoot, table, READ, ofHost) !== DONE || ofHost.outG >= tables) break quick;
        at = (ofHost.outG << 10) | ((low << 1) & 0x3fe);
        lo = words[at]!;
        hi = words[at | 1]!;
      }
      const leafLow = (write ? 0x3 : 0x1) | this.user;
      if (level > 0 && (lo & KIND) === 0) break quick;
      if ((lo & leafLow) !== leafLow) break quick;
      const sizeLg2 = 9 * level;
      if (((this.leafLevels >>> level) & 1) === 0 || sizeLg2 > 20) break quick;
      const marks = this.leafMark | (write ? this.dirtyMark : 0);
      if ((lo & marks) !== marks) break quick;
      const clean = (lo & this.dirtyMark) !== this.dirtyMark;
      rights &= lo;
      const prot = (rights >>> 0) & (clean ? READ : READ | WRITE);
      const inside = (1 << sizeLg2) - 1;
      const outG = (hi & ADDRESS_HIGH) * HIGH_GRANULES + (((lo >>> 12) & ~inside) | (low & inside));
      if (host.walk(hostRoot, outG, access, ofHost) !== DONE) break quick;
      out.outG = ofHost.outG;
      out.prot = prot & ofHost.prot;
      out.sizeLg2 = sizeLg2 < ofHost.sizeLg2 ? sizeLg2 : ofHost.sizeLg2;
      return DONE;
    }
    return this.judge.walk(root, iovaG, access, out);
  }
}
