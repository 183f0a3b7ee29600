/**
 * Mappings of an IOAS: the interval map below them against C (bench/c/areas.c), and whole commands against what
 * Linux 6.12 was measured to need on comparable hardware. The trap is not part of any figure.
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

const ORDER = shuffled(MILLION);
const VALUES = Array.from({ length: MILLION }, (_, n) => ({ n }));
let map = new IntervalMap<{ n: number }>();

/** Ranges of four bytes every eight bytes, from 4 GiB on: as in areas.c. */
function insert(n: number): boolean {
  return map.insert(1, n * 8, 1, n * 8 + 3, VALUES[n]!);
}
function insertAll(order: Int32Array | undefined): number {
  let done = 0;
  for (let n = 0; n < MILLION; n++) if (insert(order ? order[n]! : n)) done++;
  return done;
}
function fill(): void {
  map = new IntervalMap();
  insertAll(ORDER);
}
function isAll(count: number): void {
  if (count !== MILLION) throw new Error(`${String(count)} ranges`);
}

const intervalMap: Benchmark[] = [
  {
    id: 'insert-seq',
    title: 'interval map, 1 M ranges: insert, ascending',
    ops: MILLION,
    rounds: 5,
    setup: () => void (map = new IntervalMap()),
    run: () => insertAll(undefined),
    verify: isAll,
  },
  {
    id: 'insert-random',
    title: 'interval map, 1 M ranges: insert, random',
    aim: 3,
    ops: MILLION,
    rounds: 5,
    setup: () => void (map = new IntervalMap()),
    run: () => insertAll(ORDER),
    verify: isAll,
  },
  {
    id: 'find-random',
    title: 'interval map, 1 M ranges: find, random',
    aim: 2,
    ops: MILLION,
    rounds: 5,
    run() {
      let found = 0;
      for (let n = 0; n < MILLION; n++) {
        const key = ORDER[n]!;
        if (map.find(1, key * 8 + 2)!.n === key) found++;
      }
      return found;
    },
    verify: isAll,
  },
  {
    id: 'erase-random',
    title: 'interval map, 1 M ranges: erase, random',
    aim: 3,
    ops: MILLION,
    rounds: 5,
    setup: fill,
    run() {
      let sum = 0;
      for (let n = 0; n < MILLION; n++) if (map.erase(1, ORDER[n]! * 8).n === ORDER[n]) sum++;
      return sum;
    },
    verify: isAll,
  },
];

/** Map and unmap one page, again and again, beside `held` other mappings. */
function mapUnmap(program: IommufdProgram, ioas: number, held: number): () => number {
  for (let n = 0; n < held; n++) program.map(ioas, n & 511, 1, BASE + n * PAGE);
  return () => {
    let bytes = 0;
    for (let n = 0; n < CALLS; n++) {
      const at = BASE + (held + (n & 255)) * PAGE;
      program.map(ioas, n & 511, 1, at);
      bytes += program.unmap(ioas, at, PAGE);
    }
    return bytes;
  };
}
function isCalls(bytes: number): void {
  if (bytes !== CALLS * PAGE) throw new Error(`${String(bytes)} bytes unmapped`);
}

function newIoas(withDomain: boolean): { program: IommufdProgram; ioas: number } {
  const program = new IommufdProgram();
  const ioas = program.ioasAlloc();
  if (withDomain) program.attachDevice(ioas);
  return { program, ioas };
}
function repeated(withDomain: boolean, held: number): () => number {
  let run: (() => number) | undefined;
  return () => {
    const { program, ioas } = newIoas(withDomain);
    run ??= mapUnmap(program, ioas, held);
    return run();
  };
}

/** One program that maps HELD pages and unmaps them again. */
function manyMappings() {
  const { program, ioas } = newIoas(false);
  return {
    mapAll(): number {
      for (let n = 0; n < HELD; n++) program.map(ioas, n & 511, 1, BASE + n * 2 * PAGE);
      return HELD;
    },
    unmapEach(): number {
      let bytes = 0;
      for (let n = 0; n < HELD; n++) bytes += program.unmap(ioas, BASE + n * 2 * PAGE, PAGE);
      return bytes / PAGE;
    },
    unmapAll: () => program.unmapAll(ioas) / PAGE,
  };
}
const many = manyMappings();
function isHeld(count: number): void {
  if (count !== HELD) throw new Error(`${String(count)} mappings`);
}

