/**
 * The state of one page table in RAM: its geometry, the constants of its format flattened, and reading items.
 *
 * map.ts, unmap.ts, dirty.ts and walk.ts are the work done on it; generic-table.ts puts them behind one interface.
 * Inside the engine an address is *folded*: with sign extension the upper half follows the lower one directly.
 */
import { EOPNOTSUPP, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { pow2, toGranules } from '../../base/u64.ts';
import type { Features, PtConfig, PtFeature, PtFormat, Word } from '../format.ts';
import { levelBitsOf } from '../format.ts';
import { gatherIsDisjoint, gatherRange, type Gather } from '../gather.ts';
import { levelsOf } from './levels.ts';
import { pageSizes, type PageSizes } from '../page-size.ts';
import { FRAME_WORDS, type Ram } from '../ram.ts';

/** Of the quick ways, which know tables of 512 items only. Anything else is served by the plain ones. */
const QUICK_BITS = 9;
/** Granules under a level-1 table. */
const MIDDLE_SPAN = 2 ** (2 * QUICK_BITS);
/** Further below any address than a remembered table spans. */
const NO_TABLE = -(2 ** 30);
const LEVEL_3_SCALE = 2 ** -27;
/** An item's index, doubled: items are two words. */
const INDEX_MASK = 1022;

/** Frames the tables of a format can lie in: the low half of an item holds their address, an int32 their first word. */
export function tableRoom({ address, granuleLg2 }: PtFormat): number {
  return Math.min(2 ** (32 - address.shift + granuleLg2 - 12), 2 ** 21);
}

export interface TableGeometry {
  readonly vaLg2: number;
  readonly oaLg2: number;
  readonly topLevel: number;
  /** Address bits the top table takes beyond those of its level. */
  readonly rootBits: number;
  readonly pgsizeBitmap: bigint;
  readonly features: Features;
}

export class Table {
  readonly format: PtFormat;
  readonly ram: Ram;
  readonly words: Int32Array;
  readonly config: PtConfig;
  readonly features: Set<PtFeature>;
  readonly granuleLg2: number;
  readonly vaLg2: number;
  readonly signExtend: boolean;
  readonly growing: boolean;
  readonly noGaps: boolean;
  readonly detailed: boolean;

  // Sizes of tables.
  readonly levelBits: number;
  readonly rootBits: number;
  readonly tableWords: number;
  readonly tableFrames: number;
  readonly rootWords: number;
  readonly rootFrames: number;
  readonly indexMask: number;
  readonly rootMask: number;
  /** 2^-bn: moves the index of level n to the low bits. */
  readonly levelScale: Float64Array;

  // The format, flattened.
  readonly presentLo: number;
  readonly presentHi: number;
  readonly kindShift: number;
  readonly kindMask: number;
  readonly kindLeaves: number;
  readonly addressShift: number;
  readonly addressMask: number;
  readonly addressHiMask: number;
  /** Granules per unit of the high half's address field, and its inverse. */
  readonly hiUnit: number;
  readonly hiScale: number;
  readonly tableShift: number;
  readonly hasContiguous: boolean;
  readonly contigLo: number;
  readonly contigHi: number;
  /** Table pointers by level of the item, software bit included. */
  readonly tableBits: readonly Word[];
  /** `lo & tableMask` of an ordinary table pointer, by level of the item. Anything else takes the slow way. */
  readonly tableMask: number;
  readonly tableValues: readonly number[];
  readonly tableValue1: number;
  readonly tableValue2: number;
  readonly tableValue3: number;

  /** First granule beyond the output width. */
  readonly oaEndG: number;
  /** Largest granule number a 64-bit address can have. */
  readonly lastAddressG: number;
  /** Last granule of the input width; with sign extension, folded. */
  readonly vaLastG: number;
  /** A level-1 table lies wholly inside the input width. */
  readonly spansMiddle: boolean;
  /** Last granule that needs no folding and lies within the present top table. */
  directLastG = 0;

  /** Every table has 512 items. */
  readonly quick: boolean;

  topLevel: number;
  /** The same of a table for the quick ways, else -1. */
  quickTop = -1;
  topPfn = 0;
  topWord = 0;
  frames = 0;
  mapped = 0;
  sizes: PageSizes;
  /** Single granules may be mapped. */
  granuleAllowed = false;
  /** The level-0 table used last: its first granule, not folded, and its first word. */
  leafStartG = NO_TABLE;
  leafWord = 0;
  /** The level-1 table used last, likewise. */
  middleStartG = NO_TABLE;
  middleWord = 0;
  /** The protection bits mapped last and what they make of a one-granule leaf; -1: none such. */
  fastProt = -1;
  fastLo = 0;
  fastHi = 0;
  destroyed = false;

  constructor(format: PtFormat, ram: Ram, config: PtConfig, geometry: TableGeometry) {
    this.format = format;
    this.ram = ram;
    this.words = ram.words;
    this.config = config;
    this.features = new Set(geometry.features);
    this.granuleLg2 = format.granuleLg2;
    this.vaLg2 = geometry.vaLg2;
    this.signExtend = this.features.has('sign-extend');
    this.growing = this.features.has('dynamic-top');
    this.noGaps = this.features.has('flush-range-no-gaps');
    this.detailed = this.features.has('detailed-gather');

    this.levelBits = levelBitsOf(format);
    this.rootBits = geometry.rootBits;
    this.tableWords = 2 ** (this.levelBits + 1);
    this.tableFrames = Math.ceil(this.tableWords / FRAME_WORDS);
    this.rootWords = this.tableWords * 2 ** this.rootBits;
    this.rootFrames = Math.ceil(this.rootWords / FRAME_WORDS);
    this.indexMask = this.tableWords / 2 - 1;
    this.rootMask = this.rootWords / 2 - 1;

    const { shift, bits } = format.address;
    this.presentLo = format.present.lo;
    this.presentHi = format.present.hi;
    this.kindShift = format.kind.shift;
    this.kindMask = format.kind.mask;
    this.kindLeaves = format.kind.leaves;
    this.addressShift = shift;
    this.addressMask = -(1 << shift);
    this.addressHiMask = 2 ** (shift + bits - 32) - 1;
    this.hiUnit = 2 ** (32 - shift);
    this.hiScale = 2 ** (shift - 32);
    this.tableShift = shift - format.granuleLg2 + 2;
    this.hasContiguous = format.contiguous !== undefined;
    this.contigLo = format.contiguous?.mask.lo ?? 0;
    this.contigHi = format.contiguous?.mask.hi ?? 0;
    const levels = levelsOf(format, this.features.has('dma-incoherent'));
    this.levelScale = levels.scale;
    this.tableBits = levels.tableBits;
    this.tableMask = levels.tableMask;
    this.tableValues = levels.tableValues;
    this.tableValue1 = this.tableValues[1]!;
    this.tableValue2 = this.tableValues[2]!;
    this.tableValue3 = this.tableValues[3]!;

    const widthG = geometry.vaLg2 - format.granuleLg2;
    this.oaEndG = 2 ** (geometry.oaLg2 - format.granuleLg2);
    this.lastAddressG = 2 ** (64 - format.granuleLg2) - 1;
    this.vaLastG = 2 ** widthG - 1;
    const quick = this.levelBits === QUICK_BITS && this.rootBits === 0;
    this.quick = quick;
    this.spansMiddle = quick && widthG - (this.signExtend ? 1 : 0) >= 2 * QUICK_BITS;
    this.topLevel = geometry.topLevel;
    this.sizes = pageSizes(geometry.pgsizeBitmap, format.granuleLg2);
    this.granuleAllowed = this.sizes.smallest === 0;
  }

  /** Give the table its top frame; the frame must be zeroed. */
  setTop(frame: number, level: number): void {
    this.topPfn = frame;
    this.topWord = frame * FRAME_WORDS;
    this.topLevel = level;
    this.quickTop = this.quick ? level : -1;
    const spanG = 2 ** (this.levelBits * (level + 1) + this.rootBits) - 1;
    this.directLastG = this.signExtend ? (this.vaLastG + 1) / 2 - 1 : Math.min(spanG, this.vaLastG);
  }

  /** Switch on a feature that only changes leaves made from now on. */
  addFeature(feature: 'force-coherent'): Status {
    if (!this.format.features.includes(feature)) {
      return refuse(EOPNOTSUPP, 'the format has no such feature', { feature });
    }
    this.features.add(feature);
    this.fastProt = -1;
    return undefined;
  }

  /** Folded granule, or -1 when the address is outside the present table. */
  fold(iovaG: number): number {
    if (iovaG <= this.directLastG) return iovaG;
    if (!this.signExtend) return -1;
    const folded = iovaG - (this.lastAddressG - this.vaLastG);
    return folded > this.directLastG ? folded : -1;
  }

  isContiguous(lo: number, hi: number): boolean {
    return (
      this.hasContiguous &&
      (lo & this.contigLo) === this.contigLo &&
      (hi & this.contigHi) === this.contigHi
    );
  }

  /** Note a removed range in the gather, after a forced sync when the hardware wants no gaps. */
  gatherRemoved(gather: Gather, iovaG: number, removedG: number): void {
    if (gather.queued) return;
    if (this.noGaps && gatherIsDisjoint(gather, iovaG, removedG)) {
      this.config.iotlbSync?.(gather);
      gather.start = Infinity;
      gather.end = 0;
    }
    gatherRange(gather, iovaG, removedG);
  }

  /** The address a folded granule stands for. */
  unfold(va: number): number {
    return va <= this.directLastG ? va : va + (this.lastAddressG - this.vaLastG);
  }

  /** Output granule of an input granule, or -1. One item read per level. */
  lookup(iovaG: number): number {
    const va = iovaG <= this.directLastG ? iovaG : this.fold(iovaG);
    if (va < 0) return -1;
    const table = this.leafTable(va);
    if (table < 0) return this.lookupSlow(va);
    const at = table | ((va << 1) & INDEX_MASK);
    const lo = this.words[at]!;
    const hi = this.words[at + 1]!;
    if ((lo & this.presentLo) === 0 || (this.hasContiguous && this.isContiguous(lo, hi))) {
      return this.lookupSlow(va);
    }
    return (hi & this.addressHiMask) === 0 ? lo >>> this.addressShift : this.addressG(lo, hi);
  }

  /**
   * First word of the level-0 table of a folded address, or -1 where the way there is out of the ordinary.
   * Written out for three and four levels, because it runs once per page mapped and per IOTLB miss.
   */
  leafTable(va: number): number {
    const words = this.words;
    const mask = this.tableMask;
    const low = va | 0;
    let table = this.topWord;
    let lo = 0;
    if (this.quickTop === 3) {
      lo = words[table | (((va * LEVEL_3_SCALE) & 511) << 1)]!;
      if ((lo & mask) !== this.tableValue3) return -1;
      table = (lo & this.addressMask) >>> this.tableShift;
    } else if (this.quickTop !== 2) {
      table = this.tableAtLevel2(va);
      if (table < 0) return -1;
    }
    lo = words[table | ((low >>> 17) & INDEX_MASK)]!;
    if ((lo & mask) !== this.tableValue2) return -1;
    lo = words[((lo & this.addressMask) >>> this.tableShift) | ((low >>> 8) & INDEX_MASK)]!;
    if ((lo & mask) !== this.tableValue1) return -1;
    return ((lo & this.addressMask) >>> this.tableShift) | 0;
  }

  /** The level-2 table of a quick tree of five or six levels, or -1; also for the two-level tree, which has none. */
  tableAtLevel2(va: number): number {
    if (this.quickTop < 2) return -1;
    let table = this.topWord;
    for (let level = this.topLevel; level > 2; level--) {
      const lo = this.words[this.itemWord(table, va, level)]!;
      if ((lo & this.tableMask) !== this.tableValues[level]) return -1;
      table = this.tableWord(lo);
    }
    return table;
  }

  /** Any table, any leaf. */
  lookupSlow(va: number): number {
    let table = this.topWord;
    for (let level = this.topLevel; ; level--) {
      const at = this.itemWord(table, va, level);
      const lo = this.words[at]!;
      const hi = this.words[at + 1]!;
      if (this.isEmpty(lo, hi)) return -1;
      if (this.isLeaf(lo, level)) return this.leafOutput(lo, hi, level, va);
      table = this.tableWord(lo);
    }
  }

  /**
   * Remember the level-0 table of an address, without making one. Returns the index in it, or -1: there is none,
   * or the way there is out of the ordinary. The level-1 table is remembered too: it spans 1 GiB.
   */
  useLeafTable(iovaG: number): number {
    let inside = iovaG - this.middleStartG;
    if (!(inside >= 0 && inside < MIDDLE_SPAN)) {
      if (!this.useMiddleTable(iovaG)) return -1;
      inside = iovaG - this.middleStartG;
    }
    const lo = this.words[this.middleWord | ((inside >>> 8) & INDEX_MASK)]!;
    if ((lo & this.tableMask) !== this.tableValue1) return -1;
    const index = inside & 511;
    this.leafWord = (lo & this.addressMask) >>> this.tableShift;
    this.leafStartG = iovaG - index;
    return index;
  }

  useMiddleTable(iovaG: number): boolean {
    const va = this.fold(iovaG);
    if (va < 0 || !this.spansMiddle) return false;
    let table = this.topWord;
    for (let level = this.topLevel; level > 1; level--) {
      const lo = this.words[this.itemWord(table, va, level)]!;
      if ((lo & this.tableMask) !== this.tableValues[level]) return false;
      table = this.tableWord(lo);
    }
    this.middleWord = table;
    this.middleStartG = iovaG - (va % MIDDLE_SPAN);
    return true;
  }

  /** Let single granules with these protection bits be mapped the fast way. */
  useProt(prot: number, attrs: Word): void {
    if (!this.granuleAllowed) return;
    this.fastProt = prot;
    this.fastLo = attrs.lo;
    this.fastHi = attrs.hi;
  }

  forgetTables(): void {
    this.leafStartG = NO_TABLE;
    this.middleStartG = NO_TABLE;
  }

  /** Address field of an item, in granules. */
  addressG(lo: number, hi: number): number {
    return (lo >>> this.addressShift) + (hi & this.addressHiMask) * this.hiUnit;
  }

  leafSizeLg2(lo: number, hi: number, level: number): number {
    return this.isContiguous(lo, hi)
      ? this.format.contiguous!.sizeLg2(lo, hi)
      : level * this.levelBits;
  }

  /** Output granule of the leaf for a folded address inside it. */
  leafOutput(lo: number, hi: number, level: number, va: number): number {
    const size = pow2(this.leafSizeLg2(lo, hi, level));
    const address = this.addressG(lo, hi);
    return address - (address % size) + (va % size);
  }

  isEmpty(lo: number, hi: number): boolean {
    return (lo & this.presentLo) === 0 && (hi & this.presentHi) === 0;
  }

  isLeaf(lo: number, level: number): boolean {
    return (
      level === 0 || ((this.kindLeaves >>> ((lo >>> this.kindShift) & this.kindMask)) & 1) !== 0
    );
  }

  /** First word of the table an item points to. */
  tableWord(lo: number): number {
    return (lo & this.addressMask) >>> this.tableShift;
  }

  /** Write a table pointer. */
  link(at: number, frame: number, level: number): void {
    const bits = this.tableBits[level]!;
    const address = frame * 2 ** (12 - this.granuleLg2);
    this.words[at] = bits.lo | (address << this.addressShift);
    this.words[at + 1] = bits.hi | Math.floor(address / this.hiUnit);
  }

  /** Words of a table of that level. */
  wordsAt(level: number): number {
    return level === this.topLevel ? this.rootWords : this.tableWords;
  }

  /** Granules an item of that level spans. */
  itemG(level: number): number {
    return pow2(level * this.levelBits);
  }

  /** Word of the item for a folded address in a table of that level. */
  itemWord(table: number, va: number, level: number): number {
    const mask = level === this.topLevel ? this.rootMask : this.indexMask;
    return table + (((va * this.levelScale[level]!) & mask) << 1);
  }

  /** Granule number of a byte address. */
  granule(address: bigint): number {
    return toGranules(address, this.granuleLg2);
  }
}
