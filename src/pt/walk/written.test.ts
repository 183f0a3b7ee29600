/** The written-out walkers are compared with the interpreted one: every format, over tables that something has spoiled. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { must } from '../../testing/base/must.ts';
import { FORMATS } from '../all-formats.ts';
import { createPageTable } from '../create.ts';
import type { PtFormat } from '../format.ts';
import { vtdss } from '../formats/vtdss.ts';
import { IOMMU_PRIV, IOMMU_READ, IOMMU_WRITE, type PageTable } from '../page-table.ts';
import { Ram } from '../ram.ts';
import { createWalker } from './create-walker.ts';
import { InterpretedWalker } from './interpreted.ts';
import { MemoryReader } from './table-reader.ts';
import {
  newWalkResult,
  PLAIN_WALK,
  trackingWalk,
  WALK_DONE,
  WALK_UNPROTECTED,
  type PageWalker,
  type WalkPolicy,
  type WalkRoot,
} from './walker.ts';
import { writtenSettings } from './written-parts.ts';
import { WRITTEN } from './written/index.ts';

const RW = IOMMU_READ | IOMMU_WRITE;
const FRAMES = 48;
const RAM_BYTES = FRAMES * 4096;

/** Input widths a table of the format is tried with: one for each number of levels it may have. */
function widthsOf({ exactVaLg2, topLevel, granuleLg2, maxVaLg2 }: PtFormat): readonly number[] {
  if (exactVaLg2 !== undefined) return exactVaLg2;
  const widths: number[] = [];
  for (let top = topLevel.min; top <= topLevel.max; top++)
    widths.push(Math.min(maxVaLg2, granuleLg2 + 9 * (top + 1)));
  return [...new Set(widths)];
}

/** Pages alone and in rows, large leaves, runs of items; readable only, and both; low and as high as the table goes. */
function fill(pt: PageTable, format: PtFormat, vaLg2: number): readonly number[] {
  const lastG =
    2 ** (vaLg2 - format.granuleLg2 - (format.mandatory.includes('sign-extend') ? 1 : 0));
  const all: readonly (readonly [number, number, number, number])[] = [
    [0, 5, 3, RW],
    [3, 9, 2, IOMMU_READ],
    [16, 32, 16, RW],
    [512, 0x8_0000, 512, RW],
    [1024, 0x8_0200, 512, IOMMU_READ],
    [1536, 0x8_0400, 64, RW],
    [2 ** 18, 2 ** 20, 2 ** 18, RW],
    [lastG - 2, 2 ** 22 + 3, 1, RW],
    [lastG - 1024, 2 ** 30, 512, RW],
    [lastG - 4, 2 ** (format.maxOaLg2 - format.granuleLg2) - 8, 2, RW],
  ];
  const ranges = all.filter(([iovaG, , lengthG]) => iovaG + lengthG <= lastG);
  for (const [iovaG, paG, lengthG, prot] of ranges)
    expect(pt.map(iovaG, paG, lengthG, prot)).toBeUndefined();
  return [...ranges.flatMap(([iovaG, , lengthG]) => [iovaG, iovaG + lengthG - 1]), 100, lastG - 1];
}

/** The same bytes twice, once for either walker. */
interface Pair {
  readonly root: WalkRoot;
  readonly addresses: readonly number[];
  readonly quick: { readonly ram: Ram; readonly walker: PageWalker };
  readonly oracle: { readonly ram: Ram; readonly walker: PageWalker };
}
interface Scene {
  readonly format: PtFormat;
  readonly vaLg2: number;
  readonly policy: WalkPolicy;
  readonly nested: boolean;
}

/** `nested`: the host stage maps every frame to itself, but the last two of the tables for reading only. */
function pairOf({ format, vaLg2, policy, nested }: Scene): Pair {
  const ram = new Ram(RAM_BYTES);
  const features = format.mandatory;
  const pt = must(createPageTable(format, ram, { vaLg2, oaLg2: format.maxOaLg2, features }));
  const addresses = fill(pt, format, vaLg2);
  const host = must(createPageTable(vtdss, ram, { vaLg2: 48, oaLg2: 52 }));
  const last = ram.used;
  expect(host.map(0, 0, last - 2, RW)).toBeUndefined();
  expect(host.map(last - 2, last - 2, 2, IOMMU_READ)).toBeUndefined();
  expect(host.map(last, last, 0x8_0600 - last, RW)).toBeUndefined();
  const other = new Ram(RAM_BYTES);
  other.words.set(ram.words);
  const limitG = vaLg2 > 50 ? undefined : 2 ** (vaLg2 - format.granuleLg2);
  const hostRoot = { pfn: host.topPfn, topLevel: host.topLevel, limitG: 2 ** 36 };
  const root = { pfn: pt.topPfn, topLevel: pt.topLevel, limitG, ...(nested && { host: hostRoot }) };
  const [quick, oracle] = [ram, other].map((of) => {
    const reader = new MemoryReader(of);
    const tracking = trackingWalk(vtdss);
    const hostWalker = new InterpretedWalker({ format: vtdss, policy: tracking, reader });
    return { reader, ram: of, host: hostWalker };
  });
  return {
    root,
    addresses,
    quick: { ram, walker: createWalker({ format, policy, ...quick! }) },
    oracle: { ram: other, walker: new InterpretedWalker({ format, policy, ...oracle! }) },
  };
}

