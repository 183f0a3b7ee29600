/**
 * Dirty tracking (core.md 3.7): reading, cleaning and, for the simulated hardware, setting the dirty bits of leaves.
 *
 * A leaf is dirty when any of its items is; it is reported and cleaned whole. Holes are passed over.
 */
import { EINVAL, EOPNOTSUPP, EOVERFLOW, ERANGE, type Status } from '../../base/errno.ts';
import { bugOn } from '../../base/bug.ts';
import { refuse } from '../../base/refuse.ts';
import { pow2 } from '../../base/u64.ts';
import { gatherRange, type Gather } from '../gather.ts';
import { isInside } from './map.ts';
import type { DirtySink } from '../page-table.ts';
import type { Table } from './table.ts';

interface DirtyQuery {
  readonly iovaG: number;
  readonly lengthG: number;
  readonly noClear: boolean;
  readonly gather: Gather | undefined;
  readonly sink: DirtySink;
}

/** A query under way; addresses folded, `last` inclusive. */
interface Search extends DirtyQuery {
  readonly first: number;
  readonly last: number;
  /** Add to a folded address to get the real one. */
  readonly unfold: number;
}

/**
 * Report dirty leaves; clean them unless told not to.
 * @kernel pt_iommu_read_and_clear_dirty
 */
export function readDirty(table: Table, query: DirtyQuery): Status {
  const { iovaG, lengthG } = query;
  if (lengthG <= 0) return refuse(EINVAL, 'the length is 0');
  if (iovaG > table.lastAddressG - (lengthG - 1)) {
    return refuse(EOVERFLOW, 'the range wraps around the 64-bit address space', { iovaG, lengthG });
  }
  if (!isInside(table, iovaG, lengthG)) {
    return refuse(ERANGE, 'the range is not inside the table', { iovaG, lengthG });
  }
  if (!table.format.dirty) {
    return refuse(EOPNOTSUPP, 'the format has no dirty bit', { format: table.format.name });
  }
  bugOn(!query.noClear && !query.gather, 'cleaning dirty bits wants a gather');
  const first = table.fold(iovaG);
  search(
    table,
    { ...query, first, last: first + lengthG - 1, unfold: iovaG - first },
    table.topWord,
    { level: table.topLevel, startG: 0 },
  );
  return undefined;
}

/** Where a table stands in the address space. */
interface Place {
  readonly level: number;
  readonly startG: number;
}

function search(table: Table, query: Search, base: number, { level, startG }: Place): void {
  const itemG = table.itemG(level);
  const from = Math.max(0, Math.floor((query.first - startG) / itemG));
  const to = Math.min(table.wordsAt(level) / 2 - 1, Math.floor((query.last - startG) / itemG));
  for (let index = from; index <= to;) {
    const at = base + 2 * index;
    const lo = table.words[at]!;
    const hi = table.words[at + 1]!;
    if (table.isEmpty(lo, hi)) {
      index++;
    } else if (table.isLeaf(lo, level)) {
      index = visitLeaf(table, query, base, { level, startG }, index);
    } else {
      const below = { level: level - 1, startG: startG + index * itemG };
      search(table, query, table.tableWord(lo), below);
      index++;
    }
  }
}

/** Report and clean the leaf of one item; the index behind the leaf. */
function visitLeaf(
  table: Table,
  query: Search,
  base: number,
  { level, startG }: Place,
  index: number,
): number {
  const itemG = table.itemG(level);
  const { first, items } = leafItems(table, base + 2 * index, level);
  const end = (first - base) / 2 + items;
  if (!isDirty(table, first, items)) return end;
  const leafG = startG + itemG * ((first - base) / 2);
  query.sink(leafG + query.unfold, items * itemG);
  if (!query.noClear) {
    setDirty(table, first, items, false);
    if (query.gather) gatherRange(query.gather, leafG + query.unfold, items * itemG);
  }
  return end;
}

/** First word and number of the items of the leaf that has an item at `at`. */
function leafItems(table: Table, at: number, level: number): { first: number; items: number } {
  const sizeLg2 = table.leafSizeLg2(table.words[at]!, table.words[at + 1]!, level);
  const items = pow2(sizeLg2 - level * table.levelBits);
  return { first: at - (at % (items * 2)), items };
}

function isDirty(table: Table, first: number, items: number): boolean {
  const { lo, hi } = table.format.dirty!.mask;
  for (let at = first; at < first + items * 2; at += 2) {
    if ((table.words[at]! & lo) !== 0 || (table.words[at + 1]! & hi) !== 0) return true;
  }
  return false;
}

function setDirty(table: Table, first: number, items: number, on: boolean): void {
  const { lo, hi } = table.format.dirty!.mask;
  for (let at = first; at < first + items * 2; at += 2) {
    table.words[at] = on ? table.words[at]! | lo : table.words[at]! & ~lo;
    table.words[at + 1] = on ? table.words[at + 1]! | hi : table.words[at + 1]! & ~hi;
  }
}

/**
 * What hardware does on a write: the item that translated the address becomes dirty. False where nothing is mapped
 * or the format has no dirty bit.
 */
export function markDirty(table: Table, iovaG: number): boolean {
  const va = table.fold(iovaG);
  if (va < 0 || !table.format.dirty) return false;
  let base = table.topWord;
  for (let level = table.topLevel; ; level--) {
    const at = table.itemWord(base, va, level);
    const lo = table.words[at]!;
    if (table.isEmpty(lo, table.words[at + 1]!)) return false;
    if (table.isLeaf(lo, level)) {
      setDirty(table, at, 1, true);
      return true;
    }
    base = table.tableWord(lo);
  }
}
