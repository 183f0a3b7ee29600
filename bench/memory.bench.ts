/**
 * Pauses: 1 M pages mapped, walked and unmapped one by one, with every garbage collection in between timed.
 *
 * Collections longer than 20 ms in three rounds stop the run; one or two are a busy machine that took the CPU away in
 * the middle of one. The C baselines of the three operations are those of page-table.c.
 */
import { GCProfiler } from 'node:v8';
import { isErrno } from '../src/base/errno.ts';
import { createPageTable, freeGathered, newGather, Ram, vtdss } from '../src/pt/index.ts';
import type { Benchmark } from './harness.ts';

const PAGES = 1 << 20;
const BASE = 0x1234_0000;
const READ_WRITE = 3;
const LONGEST_PAUSE_US = 20_000;

const ram = new Ram(64 << 20);
const gather = newGather();
let profiler: GCProfiler | undefined;
let roundsWithLongPause = 0;

/** Map, walk and unmap every page by itself; the result is the number of pages that came out right. */
function mapWalkUnmap(): number {
  const pt = createPageTable(vtdss, ram, { vaLg2: 48, oaLg2: 52 });
  if (isErrno(pt)) throw new Error(pt.name);
  let right = 0;
  for (let n = 0; n < PAGES; n++) {
    if (pt.map(BASE + n, 0x10_0000 + 2 * n, 1, READ_WRITE) !== undefined) return -1;
  }
  for (let n = 0; n < PAGES; n++) if (pt.lookup(BASE + n) === 0x10_0000 + 2 * n) right++;
  for (let n = 0; n < PAGES; n++) right -= 1 - pt.unmap(BASE + n, 1, gather);
  freeGathered(gather, ram);
  pt.destroy();
  return right;
}

export const benchmarks: Benchmark[] = [
  {
    id: 'map-walk-unmap-1m',
    title: 'map, walk and unmap 1 M pages one by one (no GC pause above 20 ms), per page',
    ops: PAGES,
    setup() {
      profiler = new GCProfiler();
      profiler.start();
    },
    run: mapWalkUnmap,
    verify(right) {
      const pauses = profiler!.stop().statistics.map(({ cost }) => cost);
      const longest = Math.max(0, ...pauses);
      if (right !== PAGES) throw new Error(`${String(PAGES - right)} pages came out wrong`);
      if (longest > LONGEST_PAUSE_US && ++roundsWithLongPause === 3) {
        throw new Error(`a garbage collection took ${(longest / 1000).toFixed(1)} ms`);
      }
    },
  },
];
