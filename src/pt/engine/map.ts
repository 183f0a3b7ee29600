/**
 * Mapping a range (core.md 3.8, "map range"): the checks in their order, then leaf by leaf.
 *
 * Tables missing on the way are all allocated before the first one is linked, so that one failure leaves no chain
 * half built. `mapped` always tells what was installed; the caller removes exactly that after an error.
 */
import {
  EADDRINUSE,
  EINVAL,
  ENXIO,
  EOVERFLOW,
  ERANGE,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { pow2 } from '../../base/u64.ts';
import type { Word } from '../format.ts';
import { gatherRange, newGather } from '../gather.ts';
import { pickPageCount, pickPageSize } from '../page-size.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../page-table.ts';
import { FRAME_WORDS } from '../ram.ts';
import type { Table } from './table.ts';

/** A row of leaves of one size. */
interface Run {
  /** Folded granule. */
  va: number;
  paG: number;
  readonly level: number;
  readonly sizeLg2: number;
  /** Leaves still to install. */
  count: number;
  readonly attrs: Word;
  /** The table in hand was made just now: its items are empty. */
  fresh: boolean;
}

/** @kernel pt_iommu_map_range */
export function mapRange(
  table: Table,
  iovaG: number,
  paG: number,
  lengthG: number,
  prot: number,
): Status {
  table.mapped = 0;
  const attrs = checkMap(table, { iovaG, paG, lengthG, prot });
  if (isErrno(attrs)) return attrs;
  table.useProt(prot, attrs);
  const start = table.fold(iovaG);
  while (table.mapped < lengthG) {
    const va = start + table.mapped;
    const pa = paG + table.mapped;
    const left = lengthG - table.mapped;
    const sizeLg2 = pickPageSize(table.sizes, va, pa, left);
    if (sizeLg2 < 0) {
      return refuse(ENXIO, 'the rest of the range is shorter than the smallest page', { left });
    }
    const status = mapRun(table, {
      va,
      paG: pa,
      level: Math.floor(sizeLg2 / table.levelBits),
      sizeLg2,
      count: pickPageCount(table.sizes, sizeLg2, va, pa, left),
      attrs,
      fresh: false,
    });
    if (status) return status;
  }
  return undefined;
}

interface MapArguments {
  readonly iovaG: number;
  readonly paG: number;
  readonly lengthG: number;
  readonly prot: number;
}

/** The checks of the table of core.md 3.8, rows 1 to 6. Returns the attribute bits of the leaves. */
function checkMap(table: Table, map: MapArguments): Result<Word> {
  const { paG, prot } = map;
  if (!(prot & (IOMMU_READ | IOMMU_WRITE))) {
    return refuse(EINVAL, 'a mapping must allow reading or writing', { prot });
  }
  if (paG >= table.oaEndG) {
    return refuse(ERANGE, 'the physical address is beyond the output width', { paG });
  }
  const attrs = table.format.attrs(prot, table.features);
  if (isErrno(attrs)) return attrs;
  const status = checkLength(table, map);
  if (status) return status;
  const grown = growToFit(table, map);
  return grown ?? attrs;
}

function checkLength(table: Table, { iovaG, paG, lengthG }: MapArguments): Status {
  if (lengthG <= 0) return refuse(EINVAL, 'the length is 0');
  if (iovaG > table.lastAddressG - (lengthG - 1)) {
    return refuse(EOVERFLOW, 'the range wraps around the 64-bit address space', { iovaG, lengthG });
  }
  // core.md 3.8 tests the alignment of one CPU page on its own; that is for granules of a CPU page, where it always holds.
  // The kernel's selftest maps 4 KiB at 2 KiB steps into the mock's tables.
  if (pickPageSize(table.sizes, iovaG, paG, lengthG) < 0) {
    return refuse(ENXIO, 'no page size fits both addresses and the length', {
      iovaG,
      paG,
      lengthG,
    });
  }
  return undefined;
}

/** Is the whole range in the present table, and in one half of it? */
export function isInside(table: Table, iovaG: number, lengthG: number): boolean {
  const first = table.fold(iovaG);
  const last = table.fold(iovaG + lengthG - 1);
  return first >= 0 && last === first + lengthG - 1 && sameHalf(table, first, last);
}

function sameHalf(table: Table, first: number, last: number): boolean {
  return !table.signExtend || first <= table.directLastG === last <= table.directLastG;
}

/** A range outside the table, or a first leaf of a level above its top, makes a growing table grow. */
function growToFit(table: Table, { iovaG, paG, lengthG }: MapArguments): Status {
  const inside = isInside(table, iovaG, lengthG);
  if (inside && !table.growing) return undefined;
  const last = iovaG + lengthG - 1;
  if (!table.growing || last > table.vaLastG) {
    return refuse(ERANGE, 'the range is not inside the table', { iovaG, lengthG });
  }
  const sizeLg2 = pickPageSize(table.sizes, iovaG, paG, lengthG);
  let level = Math.max(table.topLevel, Math.floor(sizeLg2 / table.levelBits));
  while (table.itemG(level + 1) <= last) level++;
  return level === table.topLevel ? undefined : grow(table, level);
}

/** Put tables on top, up to `level`; the driver learns of the new top. @kernel increase_top */
function grow(table: Table, level: number): Status {
  const frames = allocTables(table, level - table.topLevel);
  if (isErrno(frames)) return frames;
  let below = table.topPfn;
  for (const [n, frame] of frames.entries()) {
    table.link(frame * FRAME_WORDS, below, table.topLevel + 1 + n);
    below = frame;
  }
  table.setTop(below, level);
  table.config.hooks?.changeTop(below, level);
  return undefined;
}

/** All of them or none. */
function allocTables(table: Table, count: number): Result<number[], 'ENOMEM'> {
  const frames: number[] = [];
  for (let n = 0; n < count; n++) {
    const frame = table.ram.allocTable(table.tableFrames);
    if (isErrno(frame)) {
      for (const taken of frames) table.ram.free(taken);
      return frame;
    }
    frames.push(frame);
  }
  table.frames += count * table.tableFrames;
  return frames;
}

function mapRun(table: Table, run: Run): Status {
  const sizeG = pow2(run.sizeLg2);
  while (run.count > 0) {
    const at = descend(table, run);
    if (isErrno(at)) return at;
    const items = pow2(run.sizeLg2 - run.level * table.levelBits);
    // A table begins at a multiple of its length.
    const words = table.wordsAt(run.level);
    const room = Math.floor((words - (at % words)) / 2 / items);
    const wanted = Math.min(run.count, room);
    const done =
      items === 1 && run.level === 0
        ? fillPages(table, at, run, wanted)
        : fillLeaves(table, at, run, wanted);
    table.mapped += done * sizeG;
    if (done < wanted) {
      return refuse(EADDRINUSE, 'something is mapped there already', {
        at: run.va + done * sizeG,
      });
    }
    run.va += done * sizeG;
    run.paG += done * sizeG;
    run.count -= done;
  }
  return undefined;
}

/** Word of the item for the next leaf of a run; tables missing on the way are made. */
function descend(table: Table, run: Run): Result<number> {
  const { va, level } = run;
  run.fresh = false;
  let base = table.topWord;
  for (let at = table.topLevel; at > level; at--) {
    const word = table.itemWord(base, va, at);
    const lo = table.words[word]!;
    if (table.isEmpty(lo, table.words[word + 1]!)) {
      const made = buildChain(table, va, word, at, level);
      if (isErrno(made)) return made;
      run.fresh = true;
      base = made;
      break;
    }
    if (table.isLeaf(lo, at)) {
      return refuse(EADDRINUSE, 'a larger page covers the address', { va, level: at });
    }
    base = table.tableWord(lo);
  }
  return table.itemWord(base, va, level);
}

/** Tables from below `from` down to `level`, linked bottom up; the first word of the lowest one. */
function buildChain(
  table: Table,
  va: number,
  word: number,
  from: number,
  level: number,
): Result<number> {
  const frames = allocTables(table, from - level);
  if (isErrno(frames)) return frames;
  for (let n = frames.length - 1; n > 0; n--) {
    const itemLevel = from - n;
    const parent = frames[n - 1]! * FRAME_WORDS;
    table.link(table.itemWord(parent, va, itemLevel), frames[n]!, itemLevel);
  }
  table.link(word, frames[0]!, from);
  return frames.at(-1)! * FRAME_WORDS;
}

/** Up to `count` one-item leaves at level 0; stops before the first item that is taken. */
function fillPages(table: Table, at: number, run: Run, count: number): number {
  const { words, addressShift, hiUnit } = table;
  const free = run.fresh ? count : countEmpty(table, at, count);
  const lo = run.attrs.lo;
  const step = 1 << addressShift;
  let pa = run.paG;
  let word = at;
  for (let left = free; left > 0;) {
    // Until the address carries into the high half.
    const low = pa % hiUnit;
    const row = Math.min(left, hiUnit - low);
    const hi = run.attrs.hi | Math.floor(pa / hiUnit);
    const end = word + 2 * row;
    for (let address = low << addressShift; word < end; word += 2, address = (address + step) | 0) {
      words[word] = lo | address;
      words[word + 1] = hi;
    }
    pa += row;
    left -= row;
  }
  return free;
}

/** Items in a row that are empty, from word `at` on, at most `count`. */
function countEmpty(table: Table, at: number, count: number): number {
  const { words, presentLo, presentHi } = table;
  for (let n = 0, word = at; n < count; n++, word += 2) {
    if ((words[word]! & presentLo) !== 0 || (words[word + 1]! & presentHi) !== 0) return n;
  }
  return count;
}

/** Leaves above level 0, or of several items. */
function fillLeaves(table: Table, at: number, run: Run, count: number): number {
  const { words, addressShift, hiUnit } = table;
  const bits = table.format.leaf(run.level, run.sizeLg2);
  const items = pow2(run.sizeLg2 - run.level * table.levelBits);
  const sizeG = pow2(run.sizeLg2);
  for (let n = 0; n < count; n++) {
    const first = at + n * items * 2;
    if (!run.fresh && !makeRoom(table, first, items, run, n)) return n;
    const pa = run.paG + n * sizeG;
    const lo = run.attrs.lo | bits.lo | (pa << addressShift);
    const hi = run.attrs.hi | bits.hi | Math.floor(pa / hiUnit);
    for (let word = first; word < first + items * 2; word += 2) {
      words[word] = lo;
      words[word + 1] = hi;
    }
  }
  return count;
}

/**
 * Are the items of leaf `n` free? Tables under them that hold nothing are removed, once it is sure that none holds
 * a leaf.
 */
function makeRoom(table: Table, first: number, items: number, run: Run, n: number): boolean {
  const { level, sizeLg2 } = run;
  const { words } = table;
  const emptied: number[] = [];
  for (let at = first; at < first + items * 2; at += 2) {
    const lo = words[at]!;
    if (table.isEmpty(lo, words[at + 1]!)) continue;
    if (table.isLeaf(lo, level)) return false;
    if (!collectEmpty(table, table.tableWord(lo), level - 1, emptied)) return false;
  }
  if (emptied.length === 0) return true;
  words.fill(0, first, first + items * 2);
  table.forgetTables();
  const gather = newGather();
  const sizeG = pow2(sizeLg2);
  gatherRange(gather, table.unfold(run.va + n * sizeG), sizeG);
  table.config.iotlbSync?.(gather);
  for (const frame of emptied) table.ram.free(frame);
  table.frames -= emptied.length * table.tableFrames;
  return true;
}

/** Frames of a table and the tables under it; false when a leaf is found. */
function collectEmpty(table: Table, base: number, level: number, frames: number[]): boolean {
  frames.push(base / FRAME_WORDS);
  for (let at = base; at < base + table.tableWords; at += 2) {
    const lo = table.words[at]!;
    if (table.isEmpty(lo, table.words[at + 1]!)) continue;
    if (table.isLeaf(lo, level)) return false;
    if (!collectEmpty(table, table.tableWord(lo), level - 1, frames)) return false;
  }
  return true;
}
