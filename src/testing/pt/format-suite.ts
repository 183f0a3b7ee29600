/**
 * What every page-table format keeps: entries are written as its description says, hardware finds what was mapped, and
 * what fails leaves no trace (core.md 3.8). Cases with names that need no test runner; an oracle of the format, written a
 * second time from its description, is the judge.
 */
import { EADDRINUSE, ENOMEM, EOVERFLOW, ERANGE } from '../../base/errno.ts';
import {
  freeGathered,
  InterpretedWalker,
  IOMMU_CACHE,
  IOMMU_MMIO,
  IOMMU_NOEXEC,
  IOMMU_READ,
  IOMMU_WRITE,
  isErrno,
  levelBitsOf,
  MemoryReader,
  newGather,
  newWalkResult,
  PLAIN_WALK,
  WALK_DENIED,
  WALK_DONE,
  WALK_EMPTY,
  type PageTable,
  type Ram,
} from '../../pt/index.ts';
import { insist, insistEqual } from '../base/insist.ts';
import { Random } from '../base/random.ts';
import type { SuiteCase } from '../base/suite-case.ts';
import {
  flagsOf,
  isSigned,
  lastAddressG,
  lastG,
  make,
  upperStartG,
  widthLg2,
  type FormatCase,
} from './format-places.ts';
import { LeafModel } from './leaf-model.ts';
import { oracleWalk, readWord } from './oracle-walk.ts';

const RW = IOMMU_READ | IOMMU_WRITE;
/** Random programs in the suite, and their longest. */
const PROGRAMS = 25;
const MOST_STEPS = 30;
/** Granules of a window that random programs work in. */
const WINDOW = 4096;

/** All cases of one configuration. */
export function formatCases(c: FormatCase, seed = 1): SuiteCase[] {
  return [
    {
      name: 'a format offers the page sizes and the aperture that are said of it',
      run: () => aperture(c),
    },
    ...c.sizes.map((sizeLg2) => ({
      name: `a leaf of 2^${sizeLg2} bytes is written as the format says, and comes back`,
      run: () =>
        places(c, 2 ** (sizeLg2 - c.format.granuleLg2)).forEach((at) => leaf(c, sizeLg2, at)),
    })),
    {
      name: 'every set of protection bits is written as the format says',
      run: () => protections(c),
    },
    { name: 'a walk tells the entries that hardware reads', run: () => walkTells(c) },
    {
      name: 'the hardware walk agrees with the table and knows the rights',
      run: () => hardwareAgrees(c),
    },
    { name: 'a table ends where its address space does', run: () => ends(c) },
    {
      name: `${PROGRAMS} random programs of maps and unmaps do what a plain list of leaves does`,
      run: () => randomPrograms(c, seed),
    },
    {
      name: 'an allocation that fails at any point leaves the table as it was',
      run: () => {
        for (let failAt = 0; allocationFails(c, failAt); failAt++);
      },
    },
  ];
}

function seenByHardware(c: FormatCase, pt: PageTable, ram: Ram, iova: bigint) {
  const low = BigInt.asUintN(widthLg2(c), iova);
  return oracleWalk(c.oracle, ram.bytes, { pfn: pt.topPfn, level: pt.topLevel }, low);
}
/** Addresses at which a leaf of that many granules can lie: the ends of the table and its middle. */
function places(c: FormatCase, sizeG: number): number[] {
  const lower = [0, sizeG, lastG(c) + 1 - sizeG];
  if (!isSigned(c)) return lower;
  return [...lower, upperStartG(c), lastAddressG(c) + 1 - sizeG];
}
function bytesOf(c: FormatCase, granules: number): bigint {
  return BigInt(granules) << BigInt(c.format.granuleLg2);
}
/** Granules of the smallest page, or of another size. */
function pageG(c: FormatCase, n = 0): number {
  return 2 ** ((c.sizes[n] ?? c.sizes[0]!) - c.format.granuleLg2);
}

function aperture(c: FormatCase): void {
  const { pt } = make(c);
  const sizes = c.sizes.reduce((map, n) => map | (1n << BigInt(n)), 0n);
  insistEqual(pt.pgsizeBitmap, sizes, 'page sizes');
  insistEqual(
    [pt.apertureStart, pt.apertureLast],
    [0n, (1n << BigInt(c.apertureLg2)) - 1n],
    'aperture',
  );
}

