/**
 * The page table behind the interface of page-table.ts, with the two operations that must be fast written out.
 *
 * Two ideas make single pages quick: the format's constants are plain fields of one class, and the last level-0
 * table used is remembered, because programs map and unmap neighbours (docs/performance.md). Anything but the plain
 * case falls through to the full version, which makes every check in its order.
 */
import { bugOn } from '../../base/bug.ts';
import type { Result, Status } from '../../base/errno.ts';
import { markDirty, readDirty } from './dirty.ts';
import type { Gather } from '../gather.ts';
import { mapRange } from './map.ts';
import { pageSizes } from '../page-size.ts';
import type { DirtySink, PageTable, WalkStep } from '../page-table.ts';
import { FRAME_WORDS } from '../ram.ts';
import { Table } from './table.ts';
import { unmapRange } from './unmap.ts';
import { iovaToPhys, walk } from './walk.ts';

/** Of the level-0 table that is remembered: only tables of 512 items are. */
const TABLE_ITEMS = 512;

export class GenericTable extends Table implements PageTable {
  get formatName(): string {
    return this.format.name;
  }
  get pgsizeBitmap(): bigint {
    return this.sizes.bitmap;
  }
  set pgsizeBitmap(bitmap: bigint) {
    bugOn((bitmap & ~this.sizes.bitmap) !== 0n, 'page sizes can only be taken away');
    this.sizes = pageSizes(bitmap, this.granuleLg2);
    this.granuleAllowed = this.sizes.smallest === 0;
    this.fastProt = -1;
  }
  get apertureStart(): bigint {
    return 0n;
  }
  get apertureLast(): bigint {
    return (1n << BigInt(this.signExtend ? this.vaLg2 - 1 : this.vaLg2)) - 1n;
  }
  get canDirty(): boolean {
    return this.format.dirty !== undefined;
  }

  map(iovaG: number, paG: number, lengthG: number, prot: number): Status {
    if (lengthG === 1 && prot === this.fastProt && paG < this.oaEndG) {
      let index = iovaG - this.leafStartG;
      if (!(index >= 0 && index < TABLE_ITEMS)) index = this.useLeafTable(iovaG);
      if (index >= 0 && this.mapItem(this.leafWord | (index << 1), paG)) return undefined;
    }
    return mapRange(this, iovaG, paG, lengthG, prot);
  }

  /** Write a one-granule leaf into an empty item. */
  mapItem(at: number, paG: number): boolean {
    const words = this.words;
    if ((words[at]! & this.presentLo) !== 0 || (words[at + 1]! & this.presentHi) !== 0) {
      return false;
    }
    words[at] = this.fastLo | (paG << this.addressShift);
    words[at + 1] = this.fastHi | (paG * this.hiScale);
    this.mapped = 1;
    return true;
  }

  unmap(iovaG: number, lengthG: number, gather: Gather | undefined): number {
    if (lengthG === 1 && gather !== undefined) {
      let index = iovaG - this.leafStartG;
      if (!(index >= 0 && index < TABLE_ITEMS)) index = this.useLeafTable(iovaG);
      if (index >= 0 && this.clearItem(this.leafWord | (index << 1))) {
        this.gatherRemoved(gather, iovaG, 1);
        if (this.detailed) gather.leafLevels |= 1;
        return 1;
      }
    }
    return unmapRange(this, iovaG, lengthG, gather);
  }

  /** Clear the item of a one-granule leaf. */
  clearItem(at: number): boolean {
    const words = this.words;
    const lo = words[at]!;
    if ((lo & this.presentLo) === 0 || this.isContiguous(lo, words[at + 1]!)) return false;
    words[at] = 0;
    words[at + 1] = 0;
    return true;
  }

  iovaToPhys(iova: bigint): bigint {
    return iovaToPhys(this, iova);
  }
  readDirty(
    iovaG: number,
    lengthG: number,
    noClear: boolean,
    gather: Gather | undefined,
    sink: DirtySink,
  ): Status {
    return readDirty(this, { iovaG, lengthG, noClear, gather, sink });
  }
  markDirty(iovaG: number): boolean {
    return markDirty(this, iovaG);
  }
  walk(iova: bigint): Result<WalkStep[], 'ERANGE'> {
    return walk(this, iova);
  }

  destroy(): void {
    bugOn(this.destroyed, 'a page table is destroyed once');
    this.destroyed = true;
    this.forgetTables();
    this.#freeBelow(this.topWord, this.topLevel);
    this.ram.free(this.topPfn);
    this.frames = 0;
    this.directLastG = -1;
  }
  #freeBelow(table: number, level: number): void {
    if (level === 0) return;
    const end = table + this.wordsAt(level);
    for (let at = table; at < end; at += 2) {
      const lo = this.words[at]!;
      if (this.isEmpty(lo, this.words[at + 1]!) || this.isLeaf(lo, level)) continue;
      const child = this.tableWord(lo);
      this.#freeBelow(child, level - 1);
      this.ram.free(child / FRAME_WORDS);
    }
  }
}
