/**
 * Mappings of an IOAS: whole commands against what Linux 6.12 was measured to need on comparable hardware, and the
 * interval map below them against C (bench/c/areas.c). The trap is not part of any figure.
 */
import { IntervalMap } from '../src/base/interval-map.ts';
import { shuffled, type Benchmark } from './harness.ts';
import { IommufdProgram } from './iommufd-program.ts';

const MILLION = 1_000_000;
const HELD = 100_000;
const CALLS = 20_000;
/** Above the aperture's start of the selftest's page table. */
const BASE = 0x100_0000;
const PAGE = 4096;
const ANYWHERE = -1;

interface World {
  readonly program: IommufdProgram;
  readonly ioas: number;
}
/** Made when first used: no benchmark measures it, and few need it. */
function later<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
function newWorld(withDomain: boolean): World {
  const program = new IommufdProgram();
  const ioas = program.ioasAlloc();
  if (withDomain) program.attachDevice(ioas);
  return { program, ioas };
}
const plain = later(() => newWorld(false));
const attached = later(() => newWorld(true));

function isCount(wanted: number): (count: number) => void {
  return (count) => {
    if (count !== wanted) throw new Error(`${String(count)} of ${String(wanted)} were done`);
  };
}

/** Map and unmap one page, again and again. */
function mapUnmap({ program, ioas }: World): number {
  let bytes = 0;
  for (let n = 0; n < CALLS; n++) {
    const at = BASE + (n & 255) * PAGE;
    program.map(ioas, n & 511, 1, at);
    bytes += program.unmap(ioas, at, PAGE);
  }
  return bytes / PAGE;
}

const commands: Benchmark[] = [
  {
    id: 'map-unmap',
    title: 'IOAS_MAP + IOAS_UNMAP of 4 KiB, no domain',
    aim: 2,
    reference: 345,
    ops: CALLS,
    setup: () => void plain(),
    run: () => mapUnmap(plain()),
    verify: isCount(CALLS),
  },
  {
    id: 'map-unmap-domain',
    title: 'IOAS_MAP + IOAS_UNMAP of 4 KiB, one domain',
    aim: 2,
    reference: 2200,
    ops: CALLS,
    setup: () => void attached(),
    run: () => mapUnmap(attached()),
    verify: isCount(CALLS),
  },
  {
    id: 'map-100k',
    title: 'IOAS_MAP of 4 KiB, 0 to 100 k mappings held',
    aim: 2,
    reference: 500,
    ops: HELD,
    series: '100k',
    run() {
      const { program, ioas } = plain();
      for (let n = 0; n < HELD; n++) program.map(ioas, n & 511, 1, BASE + n * 2 * PAGE);
      return HELD;
    },
    verify: isCount(HELD),
  },
  {
    id: 'unmap-100k',
    title: 'IOAS_UNMAP of 4 KiB, 100 k to 0 mappings held',
    aim: 2,
    reference: 270,
    ops: HELD,
    series: '100k',
    run() {
      const { program, ioas } = plain();
      let bytes = 0;
      for (let n = 0; n < HELD; n++) bytes += program.unmap(ioas, BASE + n * 2 * PAGE, PAGE);
      return bytes / PAGE;
    },
    verify: isCount(HELD),
  },
];

/**
 * A million mappings of two pages with holes of two pages between them, each hole beginning at an odd page: large
 * enough for two pages, of no use for two aligned ones. The first page is never used.
 */