function leaf(c: FormatCase, sizeLg2: number, iovaG: number): void {
  const sizeG = 2 ** (sizeLg2 - c.format.granuleLg2);
  const { pt, ram } = make(c, 1 << 18);
  // The highest aligned output address: all its upper bits are set.
  const paG = 2 ** (c.config.oaLg2 - c.format.granuleLg2) - sizeG;
  insistEqual(pt.map(iovaG, paG, sizeG, RW | IOMMU_CACHE), undefined, 'the map');
  insistEqual(pt.mapped, sizeG, 'granules mapped');
  const items = leafWords(c, { pt, ram, iovaG, sizeLg2, paG });
  leafAnswers(c, { pt, ram, iovaG, sizeG, paG });
  const gather = newGather();
  insistEqual(pt.unmap(iovaG, sizeG, gather), sizeG, 'granules unmapped');
  insistEqual([gather.start, gather.end], [iovaG, iovaG + sizeG - 1], 'the range to forget');
  insistEqual(pt.lookup(iovaG), -1, 'after the unmap');
  for (const at of items) insistEqual(readWord(ram.bytes, at), 0n, 'an item after the unmap');
  pt.destroy();
  freeGathered(gather, ram);
  insistEqual(ram.used, 0, 'frames in use');
}
interface LeafPlace {
  readonly pt: PageTable;
  readonly ram: Ram;
  readonly iovaG: number;
  readonly paG: number;
}
/** The words in RAM are those of the oracle; where the items of the leaf are. */
function leafWords(c: FormatCase, at: LeafPlace & { readonly sizeLg2: number }): bigint[] {
  const { pt, ram, iovaG, sizeLg2, paG } = at;
  const levelBits = levelBitsOf(c.format);
  const level = Math.floor((sizeLg2 - c.format.granuleLg2) / levelBits);
  const count = 2 ** (sizeLg2 - c.format.granuleLg2 - levelBits * level);
  const pa = bytesOf(c, paG);
  const seen = seenByHardware(c, pt, ram, bytesOf(c, iovaG));
  insistEqual([seen.leaf, seen.pa], [{ pa, sizeLg2 }, pa], 'what hardware finds');
  const first = seen.steps.at(-1)!.entryPa;
  const items = Array.from({ length: count }, (_, n) => first + BigInt(8 * n));
  const word = c.oracle.leaf({ pa, sizeLg2 }, level, RW | IOMMU_CACHE, flagsOf(c));
  for (const item of items) insistEqual(readWord(ram.bytes, item), word, 'an item of the leaf');
  for (const [n, { entry, level: of }] of seen.steps.slice(0, -1).entries()) {
    const table = BigInt(levelBits + 3);
    const child = (seen.steps[n + 1]!.entryPa >> table) << table;
    insistEqual(entry, c.oracle.table(child, of, flagsOf(c)), `the pointer at level ${of}`);
  }
  return items;
}
/** Lookups inside, at both ends and beyond. */
function leafAnswers(c: FormatCase, at: LeafPlace & { readonly sizeG: number }): void {
  const { pt, ram, iovaG, sizeG, paG } = at;
  for (const n of [0, 1, Math.floor(sizeG / 2), sizeG - 1].filter((n) => n < sizeG)) {
    insistEqual(pt.lookup(iovaG + n), paG + n, `granule ${n} of the leaf`);
  }
  const lastByte = bytesOf(c, iovaG + sizeG) - 1n;
  const lastPa = bytesOf(c, paG + sizeG) - 1n;
  insistEqual(pt.iovaToPhys(lastByte), lastPa, 'the last byte');
  insistEqual(seenByHardware(c, pt, ram, lastByte).pa, lastPa, 'the last byte, by hardware');
  if (iovaG > 0) insistEqual(pt.lookup(iovaG - 1), -1, 'before the leaf');
  if (iovaG + sizeG <= lastAddressG(c)) {
    insistEqual(pt.lookup(iovaG + sizeG), -1, 'behind the leaf');
  }
}

function protections(c: FormatCase): void {
  const page = pageG(c);
  for (let prot = 1; prot < 64; prot++) {
    if (!(prot & RW)) continue;
    const { pt, ram } = make(c, 1 << 20);
    const rc = pt.map(0x40 * page, 0x80 * page, page, prot);
    // An access that the format cannot express is refused, and then changes nothing.
    if (rc !== undefined && c.refuses?.(prot)) continue;
    insistEqual(rc, undefined, `a map with protection ${prot}`);
    const written = { pa: bytesOf(c, 0x80 * page), sizeLg2: c.sizes[0]! };
    const { steps } = seenByHardware(c, pt, ram, bytesOf(c, 0x40 * page));
    const word = c.oracle.leaf(written, 0, prot, flagsOf(c));
    insistEqual(steps.at(-1)!.entry, word, `the leaf with protection ${prot}`);
  }
}

