/**
 * Page tables through the public interface, every check included, beside bench/c/page-table.c, which has none.
 *
 * 1 GiB of 4 KiB pages in a four-level VT-d table. Tables of another format are used first, as in a machine with
 * several IOMMUs, so that the engine is measured with shared code.
 */
import {
  amdv1,
  createPageTable,
  freeGathered,
  newGather,
  Ram,
  riscv64,
  vtdss,
  type PageTable,
  type PtConfig,
  type PtFormat,
} from '../src/pt/index.ts';
import { isErrno } from '../src/base/errno.ts';
import { shuffled, type Benchmark } from './harness.ts';

const PAGES = 1 << 18;
const BASE = 0x1234_0000;
const READ_WRITE = 3;
const ram = new Ram(16 << 20);
const order = shuffled(PAGES);
const gather = newGather();
/** Output pages that are never neighbours, so that no run can be made of them. */
const target = (n: number): number => 0x10_0000 + 2 * n;

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`wrong result: ${what}`);
}

function create(format: PtFormat, config: PtConfig): PageTable {
  const made = createPageTable(format, ram, config);
  if (isErrno(made)) throw new Error(made.name);
  return made;
}

let pt = create(vtdss, { vaLg2: 48, oaLg2: 52 });

function empty(): void {
  pt.destroy();
  pt = create(vtdss, { vaLg2: 48, oaLg2: 52 });
}
function full(): void {
  empty();
  mapNeighbours();
}
function tablesOnly(): void {
  empty();
  for (let n = 0; n < PAGES; n += 512) {
    check(pt.map(BASE + n, target(n), 1, READ_WRITE) === undefined, 'map');
    check(pt.unmap(BASE + n, 1, gather) === 1, 'unmap');
  }
}
function fullForWalks(): void {
  if (pt.lookup(BASE + PAGES - 1) !== target(PAGES - 1)) full();
}

function mapNeighbours(): number {
  const table = pt;
  let failed = 0;
  for (let n = 0; n < PAGES; n++) {
    if (table.map(BASE + n, target(n), 1, READ_WRITE) !== undefined) failed++;
  }
  return failed;
}
function mapRandom(): number {
  const table = pt;
  let failed = 0;
  for (let i = 0; i < PAGES; i++) {
    const n = order[i]!;
    if (table.map(BASE + n, target(n), 1, READ_WRITE) !== undefined) failed++;
  }
  return failed;
}
function unmapNeighbours(): number {
  const table = pt;
  let removed = 0;
  for (let n = 0; n < PAGES; n++) removed += table.unmap(BASE + n, 1, gather);
  return removed;
}
function unmapRandom(): number {
  const table = pt;
  let removed = 0;
  for (let i = 0; i < PAGES; i++) removed += table.unmap(BASE + order[i]!, 1, gather);
  return removed;
}
function fill(): number {
  return pt.map(BASE, 0x10_0001, PAGES, READ_WRITE) === undefined ? 0 : 1;
}
function unmapAll(): number {
  const removed = pt.unmap(BASE, PAGES, gather);
  freeGathered(gather, ram);
  return removed;
}
function walkRandom(): number {
  const table = pt;
  let sum = 0;
  for (let i = 0; i < PAGES; i++) sum += table.lookup(BASE + order[i]!);
  return sum;
}
function walkNeighbours(): number {
  const table = pt;
  let sum = 0;
  for (let n = 0; n < PAGES; n++) sum += table.lookup(BASE + n);
  return sum;
}

function noneFailed(failed: number): void {
  check(failed === 0 && pt.lookup(BASE + 77) >= 0, 'map');
}
function allRemoved(removed: number): void {
  check(removed === PAGES && pt.lookup(BASE + 77) === -1, 'unmap');
}
function sumIsRight(sum: number): void {
  let expected = 0;
  for (let n = 0; n < PAGES; n++) expected += target(n);
  check(sum === expected, 'walk');
}

/** Other formats through the same code, before anything is measured. */
function useOtherFormats(): void {
  const ours = pt;
  pt = create(amdv1, { vaLg2: 48, oaLg2: 52, topLevel: 3 });
  noneFailed(mapRandom());
  sumIsRight(walkRandom());
  allRemoved(unmapRandom());
  pt.destroy();
  pt = create(riscv64, { vaLg2: 48, oaLg2: 56, features: ['sign-extend'] });
  noneFailed(mapRandom());
  sumIsRight(walkRandom());
  allRemoved(unmapRandom());
  pt.destroy();
  pt = ours;
}
useOtherFormats();

// prettier-ignore
export const benchmarks: Benchmark[] = [
  { id: 'map-neighbours', title: 'map one page, neighbours', aim: 2, ops: PAGES, setup: empty, run: mapNeighbours, verify: noneFailed },
  { id: 'map-random', title: 'map one page, random in 1 GiB', aim: 3, ops: PAGES, setup: tablesOnly, run: mapRandom, verify: noneFailed },
  { id: 'unmap-neighbours', title: 'unmap one page, neighbours', ops: PAGES, setup: full, run: unmapNeighbours, verify: allRemoved },
  { id: 'unmap-random', title: 'unmap one page, random in 1 GiB', ops: PAGES, setup: full, run: unmapRandom, verify: allRemoved },
  { id: 'fill', title: 'map 1 GiB in one call, per 4 KiB page', ops: PAGES, setup: empty, run: fill, verify: noneFailed },
  { id: 'unmap-all', title: 'unmap 1 GiB in one call, per 4 KiB page', aim: 2, ops: PAGES, setup: full, run: unmapAll, verify: allRemoved },
  { id: 'walk-random', title: 'walk, random in 1 GiB', aim: 3, ops: PAGES, setup: fullForWalks, run: walkRandom, verify: sumIsRight },
  { id: 'walk-neighbours', title: 'walk, neighbours', ops: PAGES, setup: fullForWalks, run: walkNeighbours, verify: sumIsRight },
];