/** A bit turned over in an item that is not empty, in both memories. */
function spoil({ quick, oracle }: Pair, pick: number, bit: number): void {
  const used: number[] = [];
  const { words } = quick.ram;
  for (let at = 0; at < words.length; at++) if (words[at] !== 0) used.push(at);
  const at = used[pick % used.length]! & ~1;
  for (const { ram } of [quick, oracle]) ram.words[at + (bit >> 5)]! ^= 1 << (bit & 31);
}

function compare(pair: Pair, iovaG: number, access: number): boolean {
  const [mine, theirs] = [pair.quick, pair.oracle].map(({ walker }) => {
    const out = newWalkResult();
    const code = walker.walk(pair.root, iovaG, access, out);
    if (code !== WALK_DONE) return { code, level: out.level };
    return { code, outG: out.outG, prot: out.prot, sizeLg2: out.sizeLg2 };
  });
  expect(mine).toEqual(theirs);
  expect(Buffer.from(pair.quick.ram.bytes.buffer).equals(pair.oracle.ram.bytes)).toBe(true);
  return mine!.code === WALK_DONE;
}

const ACCESSES = [IOMMU_READ, IOMMU_WRITE, RW, 0, RW | IOMMU_PRIV, IOMMU_WRITE | WALK_UNPROTECTED];
const steps = fc.array(
  fc.record({
    pick: fc.nat(),
    bit: fc.oneof(fc.nat(12), fc.nat(63)),
    spoils: fc.boolean(),
    where: fc.nat(),
    far: fc.constantFrom(0, 0, 0, 0, 2 ** 36, 2 ** 35, 2 ** 52 - 1),
    access: fc.oneof(fc.constantFrom(IOMMU_READ, IOMMU_WRITE), fc.constantFrom(...ACCESSES)),
  }),
  { minLength: 3, maxLength: 12 },
);

function agree(scene: Scene): void {
  fc.assert(
    fc.property(steps, (all) => {
      const pair = pairOf(scene);
      for (const { pick, bit, spoils, where, far, access } of all) {
        if (spoils) spoil(pair, pick, bit);
        compare(pair, far || pair.addresses[where % pair.addresses.length]!, access);
      }
    }),
    { numRuns: 20 },
  );
}

const LOW_DIRTY = { lo: 1 << 9, hi: 0 };
const POLICIES: readonly (readonly [string, WalkPolicy])[] = [
  ['plain', PLAIN_WALK],
  [
    'any right, marks in tables and leaves',
    {
      leafLevels: 0b11,
      rights: 'any',
      marks: { table: { lo: 1 << 5, hi: 0 }, leaf: { lo: 1 << 5, hi: 0 }, dirty: LOW_DIRTY },
    },
  ],
  [
    'rights at the leaf, a user bit, leaves of 1 GiB only',
    {
      leafLevels: 0b101,
      rights: 'leaf',
      user: { lo: 1 << 4, hi: 0 },
      marks: { dirty: { lo: 1 << 6, hi: 0 } },
    },
  ],
  ['a mark above bit 31', { ...PLAIN_WALK, marks: { leaf: { lo: 0, hi: 1 << 20 } } }],
  ['bits that must be zero', { ...PLAIN_WALK, reserved: () => ({ lo: 0, hi: 1 << 24 }) }],
];

describe('over spoiled tables, code, result and marks are those of the interpreted walker', () => {
  const scenes = [...FORMATS.values()].flatMap((format) =>
    widthsOf(format).flatMap((vaLg2) =>
      POLICIES.map(
        ([name, policy]) => [format.name, vaLg2, name, { format, vaLg2, policy }] as const,
      ),
    ),
  );
  test.each(scenes)('%s, %i bits, %s', (_format, _width, _policy, scene) => {
    agree({ ...scene, nested: false });
  });
  test.each(scenes.filter(([, , , { format }]) => format.granuleLg2 === 12))(
    '%s, %i bits, %s, nested',
    (_format, _width, _policy, scene) => {
      agree({ ...scene, nested: true });
    },
  );
});

describe('what is walked the quick way', () => {
  test.each([...FORMATS.values()])('pages of $name, and large ones, are', (format) => {
    const vaLg2 = widthsOf(format)[0]!;
    const pair = pairOf({ format, vaLg2, policy: PLAIN_WALK, nested: false });
    const Written = WRITTEN.get(format.name)!;
    const parts = { format, policy: PLAIN_WALK, ram: pair.quick.ram };
    const reader = new MemoryReader(pair.quick.ram);
    const walker = new Written({ ...parts, reader });
    const asked: number[] = [];
    const judge: PageWalker = {
      walk(_root, iovaG) {
        asked.push(iovaG);
        return 1;
      },
    };
    Object.assign(walker, { ...writtenSettings({ ...parts, reader }), judge });
    const out = newWalkResult();
    for (const iovaG of [0, 2, 3, 512, 1024]) walker.walk(pair.root, iovaG, IOMMU_READ, out);
    const large = format.contiguous === undefined || format.name === 'riscv_64' ? [] : [512, 1024];
    expect(asked.filter((iovaG) => !large.includes(iovaG))).toEqual([]);
    walker.walk(pair.root, 99, IOMMU_READ, out);
    expect(asked.at(-1)).toBe(99);
  });
  test('a format of somebody else by a name of ours is walked by asking it', () => {
    const other: PtFormat = { ...vtdss };
    const ram = new Ram(RAM_BYTES);
    const parts = { ram, policy: PLAIN_WALK, reader: new MemoryReader(ram) };
    expect(createWalker({ ...parts, format: other })).toBeInstanceOf(InterpretedWalker);
    expect(createWalker({ ...parts, format: vtdss })).toBeInstanceOf(WRITTEN.get('vtdss')!);
  });
});