const full = later(() => {
  const world = newWorld(false);
  const before = heapBytes();
  for (let n = 0; n < MILLION; n++) mapNth(world, n);
  return { ...world, bytes: (heapBytes() - before) / MILLION };
});
function mapNth({ program, ioas }: World, n: number): void {
  program.map(ioas, n & 511, 2, startOfNth(n));
}
function startOfNth(n: number): number {
  return (n * 4 + 3) * PAGE;
}
/** Bytes that are in use after everything else was collected. */
function heapBytes(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const AUTO_CALLS = 2000;
const ORDER = shuffled(MILLION);

/** Map `length` bytes of the buffer from `offset` on wherever there is room, and unmap them. */
function autoMap({ program, ioas }: World, offset: number, length: number): boolean {
  return program.unmap(ioas, program.mapBytes(ioas, offset, length, ANYWHERE), length) === length;
}
function autoMaps(offset: number, length: number): () => number {
  return () => {
    let done = 0;
    for (let n = 0; n < AUTO_CALLS; n++) if (autoMap(full(), offset, length)) done++;
    return done;
  };
}
const auto = {
  aimNs: 10_000,
  ops: AUTO_CALLS,
  setup: () => void full(),
  verify: isCount(AUTO_CALLS),
};

const allocation: Benchmark[] = [
  {
    ...auto,
    id: 'auto-small',
    title: 'automatic MAP + UNMAP, 1 M held: every hole is too small',
    run: autoMaps(0, 4 * PAGE),
  },
  {
    ...auto,
    id: 'auto-misaligned',
    title: 'the same: every hole is large enough, at the wrong alignment',
    run: autoMaps(0, 2 * PAGE),
  },
  {
    ...auto,
    id: 'auto-offset',
    title: 'the same: every hole lacks half a page behind the offset of the buffer',
    run: autoMaps(0x800, 2 * PAGE),
  },
  {
    ...auto,
    id: 'auto-ten',
    title: 'the same: ten alignments in turn, 4 KiB to 2 MiB',
    run() {
      let done = 0;
      for (let n = 0; n < AUTO_CALLS; n++) if (autoMap(full(), 0, PAGE << (n % 10))) done++;
      return done;
    },
  },
  {
    ...auto,
    id: 'auto-anywhere',
    title: 'the same: one hole fits, anywhere; half of the pairs are UNMAP + fixed MAP around it',
    ops: 2 * AUTO_CALLS,
    run() {
      const world = full();
      const { program, ioas } = world;
      let done = 0;
      for (let n = 0; n < AUTO_CALLS; n++) {
        const nth = ORDER[n]!;
        program.unmap(ioas, startOfNth(nth), 2 * PAGE);
        const found = program.map(ioas, 0, 2, ANYWHERE);
        if (found === startOfNth(nth) - PAGE) done++;
        program.unmap(ioas, found, 2 * PAGE);
        mapNth(world, nth);
      }
      return done;
    },
  },
  {
    id: 'bytes',
    title: 'bytes of memory per mapping, 1 M mappings',
    aim: 1,
    reference: 160,
    ops: 1,
    run: () => 0,
    figure: () => full().bytes,
  },
];

const VALUES = later(() => Array.from({ length: MILLION }, (_, n) => ({ n })));
/** In the order of inserting: whoever inserts a mapping has just made it. */
const SHUFFLED_VALUES = later(() => Array.from(ORDER, (n) => VALUES()[n]!));
const ASCENDING = Int32Array.from({ length: MILLION }, (_, n) => n);
let map = new IntervalMap<{ n: number }>();

/** Ranges of four bytes every eight bytes, from 4 GiB on: as in areas.c. */
function insertAll(order: Int32Array, values: readonly { n: number }[]): number {
  let done = 0;
  for (let n = 0; n < MILLION; n++) {
    const key = order[n]!;
    if (map.insert(1, key * 8, 1, key * 8 + 3, values[n]!)) done++;
  }
  return done;
}
function empty(): void {
  SHUFFLED_VALUES();
  map = new IntervalMap();
}
const million = { ops: MILLION, rounds: 3, series: 'interval map', verify: isCount(MILLION) };

const intervalMap: Benchmark[] = [
  {
    ...million,
    id: 'insert-seq',
    title: 'interval map, 1 M ranges: insert, ascending',
    setup: empty,
    run: () => insertAll(ASCENDING, VALUES()),
  },
  {
    ...million,
    id: 'insert-random',
    title: 'interval map, 1 M ranges: insert, random',
    aim: 3,
    setup: empty,
    run: () => insertAll(ORDER, SHUFFLED_VALUES()),
  },
  {
    ...million,
    id: 'find-random',
    title: 'interval map, 1 M ranges: find, random',
    aim: 2,
    run() {
      // As in C, what is found is compared and not looked into.
      const values = SHUFFLED_VALUES();
      let found = 0;
      for (let n = 0; n < MILLION; n++) {
        if (map.find(1, ORDER[n]! * 8 + 2) === values[n]) found++;
      }
      return found;
    },
  },
  {
    ...million,
    id: 'erase-random',
    title: 'interval map, 1 M ranges: erase, random',
    aim: 3,
    run() {
      const values = SHUFFLED_VALUES();
      let erased = 0;
      for (let n = 0; n < MILLION; n++) if (map.erase(1, ORDER[n]! * 8) === values[n]) erased++;
      return erased;
    },
  },
];

export const benchmarks: Benchmark[] = [...commands, ...intervalMap, ...allocation];
