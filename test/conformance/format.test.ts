/** One suite over all page-table formats: what is written is what formats.md says, and comes back (core.md 3.8). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EADDRINUSE, ENOMEM, EOVERFLOW, ERANGE } from '../../src/base/errno.ts';
import {
  freeGathered,
  InterpretedWalker,
  IOMMU_CACHE,
  IOMMU_MMIO,
  IOMMU_NOEXEC,
  IOMMU_READ,
  IOMMU_WRITE,
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
} from '../../src/pt/index.ts';
import {
  CASES,
  flagsOf,
  isSigned,
  lastAddressG,
  lastG,
  make,
  upperStartG,
  widthLg2,
  type FormatCase,
} from '../../src/testing/pt/format-cases.ts';
import { oracleWalk, readWord } from '../../src/testing/pt/format-oracle.ts';

const RW = IOMMU_READ | IOMMU_WRITE;

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

describe.each(CASES)('$name', (c) => {
  const g = c.format.granuleLg2;
  const levelBits = levelBitsOf(c.format);
  const bytesOf = (granules: number) => BigInt(granules) << BigInt(g);
  const paTopG = 2 ** (c.config.oaLg2 - g);

  test('a format offers the page sizes and the aperture of the specification', () => {
    const { pt } = make(c);
    expect(pt.pgsizeBitmap).toBe(c.sizes.reduce((map, n) => map | (1n << BigInt(n)), 0n));
    expect(pt.apertureStart).toBe(0n);
    expect(pt.apertureLast).toBe((1n << BigInt(c.apertureLg2)) - 1n);
  });

  test.each(c.sizes.map((n) => [n] as const))(
    'a leaf of 2^%i bytes is written as the format says, and comes back',
    (sizeLg2) => {
      const sizeG = 2 ** (sizeLg2 - g);
      const level = Math.floor((sizeLg2 - g) / levelBits);
      const items = 2 ** (sizeLg2 - g - levelBits * level);
      for (const iovaG of places(c, sizeG)) {
        const { pt, ram } = make(c, 1 << 18);
        // The highest aligned output address: all its upper bits are set.
        const paG = paTopG - sizeG;
        expect(pt.map(iovaG, paG, sizeG, RW | IOMMU_CACHE)).toBe(undefined);
        expect(pt.mapped).toBe(sizeG);

        const { steps, pa, leaf } = seenByHardware(c, pt, ram, bytesOf(iovaG));
        expect(leaf).toEqual({ pa: bytesOf(paG), sizeLg2 });
        expect(pa).toBe(bytesOf(paG));
        const word = c.oracle.leaf(
          { pa: bytesOf(paG), sizeLg2 },
          level,
          RW | IOMMU_CACHE,
          flagsOf(c),
        );
        const first = steps.at(-1)!.entryPa;
        for (let n = 0; n < items; n++) {
          expect(readWord(ram.bytes, first + BigInt(8 * n))).toBe(word);
        }
        for (const [n, { entry, level: at }] of steps.slice(0, -1).entries()) {
          const table = BigInt(levelBits + 3);
          const child = (steps[n + 1]!.entryPa >> table) << table;
          expect(entry).toBe(c.oracle.table(child, at, flagsOf(c)));
        }

        const inside = [0, 1, sizeG / 2, sizeG - 1].filter((n) => n < sizeG).map(Math.floor);
        for (const n of inside) expect(pt.lookup(iovaG + n)).toBe(paG + n);
        const lastByte = bytesOf(iovaG + sizeG) - 1n;
        expect(pt.iovaToPhys(lastByte)).toBe(bytesOf(paG + sizeG) - 1n);
        expect(seenByHardware(c, pt, ram, lastByte).pa).toBe(bytesOf(paG + sizeG) - 1n);
        if (iovaG > 0) expect(pt.lookup(iovaG - 1)).toBe(-1);
        if (iovaG + sizeG <= lastAddressG(c)) expect(pt.lookup(iovaG + sizeG)).toBe(-1);

        const gather = newGather();
        expect(pt.unmap(iovaG, sizeG, gather)).toBe(sizeG);
        expect([gather.start, gather.end]).toEqual([iovaG, iovaG + sizeG - 1]);
        expect(pt.lookup(iovaG)).toBe(-1);
        for (let n = 0; n < items; n++) {
          expect(readWord(ram.bytes, first + BigInt(8 * n))).toBe(0n);
        }
        pt.destroy();
        freeGathered(gather, ram);
        expect(ram.used).toBe(0);
      }
    },
  );

  test('every set of protection bits is written as the format says', () => {
    for (let prot = 1; prot < 64; prot++) {
      if (!(prot & RW)) continue;
      const { pt, ram } = make(c, 1 << 20);
      const page = c.sizes[0]! - g;
      expect(pt.map(0x40 << page, 0x80 << page, 1 << page, prot)).toBe(undefined);
      const leaf = { pa: bytesOf(0x80 << page), sizeLg2: c.sizes[0]! };
      const { steps } = seenByHardware(c, pt, ram, bytesOf(0x40 << page));
      expect(steps.at(-1)!.entry).toBe(c.oracle.leaf(leaf, 0, prot, flagsOf(c)));
    }
  });

  test('a walk tells the entries that hardware reads', () => {
    const { pt, ram } = make(c);
    const size = 2 ** (c.sizes[1]! - g);
    expect(pt.map(3 * size, 5 * size, size, RW)).toBe(undefined);
    const iova = bytesOf(3 * size) + 0x123n;
    const { steps } = seenByHardware(c, pt, ram, iova);
    expect(pt.walk(iova)).toMatchObject(
      steps.map(({ level, entry, entryPa }) => ({ level, entry, entryPa })),
    );
    expect(pt.walk(iova)).toMatchObject([
      ...steps.slice(1).map(() => ({ kind: 'table' })),
      { kind: 'leaf', pa: bytesOf(5 * size), sizeLg2: c.sizes[1], prot: RW },
    ]);
    expect(pt.walk(bytesOf(7 * size))).toMatchObject({ length: expect.any(Number) as number });
    if (widthLg2(c) < 64) expect(pt.walk(bytesOf(lastG(c) + 1))).toBe(ERANGE);
  });

  test('the hardware walk agrees with the table and knows the rights', () => {
    const { pt, ram } = make(c);
    const reader = new MemoryReader(ram);
    const walker = new InterpretedWalker({ format: c.format, reader, policy: PLAIN_WALK });
    const out = newWalkResult();
    const size = 2 ** (c.sizes[1]! - g);
    expect(pt.map(3 * size, 5 * size, size, IOMMU_READ)).toBe(undefined);
    const root = { pfn: pt.topPfn, topLevel: pt.topLevel };
    const walk = (iovaG: number, access: number) => walker.walk(root, iovaG, access, out);
    expect(walk(3 * size + 1, IOMMU_READ)).toBe(WALK_DONE);
    expect([out.outG, out.sizeLg2, out.prot]).toEqual([5 * size + 1, c.sizes[1]! - g, IOMMU_READ]);
    expect(walk(3 * size, IOMMU_WRITE)).toBe(WALK_DENIED);
    expect(walk(2 * size, IOMMU_READ)).toBe(WALK_EMPTY);
  });

  test('a table ends where its address space does', () => {
    const { pt } = make(c);
    const page = 2 ** (c.sizes[0]! - g);
    const end = lastG(c) + 1;
    if (lastG(c) < lastAddressG(c)) {
      expect(pt.map(end, 0, page, RW)).toBe(ERANGE);
      expect(pt.map(end - page, page, 3 * page, RW)).toBe(ERANGE);
      expect(pt.unmap(end, page, newGather())).toBe(0);
      expect(pt.lookup(end)).toBe(-1);
      expect(pt.iovaToPhys(bytesOf(end))).toBe(0n);
    }
    expect(pt.map(lastAddressG(c) + 1 - page, 0, 2 * page, RW)).toBe(EOVERFLOW);
    expect(pt.unmap(lastAddressG(c) + 1 - page, 2 * page, newGather())).toBe(0);
    if (isSigned(c)) {
      expect(pt.map(upperStartG(c) - page, 0, page, RW)).toBe(ERANGE);
      expect(pt.map(upperStartG(c) - page, page, 3 * page, RW)).toBe(ERANGE);
      expect(pt.map(upperStartG(c), 0, page, RW)).toBe(undefined);
      expect(pt.lookup(upperStartG(c))).toBe(0);
      expect(pt.lookup(end)).toBe(-1);
    }
    expect(pt.map(0, paTopG, page, RW)).toBe(ERANGE);
  });

  test('any maps and unmaps do what a plain list of leaves does', () => {
    const windows = [0, ...places(c, 4096).slice(2)];
    const step = fc.record({
      map: fc.boolean(),
      window: fc.nat(windows.length - 1),
      at: fc.oneof(
        fc.nat(4095),
        fc.nat(7).map((n) => n * 512),
        fc.nat(255).map((n) => n * 16),
      ),
      length: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(16, 32, 512, 1024, 600)),
      pa: fc.oneof(
        fc.nat(0xffff),
        fc.nat(100).map((n) => n * 512),
      ),
      shift: fc.boolean(),
      prot: fc.constantFrom(IOMMU_READ, IOMMU_WRITE, RW, RW | IOMMU_MMIO, RW | IOMMU_NOEXEC),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const { pt, ram } = make(c);
        const model = new LeafModel(c.sizes.map((n) => n - g));
        for (const s of steps) {
          const length = Math.min(s.length, 4096 - s.at);
          const iovaG = windows[s.window]! + s.at;
          if (s.map) {
            // Half the time with the same offset inside large pages, so that large pages are used.
            const paG = s.shift ? s.pa : s.pa - (s.pa % 4096) + s.at;
            const expected = model.map(iovaG, paG, length);
            const status = pt.map(iovaG, paG, length, s.prot);
            expect(pt.mapped).toBe(expected.mapped);
            expect(status).toBe(expected.clash ? EADDRINUSE : undefined);
            if (expected.clash && expected.mapped > 0) {
              expect(pt.unmap(iovaG, expected.mapped, undefined)).toBe(expected.mapped);
              model.unmap(iovaG, expected.mapped);
            }
          } else {
            const gather = newGather();
            expect(pt.unmap(iovaG, length, gather)).toBe(model.unmap(iovaG, length));
            freeGathered(gather, ram);
          }
          expect(ram.used).toBe(pt.frames);
        }
        for (const base of windows) {
          const expected = model.outputs(base, 4096);
          for (let n = 0; n < 4096; n++) {
            if (pt.lookup(base + n) !== expected[n]) expect(pt.lookup(base + n)).toBe(expected[n]);
          }
        }
        for (const leaf of model.leaves) {
          const seen = seenByHardware(c, pt, ram, bytesOf(leaf.start));
          expect(seen.leaf).toEqual({ pa: bytesOf(leaf.pa), sizeLg2: leaf.sizeLg2 + g });
        }
        pt.destroy();
        expect(ram.used).toBe(0);
      }),
      { numRuns: 25 },
    );
  });

  test('an allocation that fails at any point leaves the table as it was', () => {
    const page = 2 ** (c.sizes[0]! - g);
    // One page apart, so that only small leaves are used, over several level-0 tables.
    const table = 2 ** levelBits * page;
    const length = Math.floor(2.54 * (table / page)) * page;
    const far = lastG(c) + 1 - 4 * table + 500 * page;
    for (let failAt = 0; ; failAt++) {
      const { pt, ram, failing } = make(c);
      expect(pt.map(0, 77 * page, page, RW)).toBe(undefined);
      let left = failAt;
      failing.when = () => left-- === 0;
      const status = pt.map(far, page, length, RW);
      failing.when = undefined;
      if (status === undefined) {
        expect(failAt).toBeGreaterThan(2);
        return;
      }
      expect(status).toBe(ENOMEM);
      if (pt.mapped > 0) expect(pt.unmap(far, pt.mapped, undefined)).toBe(pt.mapped);
      for (let n = 0; n < length; n++) expect(pt.lookup(far + n)).toBe(-1);
      expect(pt.lookup(0)).toBe(77 * page);
      expect(ram.used).toBe(pt.frames);
      expect(pt.map(far, page, length, RW)).toBe(undefined);
      pt.destroy();
      expect(ram.used).toBe(0);
    }
  });
});

interface ModelLeaf {
  readonly start: number;
  readonly sizeLg2: number;
  readonly pa: number;
}

/** What a table holds, as a list; page sizes chosen greedily from the text of core.md 3.4. */
class LeafModel {
  readonly sizes: readonly number[];
  leaves: ModelLeaf[] = [];
  constructor(sizes: readonly number[]) {
    this.sizes = [...sizes].reverse();
  }
  #overlaps(start: number, length: number): boolean {
    return this.leaves.some((l) => l.start < start + length && start < l.start + 2 ** l.sizeLg2);
  }
  map(start: number, pa: number, length: number): { mapped: number; clash: boolean } {
    for (let mapped = 0; mapped < length;) {
      const at = start + mapped;
      const sizeLg2 = this.sizes.find(
        (n) => at % 2 ** n === 0 && (pa + mapped) % 2 ** n === 0 && 2 ** n <= length - mapped,
      )!;
      if (this.#overlaps(at, 2 ** sizeLg2)) return { mapped, clash: true };
      this.leaves.push({ start: at, sizeLg2, pa: pa + mapped });
      mapped += 2 ** sizeLg2;
    }
    return { mapped: length, clash: false };
  }
  unmap(start: number, length: number): number {
    let at = start;
    while (at < start + length) {
      const leaf = this.leaves.find((l) => l.start === at);
      if (!leaf) break;
      this.leaves = this.leaves.filter((l) => l !== leaf);
      at += 2 ** leaf.sizeLg2;
    }
    return at - start;
  }
  /** Where each granule from `start` on leads, or -1. */
  outputs(start: number, length: number): Float64Array {
    const out = new Float64Array(length).fill(-1);
    for (const leaf of this.leaves) {
      for (let n = 0; n < 2 ** leaf.sizeLg2; n++) {
        const at = leaf.start + n - start;
        if (at >= 0 && at < length) out[at] = leaf.pa + n;
      }
    }
    return out;
  }
}