function walkTells(c: FormatCase): void {
  const { pt, ram } = make(c);
  const size = pageG(c, 1);
  insistEqual(pt.map(3 * size, 5 * size, size, RW), undefined, 'the map');
  const iova = bytesOf(c, 3 * size) + 0x123n;
  const walk = pt.walk(iova);
  if (isErrno(walk)) throw new Error(`the walk: ${walk.name}`);
  insistEqual(
    walk.map(({ level, entry, entryPa }) => ({ level, entry, entryPa })),
    seenByHardware(c, pt, ram, iova).steps,
    'the entries',
  );
  insistEqual(
    walk.map(({ kind }) => kind),
    [...walk.slice(1).map(() => 'table'), 'leaf'],
    'the kinds',
  );
  const end = walk.at(-1);
  if (end?.kind !== 'leaf') throw new Error('the walk ends in no leaf');
  insistEqual(
    [end.pa, end.sizeLg2, end.prot],
    [bytesOf(c, 5 * size), c.sizes[1] ?? c.sizes[0], RW],
    'the leaf',
  );
  insist(!isErrno(pt.walk(bytesOf(c, 7 * size))), 'a walk that ends in a hole is one');
  if (widthLg2(c) < 64) insistEqual(pt.walk(bytesOf(c, lastG(c) + 1)), ERANGE, 'beyond the end');
}

function hardwareAgrees(c: FormatCase): void {
  const { pt, ram } = make(c);
  const reader = new MemoryReader(ram);
  const walker = new InterpretedWalker({ format: c.format, reader, policy: PLAIN_WALK });
  const out = newWalkResult();
  const size = pageG(c, 1);
  insistEqual(pt.map(3 * size, 5 * size, size, IOMMU_READ), undefined, 'the map');
  const root = { pfn: pt.topPfn, topLevel: pt.topLevel };
  const walk = (iovaG: number, access: number) => walker.walk(root, iovaG, access, out);
  insistEqual(walk(3 * size + size - 1, IOMMU_READ), WALK_DONE, 'a read');
  const sizeLg2 = Math.log2(size);
  insistEqual([out.outG, out.sizeLg2, out.prot], [6 * size - 1, sizeLg2, IOMMU_READ], 'its result');
  insistEqual(walk(3 * size, IOMMU_WRITE), WALK_DENIED, 'a write to what is read-only');
  insistEqual(walk(2 * size, IOMMU_READ), WALK_EMPTY, 'a read of a hole');
}

function ends(c: FormatCase): void {
  const { pt } = make(c);
  const page = pageG(c);
  const end = lastG(c) + 1;
  const map = (iovaG: number, paG: number, pages: number) => pt.map(iovaG, paG, pages * page, RW);
  if (lastG(c) < lastAddressG(c)) {
    insistEqual(map(end, 0, 1), ERANGE, 'a map beyond the end');
    insistEqual(map(end - page, page, 3), ERANGE, 'a map over the end');
    insistEqual(pt.unmap(end, page, newGather()), 0, 'an unmap beyond the end');
    insistEqual(pt.lookup(end), -1, 'a lookup beyond the end');
    insistEqual(pt.iovaToPhys(bytesOf(c, end)), 0n, 'an address beyond the end');
  }
  const last = lastAddressG(c) + 1 - page;
  insistEqual(map(last, 0, 2), EOVERFLOW, 'a map over the last address');
  insistEqual(pt.unmap(last, 2 * page, newGather()), 0, 'an unmap over the last address');
  if (isSigned(c)) {
    const upper = upperStartG(c);
    insistEqual(map(upper - page, 0, 1), ERANGE, 'a map below the upper half');
    insistEqual(map(upper - page, page, 3), ERANGE, 'a map into the upper half');
    insistEqual(map(upper, 0, 1), undefined, 'a map in the upper half');
    insistEqual([pt.lookup(upper), pt.lookup(end)], [0, -1], 'the halves are two');
  }
  const beyond = 2 ** (c.config.oaLg2 - c.format.granuleLg2);
  insistEqual(map(0, beyond, 1), ERANGE, 'an output address beyond the widest');
}

/** A step of a random program: what, where in which window, how much, to where. */
export interface MapStep {
  readonly map: boolean;
  readonly window: number;
  readonly at: number;
  readonly length: number;
  readonly pa: number;
  readonly shift: boolean;
  readonly prot: number;
}

/** Windows that programs work in: at the ends of the table and in its middle. */
export function windowsOf(c: FormatCase): number[] {
  return [0, ...places(c, WINDOW).slice(2)];
}

