/**
 * A page-table format of our own, in one file: the engine does the rest. docs/writing-a-format.md goes through it part
 * by part. Run: npx tsx examples/writing-a-format.ts
 */
import assert from 'node:assert/strict';
import {
  createPageTable,
  EOPNOTSUPP,
  InterpretedWalker,
  IOMMU_READ,
  IOMMU_WRITE,
  isErrno,
  MemoryReader,
  newGather,
  newWalkResult,
  Ram,
  refuse,
  trackingWalk,
  WALK_DENIED,
  WALK_DONE,
  type PageTable,
  type PtFormat,
  type Result,
} from 'softiommu/pt';
import { runIfMain, type Print } from './run.ts';

/** 1. The entry on paper: V, L, R, W and D are bits 0 to 4, the address is bits 47 to 12. */
const V = 1 << 0;
const L = 1 << 1;
const R = 1 << 2;
const W = 1 << 3;
const D = 1 << 4;

/** 2. The constants: 39-bit input, 48-bit output, three levels of 512 entries. */
export const twig: PtFormat = {
  name: 'twig',
  granuleLg2: 12,
  maxVaLg2: 39,
  maxOaLg2: 48,
  topLevel: { min: 2, max: 2, refusal: EOPNOTSUPP },
  features: [],
  mandatory: [],
  present: { lo: V, hi: 0 },
  // Bit 1 of an entry says leaf (1) or table (0): number 1 of `leaves` is set, number 0 is not.
  kind: { shift: 1, mask: 1, leaves: 0b10 },
  address: { shift: 12, bits: 36 },
  dirty: { mask: { lo: D, hi: 0 } },

  // 3. The functions: what an entry holds besides its address.
  table: () => ({ lo: V, hi: 0 }),
  leafSizes: (level) => [9 * level],
  leaf: () => ({ lo: 0, hi: 0 }),
  attrs(prot) {
    if (!(prot & IOMMU_READ)) {
      return refuse(EOPNOTSUPP, 'what a device may write it may also read', { prot });
    }
    return { lo: V | L | R | (prot & IOMMU_WRITE ? W : 0), hi: 0 };
  },
  protOf(lo) {
    if (!(lo & L)) return IOMMU_READ | IOMMU_WRITE;
    return (lo & R ? IOMMU_READ : 0) | (lo & W ? IOMMU_WRITE : 0);
  },
};

/** 4. A table in RAM: map, look at the words, walk as hardware does. */
export function main(print: Print): void {
  const ram = new Ram(1 << 20);
  const table = must(createPageTable(twig, ram, { vaLg2: 39, oaLg2: 48 }));
  print(`page sizes: 0x${table.pgsizeBitmap.toString(16)}`);

  // One page at 2 MiB + 4 KiB, and one whole 2 MiB page after it.
  assert.equal(table.map(0x201, 0x777, 1, IOMMU_READ), undefined);
  assert.equal(table.map(0x400, 0x1_0000, 512, IOMMU_READ | IOMMU_WRITE), undefined);
  printWalk(table, 0x20_1000n, print);
  printWalk(table, 0x40_0000n, print);
  assert.deepEqual(entries(table, 0x20_1000n).at(-1), { level: 0, entry: 0x777007n, kind: 'leaf' });
  assert.deepEqual(entries(table, 0x40_0000n).at(-1), {
    level: 1,
    entry: 0x1000_000fn,
    kind: 'leaf',
  });

  // The hardware has the same answer from the bytes alone, and marks what it writes.
  const reader = new MemoryReader(ram);
  const walker = new InterpretedWalker({ format: twig, reader, policy: trackingWalk(twig) });
  const root = { pfn: table.topPfn, topLevel: table.topLevel };
  const out = newWalkResult();
  assert.equal(walker.walk(root, 0x4ab, IOMMU_WRITE, out), WALK_DONE);
  assert.equal(out.outG, 0x1_00ab);
  assert.equal(walker.walk(root, 0x201, IOMMU_WRITE, out), WALK_DENIED);
  print('a write to the read-only page: denied');
  const dirty: string[] = [];
  table.readDirty(0x400, 512, false, newGather(), (start, length) =>
    dirty.push(`${length} granules from 0x${start.toString(16)}`),
  );
  print(`dirty: ${dirty.join(', ')}`);
  assert.deepEqual(dirty, ['512 granules from 0x400']);

  // What the format refuses, with the errno and no change.
  assert.equal(table.map(0x900, 0x1, 1, IOMMU_WRITE), EOPNOTSUPP);
  assert.equal(table.lookup(0x900), -1);
  assert.equal(table.unmap(0x201, 1, undefined), 1);
  assert.equal(table.lookup(0x201), -1);
  table.destroy();
  assert.equal(ram.used, 0);
  print('all frames are free again');
}

function entries(table: PageTable, iova: bigint) {
  return must(table.walk(iova)).map(({ level, entry, kind }) => ({ level, entry, kind }));
}
function printWalk(table: PageTable, iova: bigint, print: Print): void {
  const steps = entries(table, iova).map((step) => `${step.kind} 0x${step.entry.toString(16)}`);
  print(`0x${iova.toString(16)}: ${steps.join(' -> ')}`);
}
function must<T>(result: Result<T>): T {
  if (isErrno(result)) throw new Error(result.name);
  return result;
}

runIfMain(import.meta.url, main);
