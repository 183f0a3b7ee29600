/** The walkers of the unit are compared with the interpreted one, over tables that something has spoiled. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { must } from '../../../testing/base/must.ts';
import { createPageTable } from '../../../pt/create.ts';
import type { PtFormat } from '../../../pt/format.ts';
import { vtdss } from '../../../pt/formats/vtdss.ts';
import { x86_64 } from '../../../pt/formats/x86-64.ts';
import { IOMMU_READ, IOMMU_WRITE, type PageTable } from '../../../pt/page-table.ts';
import { Ram } from '../../../pt/ram.ts';
import { InterpretedWalker } from '../../../pt/walk/interpreted.ts';
import { MemoryReader } from '../../../pt/walk/table-reader.ts';
import {
  newWalkResult,
  WALK_DENIED,
  WALK_DONE,
  WALK_EMPTY,
  WALK_REASON,
  type PageWalker,
  type WalkRoot,
} from '../../../pt/walk/walker.ts';
import { resolveHardware, type IntelHardware } from '../hardware.ts';
import { firstStage, secondStage } from './walk.ts';
import { firstStagePolicy, secondStagePolicy } from './walk-policy.ts';

const RW = IOMMU_READ | IOMMU_WRITE;
const FRAMES = 32;
const RAM_BYTES = FRAMES * 4096;

/** Small pages, 2 MiB and 1 GiB; readable only, and both. */
function fillTable(pt: PageTable): void {
  for (const [iovaG, paG, lengthG, prot] of [
    [0, 5, 3, RW],
    [3, 9, 2, IOMMU_READ],
    [512, 0x8_0000, 512, RW],
    [1024, 0x8_0200, 512, IOMMU_READ],
    [2 ** 18, 2 ** 20, 2 ** 18, RW],
  ] as const) {
    expect(pt.map(iovaG, paG, lengthG, prot)).toBeUndefined();
  }
}

/** A scene: the same bytes twice, once for either walker. */
interface Pair {
  readonly root: WalkRoot;
  readonly fast: { readonly ram: Ram; readonly walker: PageWalker };
  readonly oracle: { readonly ram: Ram; readonly walker: PageWalker };
}

function table(ram: Ram, format: PtFormat): PageTable {
  const features = format === x86_64 ? (['sign-extend'] as const) : [];
  const pt = must(createPageTable(format, ram, { vaLg2: 48, oaLg2: 46, features }));
  fillTable(pt);
  return pt;
}

function secondPair(hw: IntelHardware, tracks: boolean): Pair {
  const ram = new Ram(RAM_BYTES);
  const pt = table(ram, vtdss);
  const other = copyOf(ram);
  const policy = secondStagePolicy(hw, tracks);
  const walker = new InterpretedWalker({ format: vtdss, policy, reader: new MemoryReader(other) });
  return {
    root: { pfn: pt.topPfn, topLevel: pt.topLevel, limitG: 2 ** 36 },
    fast: { ram, walker: secondStage(hw, ram, tracks) },
    oracle: { ram: other, walker },
  };
}

/** Of 48 bits, sign-extended, in granules of 4 KiB. */
const HALVES = { limitG: 2 ** 35, upperG: 2 ** 52 - 2 ** 35 };

/** `nested`: the second stage maps every frame to itself, but the last two of the tables for reading only. */
function firstPair(hw: IntelHardware, nested: boolean): Pair {
  const ram = new Ram(RAM_BYTES);
  const pt = table(ram, x86_64);
  clearMarks(ram);
  const host = must(createPageTable(vtdss, ram, { vaLg2: 48, oaLg2: 46 }));
  expect(host.map(0, 0, 4, RW)).toBeUndefined();
  expect(host.map(4, 4, 2, IOMMU_READ)).toBeUndefined();
  expect(host.map(6, 6, FRAMES - 6, RW)).toBeUndefined();
  expect(host.map(0x8_0000, 0x8_0000, 600, RW)).toBeUndefined();
  const other = copyOf(ram);
  const second = secondStagePolicy(hw, true);
  const reader = new MemoryReader(other);
  const walker = new InterpretedWalker({
    format: x86_64,
    policy: firstStagePolicy(hw),
    reader,
    host: new InterpretedWalker({ format: vtdss, policy: second, reader }),
  });
  const hostRoot = { pfn: host.topPfn, topLevel: host.topLevel, limitG: 2 ** 36 };
  const fastHost = secondStage(hw, ram, true);
  return {
    root: { pfn: pt.topPfn, topLevel: pt.topLevel, ...HALVES, ...(nested && { host: hostRoot }) },
    fast: { ram, walker: firstStage(hw, ram, new MemoryReader(ram), fastHost) },
    oracle: { ram: other, walker },
  };
}