const commands: Benchmark[] = [
  {
    id: 'map-unmap',
    title: 'IOAS_MAP + IOAS_UNMAP of 4 KiB, no domain',
    aim: 2,
    reference: 345,
    ops: CALLS,
    run: repeated(false, 0),
    verify: isCalls,
  },
  {
    id: 'map-unmap-domain',
    title: 'IOAS_MAP + IOAS_UNMAP of 4 KiB, one domain',
    aim: 2,
    reference: 2200,
    ops: CALLS,
    run: repeated(true, 0),
    verify: isCalls,
  },
  {
    id: 'map-100k',
    title: 'IOAS_MAP of 4 KiB, 0 to 100 k mappings held',
    aim: 2,
    reference: 500,
    ops: HELD,
    setup: () => void many.unmapAll(),
    run: many.mapAll,
    verify: isHeld,
  },
  {
    id: 'unmap-100k',
    title: 'IOAS_UNMAP of 4 KiB, 100 k to 0 mappings held',
    aim: 2,
    reference: 270,
    ops: HELD,
    setup() {
      many.unmapAll();
      many.mapAll();
    },
    run: many.unmapEach,
    verify: isHeld,
  },
];

let full: { program: IommufdProgram; ioas: number } | undefined;
/** An IOAS that holds a million mappings the allocation placed, nothing free between them. */
function million(): { program: IommufdProgram; ioas: number } {
  if (!full) {
    full = newIoas(false);
    for (let n = 0; n < MILLION; n++) full.program.map(full.ioas, n & 511, 1, -1);
  }
  return full;
}
const AUTO_CALLS = 2000;

const allocation: Benchmark[] = [
  {
    id: 'auto-1m',
    title: 'IOAS_MAP where there is room + IOAS_UNMAP, 1 M held',
    aim: 1,
    reference: 10_000,
    ops: AUTO_CALLS,
    run() {
      const { program, ioas } = million();
      let bytes = 0;
      for (let n = 0; n < AUTO_CALLS; n++) {
        bytes += program.unmap(ioas, program.map(ioas, n & 511, 1, -1), PAGE);
      }
      return bytes / PAGE;
    },
    verify(count) {
      if (count !== AUTO_CALLS) throw new Error(`${String(count)} unmapped`);
    },
  },
  {
    id: 'auto-holes',
    title: 'the same, beside 1 M holes of the right size at the wrong alignment',
    aim: 1,
    reference: 10_000,
    ops: AUTO_CALLS,
    run: holes(),
    verify(count) {
      if (count !== AUTO_CALLS) throw new Error(`${String(count)} unmapped`);
    },
  },
  {
    id: 'bytes',
    title: 'bytes of memory per mapping, 1 M mappings',
    aim: 1,
    reference: 400,
    ops: 1,
    rounds: 1,
    run: () => 0,
    figure: bytesPerMapping,
  },
];

/** Pages two apart, one off: every hole has two pages' room, none an aligned pair. */
function holes(): () => number {
  let world: { program: IommufdProgram; ioas: number } | undefined;
  return () => {
    if (!world) {
      world = newIoas(false);
      const { program, ioas } = world;
      for (let n = 0; n < MILLION; n++) program.map(ioas, n & 511, 1, (n * 3 + 2) * PAGE);
    }
    const { program, ioas } = world;
    let bytes = 0;
    for (let n = 0; n < AUTO_CALLS; n++) {
      bytes += program.unmap(ioas, program.map(ioas, 0, 2, -1), 2 * PAGE);
    }
    return bytes / (2 * PAGE);
  };
}

function heapBytes(): number {
  globalThis.gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  void arrayBuffers;
  return heapUsed + external;
}
function bytesPerMapping(): number {
  const { program, ioas } = newIoas(false);
  const before = heapBytes();
  for (let n = 0; n < MILLION; n++) program.map(ioas, n & 511, 1, BASE + n * PAGE);
  return (heapBytes() - before) / MILLION;
}

export const benchmarks: Benchmark[] = [...intervalMap, ...commands, ...allocation];
