/**
 * Unmapping a range (core.md 3.8, "unmap range"): whole leaves only, until a hole or the end.
 *
 * A leaf in which the range ends goes whole; one in which the range begins stays. Tables that the range covers are
 * unlinked when they are empty and freed after the sync, through the gather.
 */
import { pow2 } from '../../base/u64.ts';
import type { Gather } from '../gather.ts';
import { isInside } from './map.ts';
import { FRAME_WORDS } from '../ram.ts';
import type { Table } from './table.ts';

/** Words of the items that are looked at together. */
const STRIDE = 16;

/** One unmap under way. Addresses are folded granules, `last` inclusive. */
interface Removal {
  readonly table: Table;
  va: number;
  readonly last: number;
  readonly freed: number[];
  leafLevels: number;
  tableLevels: number;
}

/** @kernel pt_iommu_unmap_range */
export function unmapRange(
  table: Table,
  iovaG: number,
  lengthG: number,
  gather: Gather | undefined,
): number {
  if (lengthG <= 0 || iovaG > table.lastAddressG - (lengthG - 1)) return 0;
  if (!isInside(table, iovaG, lengthG)) return 0;
  const start = table.fold(iovaG);
  const removal: Removal = {
    table,
    va: start,
    last: start + lengthG - 1,
    freed: [],
    leafLevels: 0,
    tableLevels: 0,
  };
  removeIn(removal, table.topWord, table.topLevel);
  const removed = removal.va - start;
  finish(removal, iovaG, removed, gather);
  return removed;
}

function finish(removal: Removal, iovaG: number, removedG: number, gather: Gather | undefined) {
  const { table, freed } = removal;
  table.frames -= freed.length * table.tableFrames;
  if (freed.length > 0) table.forgetTables();
  if (!gather) {
    for (const frame of freed) table.ram.free(frame);
    return;
  }
  // Nothing removed at IOVA 0 makes the inclusive end wrap to the last address: the kernel's full sync.
  if (removedG === 0 && iovaG === 0) table.gatherRemoved(gather, 0, table.lastAddressG + 1);
  else table.gatherRemoved(gather, iovaG, removedG);
  for (const frame of freed) gather.freelist.push(frame);
  if (table.detailed) {
    gather.leafLevels |= removal.leafLevels;
    gather.tableLevels |= removal.tableLevels;
  }
}

/** Remove from `removal.va` on within one table; false at a hole or a leaf that begins earlier. */
function removeIn(removal: Removal, base: number, level: number): boolean {
  const { table } = removal;
  const { words } = table;
  const end = base + table.wordsAt(level);
  let at = table.itemWord(base, removal.va, level);
  while (at < end && removal.va <= removal.last) {
    if (level === 0) at = removePages(removal, at, end);
    if (at === end || removal.va > removal.last) return true;
    const lo = words[at]!;
    const hi = words[at + 1]!;
    if (table.isEmpty(lo, hi)) return false;
    if (table.isLeaf(lo, level)) {
      const sizeLg2 = table.leafSizeLg2(lo, hi, level);
      if (!startsAt(removal.va, sizeLg2)) return false;
      const next = at + 2 * pow2(sizeLg2 - level * table.levelBits);
      words.fill(0, at, next);
      at = next;
      removal.va += pow2(sizeLg2);
      removal.leafLevels |= 1 << level;
    } else {
      if (!removeTable(removal, at, level)) return false;
      at += 2;
    }
  }
  return true;
}

/** Clear the row of one-granule leaves that begins at word `at`; the word behind it. */
function removePages(removal: Removal, at: number, end: number): number {
  const { table } = removal;
  const { words, presentLo } = table;
  const stop = Math.min(end, at + 2 * (removal.last - removal.va + 1));
  let word = at;
  while (word < stop) {
    const lo = words[word]!;
    if ((lo & presentLo) === 0 || table.isContiguous(lo, words[word + 1]!)) break;
    word += 2;
  }
  if (word === at) return at;
  words.fill(0, at, word);
  removal.va += (word - at) / 2;
  removal.leafLevels |= 1;
  return word;
}

/** Remove what lies under a table pointer, and the table itself when the range covers it. */
function removeTable(removal: Removal, at: number, level: number): boolean {
  const { table } = removal;
  const spanG = table.itemG(level);
  const covered =
    startsAt(removal.va, level * table.levelBits) && removal.va + spanG - 1 <= removal.last;
  const child = table.tableWord(table.words[at]!);
  if (covered && level === 1 && isFull(table, child)) {
    unlink(removal, { at, level, child });
    removal.va += spanG;
    removal.leafLevels |= 1;
    return true;
  }
  if (!removeIn(removal, child, level - 1)) return false;
  if (covered) unlink(removal, { at, level, child });
  return true;
}
function unlink(
  removal: Removal,
  { at, level, child }: { readonly at: number; readonly level: number; readonly child: number },
): void {
  const { words } = removal.table;
  words[at] = 0;
  words[at + 1] = 0;
  removal.freed.push(child / FRAME_WORDS);
  removal.tableLevels |= 1 << level;
}

/**
 * Is every item of a level-0 table a page of its own? Then a covered one goes as it is: nobody finds it, and it is cleared
 * when it is taken again. To read a bit of eight items at a time and clear none is a third of the time of removePages(), which
 * is right for every table: 0.7 ns a page for 2.5, where C takes 0.3.
 */
function isFull(table: Table, base: number): boolean {
  const { words, presentLo } = table;
  const end = base + table.wordsAt(0);
  if (table.hasContiguous || (end - base) % STRIDE !== 0) return false;
  let all = presentLo;
  for (let at = base; at < end && all !== 0; at += STRIDE) {
    all &=
      words[at]! &
      words[at + 2]! &
      words[at + 4]! &
      words[at + 6]! &
      words[at + 8]! &
      words[at + 10]! &
      words[at + 12]! &
      words[at + 14]!;
  }
  return all !== 0;
}

function startsAt(va: number, sizeLg2: number): boolean {
  return sizeLg2 === 0 || va % pow2(sizeLg2) === 0;
}