/** These steps on a table and on a list of leaves: both answer the same, and hold the same at the end. */
export function runMapProgram(c: FormatCase, steps: readonly MapStep[]): void {
  const { pt, ram } = make(c);
  const g = c.format.granuleLg2;
  const model = new LeafModel(c.sizes.map((n) => n - g));
  const windows = windowsOf(c);
  for (const step of steps) {
    const length = Math.min(step.length, WINDOW - step.at);
    const iovaG = windows[step.window]! + step.at;
    if (step.map) mapBoth({ pt, model }, { ...step, iovaG, length });
    else {
      const gather = newGather();
      insistEqual(pt.unmap(iovaG, length, gather), model.unmap(iovaG, length), 'granules unmapped');
      freeGathered(gather, ram);
    }
    insistEqual(ram.used, pt.frames, 'frames in use');
  }
  for (const base of windows) {
    for (const [n, expected] of model.outputs(base, WINDOW).entries()) {
      const found = pt.lookup(base + n);
      if (found !== expected) insistEqual(found, expected, `granule ${base + n}`);
    }
  }
  for (const { start, pa, sizeLg2 } of model.leaves) {
    const seen = seenByHardware(c, pt, ram, bytesOf(c, start));
    insistEqual(seen.leaf, { pa: bytesOf(c, pa), sizeLg2: sizeLg2 + g }, 'what hardware finds');
  }
  pt.destroy();
  insistEqual(ram.used, 0, 'frames in use at the end');
}
function mapBoth(
  { pt, model }: { readonly pt: PageTable; readonly model: LeafModel },
  step: MapStep & { readonly iovaG: number },
): void {
  const { iovaG, length, prot } = step;
  // Half the time with the same offset inside large pages, so that large pages are used.
  const paG = step.shift ? step.pa : step.pa - (step.pa % WINDOW) + step.at;
  const expected = model.map(iovaG, paG, length);
  const status = pt.map(iovaG, paG, length, prot);
  insistEqual(
    [pt.mapped, status],
    [expected.mapped, expected.clash ? EADDRINUSE : undefined],
    'the map',
  );
  if (expected.clash && expected.mapped > 0) {
    insistEqual(pt.unmap(iovaG, expected.mapped, undefined), expected.mapped, 'what was mapped');
    model.unmap(iovaG, expected.mapped);
  }
}
function randomPrograms(c: FormatCase, seed: number): void {
  const windows = windowsOf(c).length;
  const page = pageG(c);
  const random = new Random(seed);
  const prots = [IOMMU_READ, IOMMU_WRITE, RW, RW | IOMMU_MMIO, RW | IOMMU_NOEXEC] as const;
  for (let n = 0; n < PROGRAMS; n++) {
    const steps = Array.from({ length: random.below(MOST_STEPS) }, (): MapStep => {
      const prot = random.of(prots);
      return {
        map: random.below(2) === 0,
        window: random.below(windows),
        at: random.of([1, 16, 512]) * random.below(8) * page,
        length: random.of([1 + random.below(40), 16, 32, 512, 1024, 600]) * page,
        pa: random.of([random.below(0xffff), 512 * random.below(100)]) * page,
        shift: random.below(2) === 0,
        prot: c.refuses?.(prot) ? RW : prot,
      };
    });
    try {
      runMapProgram(c, steps);
    } catch (error) {
      throw new Error(`program ${n} of seed ${seed}`, { cause: error });
    }
  }
}

/** One of them fails: false when there were fewer. */
function allocationFails(c: FormatCase, failAt: number): boolean {
  const page = pageG(c);
  // One page apart, so that only small leaves are used, over several level-0 tables.
  const table = 2 ** levelBitsOf(c.format) * page;
  const length = Math.floor(2.54 * (table / page)) * page;
  const far = lastG(c) + 1 - 4 * table + 500 * page;
  const { pt, ram, failing } = make(c);
  insistEqual(pt.map(0, 77 * page, page, RW), undefined, 'a first map');
  let left = failAt;
  failing.when = () => left-- === 0;
  const status = pt.map(far, page, length, RW);
  failing.when = undefined;
  if (status === undefined) {
    insist(failAt > 2, `only ${failAt} allocations`);
    return false;
  }
  insistEqual(status, ENOMEM, 'the map');
  if (pt.mapped > 0) insistEqual(pt.unmap(far, pt.mapped, undefined), pt.mapped, 'the undoing');
  for (let n = 0; n < length; n++) {
    if (pt.lookup(far + n) !== -1) throw new Error(`granule ${far + n} is left`);
  }
  insistEqual([pt.lookup(0), ram.used], [77 * page, pt.frames], 'what was there before');
  insistEqual(pt.map(far, page, length, RW), undefined, 'the map, again');
  pt.destroy();
  insistEqual(ram.used, 0, 'frames in use at the end');
  return true;
}