/** As a guest may leave its tables: nothing accessed, nothing dirty. */
function clearMarks({ words }: Ram): void {
  for (let at = 0; at < words.length; at += 2) words[at]! &= ~(1 << 5) & ~(1 << 6);
}

function copyOf(ram: Ram): Ram {
  const copy = new Ram(RAM_BYTES);
  copy.words.set(ram.words);
  return copy;
}

/** A bit turned over in an item that is not empty, in both memories. */
function spoil({ fast, oracle }: Pair, pick: number, bit: number): void {
  const used: number[] = [];
  for (const [at, word] of fast.ram.words.entries()) if (word !== 0) used.push(at);
  const at = used[pick % used.length]! & ~1;
  for (const { ram } of [fast, oracle]) ram.words[at + (bit >> 5)]! ^= 1 << (bit & 31);
}

/** To a second stage an item without rights is an empty one: there is no present bit. */
function alike(code: number): number {
  return (code & WALK_REASON) === WALK_EMPTY ? code - WALK_EMPTY + WALK_DENIED : code;
}

function compare(pair: Pair, iovaG: number, access: number, sameEmpty: boolean): void {
  const [mine, theirs] = [pair.fast, pair.oracle].map(({ walker }) => {
    const out = newWalkResult();
    const code = walker.walk(pair.root, iovaG, access, out);
    if (code === WALK_DONE) {
      const { outG, prot, sizeLg2 } = out;
      return { code, outG, prot, sizeLg2 };
    }
    return { code: sameEmpty ? code : alike(code), level: out.level };
  });
  expect(mine).toEqual(theirs);
  expect(firstDifference(pair.fast.ram.words, pair.oracle.ram.words)).toBe(-1);
}

/** Word at which two memories differ, -1 for none. */
function firstDifference(a: Int32Array, b: Int32Array): number {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return at;
  return -1;
}

const addresses = fc.constantFrom(0, 1, 3, 4, 5, 512, 700, 1024, 1400, 2048, 2 ** 18, 2 ** 18 + 99);
const steps = fc.array(
  fc.record({
    pick: fc.nat(),
    bit: fc.oneof(fc.nat(12), fc.nat(63)),
    spoils: fc.boolean(),
    iovaG: fc.oneof(addresses, fc.constantFrom(2 ** 36, 2 ** 35, 2 ** 52 - 1)),
    access: fc.constantFrom(IOMMU_READ, IOMMU_WRITE),
  }),
  { minLength: 3, maxLength: 20 },
);

function agree(make: () => Pair, sameEmpty: boolean): void {
  fc.assert(
    fc.property(steps, (all) => {
      const pair = make();
      for (const { pick, bit, spoils, iovaG, access } of all) {
        if (spoils) spoil(pair, pick, bit);
        compare(pair, iovaG, access, sameEmpty);
      }
    }),
    { numRuns: 60 },
  );
}

describe('over spoiled tables, code, result and marks are those of the interpreted walker', () => {
  test.each([
    ['second stage', {}, false],
    ['second stage with dirty tracking', {}, true],
    ['second stage without large pages', { superpage2m: false, superpage1g: false }, false],
    ['second stage with pages of 1 GiB but not 2 MiB', { superpage2m: false }, true],
  ] as const)('%s', (_name, config, tracks) => {
    const hw = resolveHardware(config);
    agree(() => secondPair(hw, tracks), false);
  });
  test.each([
    ['first stage', {}, false],
    ['first stage without pages of 1 GiB', { firstStage1g: false }, false],
    ['nested', {}, true],
  ] as const)('%s', (_name, config, nested) => {
    const hw = resolveHardware(config);
    agree(() => firstPair(hw, nested), !nested);
  });
});
