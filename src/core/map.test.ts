/** Mapping: the tables of core.md 3.4, and both kinds of domain against a Map. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  EADDRINUSE,
  EEXIST,
  EINVAL,
  EIO,
  ENODEV,
  ENOMEM,
  ENXIO,
  EOVERFLOW,
  ERANGE,
  type Errno,
} from '../base/errno.ts';
import { newGather } from '../pt/gather.ts';
import { must, Rig } from '../../test/core/rig.ts';
import { mockPagingOf } from '../drivers/mock/paging.ts';
import {
  IOMMU_DOMAIN_BLOCKED,
  IOMMU_DOMAIN_IDENTITY,
  IOMMU_DOMAIN_UNMANAGED,
  IOMMU_READ,
  IOMMU_WRITE,
  type Domain,
  type MapProgress,
} from './domain.ts';
import { domainFree, newDomain, pagingDomainAlloc } from './domain-alloc.ts';
import { gatherPage, iotlbSync } from './iotlb.ts';
import {
  iommuMap,
  iommuMapSg,
  iommuUnmap,
  iommuUnmapFast,
  iovaToPhys,
  lookupGranule,
  mapGranules,
  unmapGranules,
} from './map.ts';

const RW = IOMMU_READ | IOMMU_WRITE;
const BACKINGS = ['pt', 'map-pages'] as const;
type Backing = (typeof BACKINGS)[number];
const K = 0x400n;
const M = 0x10_0000n;
const G = 0x4000_0000n;

interface Setup {
  readonly rig: Rig;
  readonly domain: Domain;
}
function setup(backing: Backing, knobs: Partial<Rig['mock']['domainKnobs']> = {}): Setup {
  const rig = new Rig();
  Object.assign(rig.mock.domainKnobs, { backing, ...knobs });
  return { rig, domain: must(pagingDomainAlloc(rig.a)) };
}

/** A domain that writes down how the core asks it to map: "4K×3". */
function recorder(bitmap: bigint): { domain: Domain; calls: string[] } {
  const calls: string[] = [];
  const { core } = new Rig();
  const smallest = Number(bitmap & -bitmap);
  const domain = newDomain(core, {
    kind: 'paging',
    type: IOMMU_DOMAIN_UNMANAGED,
    pgsizeBitmap: bitmap,
    ops: {
      mapPages(...args) {
        const [, , , pageG, count, , progress] = args;
        calls.push(`${sizeName(BigInt(pageG * smallest))}×${String(count)}`);
        progress.mapped = pageG * count;
        return undefined;
      },
    },
  });
  return { domain, calls };
}
function sizeName(size: bigint): string {
  if (size >= G) return `${String(size / G)}G`;
  return size >= M ? `${String(size / M)}M` : `${String(size / K)}K`;
}

describe('page sizes are chosen as the vectors say', () => {
  const S = 0x1000n | 0x20_0000n | G;
  test.for([
    [S, 0x1000n, 0x1000n, 0x3000n, '4K×3'],
    [S, 0x20_0000n, 0x40_0000n, 0x20_0000n, '2M×1'],
    [S, 0x1f_f000n, 0x3f_f000n, 0x40_2000n, '4K×1 2M×2 4K×1'],
    [S, 0x1f_f000n, 0x3f_e000n, 0x40_2000n, '4K×1026'],
    [S, 0x1f_f000n, 0x3f_f000n, 0x20_0000n, '4K×512'],
    [S, 0x20_0000n, 0x40_0000n, 0x3f_f000n, '2M×1 4K×511'],
    [S, 0n, 0x1000n, 0x40_0000n, '4K×1024'],
    [S, 0n, 0n, G, '1G×1'],
    [S, G - 2n * M, 2n * G - 2n * M, G + 4n * M, '2M×1 1G×1 2M×1'],
    [0x1000n | 0x1_0000n | 0x20_0000n, 0xf000n, 0x1_f000n, 0x3_2000n, '4K×1 64K×3 4K×1'],
  ] as const)('bitmap %x, iova %x, pa %x, size %x: %s', ([bitmap, iova, pa, size, expected]) => {
    const { domain, calls } = recorder(bitmap);
    expect(iommuMap(domain, iova, pa, size, RW)).toBeUndefined();
    expect(calls.join(' ')).toBe(expected);
  });
});

describe('map checks its arguments', () => {
  interface Row {
    readonly what: string;
    readonly backing: Backing;
    readonly call: (domain: Domain) => unknown;
    readonly errno: Errno;
    readonly warning?: string;
  }
  const rows: Row[] = [
    ...BACKINGS.map((backing): Row => ({
      what: 'a domain of a type without mappings',
      backing,
      call: (domain) => iommuMap({ ...domain, type: IOMMU_DOMAIN_BLOCKED }, M, M, 0x1000n, RW),
      errno: EINVAL,
      warning: 'map-bad-args',
    })),
    {
      what: 'a domain without page sizes',
      backing: 'map-pages',
      call: (domain) => iommuMap({ ...domain, pgsizeBitmap: 0n }, M, M, 0x1000n, RW),
      errno: EINVAL,
      warning: 'map-bad-args',
    },
    {
      what: 'a driver without map_pages',
      backing: 'map-pages',
      call: (domain) => iommuMap({ ...domain, ops: {} }, M, M, 0x1000n, RW),
      errno: ENODEV,
      warning: 'map-bad-args',
    },
    {
      what: 'iova misaligned',
      backing: 'map-pages',
      call: (d) => iommuMap(d, M + 1n, M, 0x1000n, RW),
      errno: EINVAL,
    },
    {
      what: 'pa misaligned',
      backing: 'map-pages',
      call: (d) => iommuMap(d, M, M + 1n, 0x1000n, RW),
      errno: EINVAL,
    },
    {
      what: 'size misaligned',
      backing: 'map-pages',
      call: (d) => iommuMap(d, M, M, 0x1800n, RW),
      errno: EINVAL,
    },
    {
      what: 'a page that is mapped, in a domain without a page table',
      backing: 'map-pages',
      call: (d) => iommuMap(d, M, M, 0x1000n, RW) ?? iommuMap(d, M, M, 0x1000n, RW),
      errno: EEXIST,
    },
    {
      what: 'no access',
      backing: 'pt',
      call: (d) => iommuMap(d, M, M, 0x1000n, 0),
      errno: EINVAL,
      warning: 'map-no-access',
    },
    {
      what: 'no access, before the alignment',
      backing: 'pt',
      call: (d) => iommuMap(d, M + 1n, M, 0x1000n, 0),
      errno: EINVAL,
      warning: 'map-no-access',
    },
    {
      what: 'pa beyond the output',
      backing: 'pt',
      call: (d) => iommuMap(d, M, 1n << 51n, 0x1000n, RW),
      errno: ERANGE,
    },
    {
      what: 'pa beyond the output, before the alignment',
      backing: 'pt',
      call: (d) => iommuMap(d, M + 1n, 1n << 51n, 0x1000n, RW),
      errno: ERANGE,
    },
    {
      what: 'nothing to map',
      backing: 'pt',
      call: (d) => iommuMap(d, M, M, 0n, RW),
      errno: EINVAL,
    },
    {
      what: 'nothing to map, misaligned',
      backing: 'pt',
      call: (d) => iommuMap(d, M + 1n, M, 0n, RW),
      errno: EINVAL,
    },
    {
      what: 'a range that wraps',
      backing: 'pt',
      call: (d) => iommuMap(d, 0xffff_ffff_ffff_f800n, M, 0x1000n, RW),
      errno: EOVERFLOW,
    },
    {
      what: 'a range that wraps, misaligned',
      backing: 'pt',
      call: (d) => iommuMap(d, 0xffff_ffff_ffff_f801n, M, 0x1000n, RW),
      errno: EOVERFLOW,
    },
    {
      what: 'iova below the granule',
      backing: 'pt',
      call: (d) => iommuMap(d, M + 1n, M, 0x1000n, RW),
      errno: ENXIO,
    },
    {
      what: 'a tail below the granule',
      backing: 'pt',
      call: (d) => iommuMap(d, M, M, 0x1801n, RW),
      errno: ENXIO,
    },
    {
      what: 'a range outside of the table',
      backing: 'pt',
      call: (d) => iommuMap(d, 1n << 38n, M, 0x1000n, RW),
      errno: ERANGE,
    },
    {
      what: 'a page that is mapped',
      backing: 'pt',
      call: (d) => iommuMap(d, M, M, 0x1000n, RW) ?? iommuMap(d, M, M, 0x1000n, RW),
      errno: EADDRINUSE,
    },
  ];
  test.for(rows)('$backing: $what is $errno.name', ({ backing, call, errno, warning }) => {
    const { rig, domain } = setup(backing);
    expect(call(domain)).toBe(errno);
    expect(rig.warnings).toEqual(warning ? [warning] : []);
  });

  test('the warning about a domain without mappings comes once', () => {
    const { rig, domain } = setup('pt');
    const blocked = { ...domain, type: IOMMU_DOMAIN_BLOCKED };
    expect(iommuMap(blocked, M, M, 0x1000n, RW)).toBe(EINVAL);
    expect(iommuMap(blocked, M, M, 0x1000n, RW)).toBe(EINVAL);
    expect(rig.warnings).toEqual(['map-bad-args']);
  });

  test('mapping nothing in a domain without a page table calls the sync only', () => {
    const { domain, calls } = recorder(0x1000n);
    let synced = 0;
    domain.ops.iotlbSyncMap = () => {
      synced++;
      return undefined;
    };
    expect(iommuMap(domain, M, M, 0n, RW)).toBeUndefined();
    expect([calls, synced]).toEqual([[], 1]);
  });
});

describe('a failed map leaves the domain as it was', () => {
  test('after some pages', () => {
    const { domain } = setup('map-pages', { mapFailure: { afterPages: 2, errno: ENOMEM } });
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x4000n, RW)).toBe(ENOMEM);
    expect(mockPagingOf(domain).pages?.size).toBe(0);
  });
  test('when the next page is taken', () => {
    const { domain } = setup('pt');
    expect(iommuMap(domain, 0x110_3000n, 0x9000n, 0x1000n, RW)).toBeUndefined();
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x4000n, RW)).toBe(EADDRINUSE);
    expect(iovaToPhys(domain, 0x110_0000n)).toBe(0n);
    expect(iovaToPhys(domain, 0x110_2000n)).toBe(0n);
    expect(iovaToPhys(domain, 0x110_3abcn)).toBe(0x9abcn);
  });
  test.for(BACKINGS)('%s: when the sync fails, with the errno of the sync', (backing) => {
    const { domain } = setup(backing, { syncMapFailure: EIO });
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x4000n, RW)).toBe(EIO);
    expect(iovaToPhys(domain, 0x110_0000n)).toBe(0n);
    expect(lookupGranule(domain, 0x1100)).toBe(-1);
  });
  test('map_pages that succeeds without mapping is a bug of the driver', () => {
    const { domain } = recorder(0x1000n);
    domain.ops.mapPages = () => undefined;
    expect(() => iommuMap(domain, M, M, 0x1000n, RW)).toThrow('without mapping');
  });
});

describe('unmap', () => {
  test.for(BACKINGS)('%s: stops at a hole and says how far it came', (backing) => {
    const { domain } = setup(backing);
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x2000n, RW)).toBeUndefined();
    expect(iommuMap(domain, 0x110_3000n, 0x5000n, 0x1000n, RW)).toBeUndefined();
    expect(iommuUnmap(domain, 0x110_0000n, 0x4000n)).toBe(0x2000n);
    expect(iovaToPhys(domain, 0x110_3000n)).toBe(0x5000n);
  });
  test.for(BACKINGS)('%s: removes a larger leaf whole, and says so', (backing) => {
    const { domain } = setup(backing);
    const at = 0x120_0000n;
    expect(iommuMap(domain, at, 0x20_0000n, 0x20_0000n, RW)).toBeUndefined();
    expect(iommuUnmap(domain, at, 0x1000n)).toBe(0x20_0000n);
    expect(iovaToPhys(domain, at + 0x10_0000n)).toBe(0n);
  });
  test.for(BACKINGS)('%s: a misaligned range removes nothing', (backing) => {
    const { domain } = setup(backing);
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x2000n, RW)).toBeUndefined();
    expect(iommuUnmap(domain, 0x110_0000n, 0x1001n)).toBe(0n);
    expect(iommuUnmap(domain, 0x110_0001n, 0x1000n)).toBe(0n);
    expect(iovaToPhys(domain, 0x110_0000n)).toBe(0x5000n);
  });
  test.for(BACKINGS)('%s: syncs once, and not at all for nothing', (backing) => {
    const { domain } = setup(backing);
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x4000n, RW)).toBeUndefined();
    expect(iommuUnmap(domain, 0x110_0000n, 0x4000n)).toBe(0x4000n);
    expect(mockPagingOf(domain).syncs).toBe(1);
    expect(iommuUnmap(domain, 0x110_0000n, 0x4000n)).toBe(0n);
    expect(mockPagingOf(domain).syncs).toBe(1);
  });
  test.for(BACKINGS)('%s: the fast form leaves the sync to the caller', (backing) => {
    const { domain } = setup(backing);
    const gather = newGather();
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x4000n, RW)).toBeUndefined();
    expect(iommuUnmapFast(domain, 0x110_0000n, 0x4000n, gather)).toBe(0x4000n);
    expect(mockPagingOf(domain).syncs).toBe(0);
    iotlbSync(domain, gather);
    expect(mockPagingOf(domain).syncs).toBe(1);
    expect(gather.freelist).toEqual([]);
  });
  test('tables are given back after the sync, not before', () => {
    const { rig, domain } = setup('pt');
    const { ram } = rig.core;
    // One lowest table full of small pages, because the target is not aligned.
    expect(iommuMap(domain, 0x4000_0000n, 0x1000n, M, RW)).toBeUndefined();
    const before = ram.used;
    const gather = newGather();
    expect(iommuUnmapFast(domain, 0x4000_0000n, M, gather)).toBe(M);
    expect([ram.used, gather.freelist.length > 0]).toEqual([before, true]);
    iotlbSync(domain, gather);
    expect(ram.used).toBeLessThan(before);
    expect(gather.freelist).toEqual([]);
  });
  test('a driver that gathers nothing still gets its sync over the whole range', () => {
    const { domain } = recorder(0x1000n);
    const ranges: number[][] = [];
    domain.ops.unmapPages = (...[, , pageG, count]) => pageG * count;
    domain.ops.iotlbSync = (_domain, { start, end }) => ranges.push([start, end]);
    expect(iommuUnmap(domain, 0x5000n, 0x3000n)).toBe(0x3000n);
    expect(ranges).toEqual([[5, 7]]);
  });
  test('a domain without mappings unmaps nothing, with a warning', () => {
    const { rig, domain } = setup('pt');
    expect(iommuUnmap({ ...domain, type: IOMMU_DOMAIN_IDENTITY }, M, 0x1000n)).toBe(0n);
    expect(unmapGranules({ ...domain, type: IOMMU_DOMAIN_IDENTITY }, 512, 2)).toBe(0);
    expect(rig.warnings).toEqual(['map-bad-args', 'map-bad-args']);
  });
});

describe('the gather', () => {
  test('pages of another size, and pages apart, are synced first', () => {
    const { domain } = recorder(0x1000n | 0x20_0000n);
    const ranges: number[][] = [];
    domain.ops.iotlbSync = (_domain, { start, end, pgsize }) => ranges.push([start, end, pgsize]);
    const gather = newGather();
    gatherPage(domain, gather, 16, 1);
    gatherPage(domain, gather, 17, 1);
    expect(ranges).toEqual([]);
    gatherPage(domain, gather, 512, 512);
    expect(ranges).toEqual([[16, 17, 0x1000]]);
    gatherPage(domain, gather, 2048, 512);
    expect(ranges).toEqual([
      [16, 17, 0x1000],
      [512, 1023, 0x20_0000],
    ]);
  });
});

describe('map_sg', () => {
  test.for(BACKINGS)('%s: entries follow each other at the IOVA', (backing) => {
    const { domain } = setup(backing);
    const sg = [
      { pa: 0x5000n, length: 0x1000n },
      { pa: 0x6000n, length: 0x1000n },
      { pa: 0x9000n, length: 0x2000n },
      { pa: 0n, length: 0x1000n, busAddress: 0xfe00_0000n },
    ];
    expect(iommuMapSg(domain, 0x110_0000n, sg, RW)).toBe(0x4000n);
    expect(iovaToPhys(domain, 0x110_1000n)).toBe(0x6000n);
    expect(iovaToPhys(domain, 0x110_3000n)).toBe(0xa000n);
    expect(iovaToPhys(domain, 0x110_4000n)).toBe(0n);
  });
  test('neighbours in memory are one mapping', () => {
    const { domain, calls } = recorder(0x1000n);
    const sg = [
      { pa: 0x5000n, length: 0x1000n },
      { pa: 0x6000n, length: 0x1000n },
      { pa: 0x9000n, length: 0x1000n },
    ];
    expect(iommuMapSg(domain, 0n, sg, RW)).toBe(0x3000n);
    expect(calls).toEqual(['4K×2', '4K×1']);
  });
  test('an error removes what was done and is returned', () => {
    const { domain } = setup('pt');
    const sg = [
      { pa: 0x5000n, length: 0x1000n },
      { pa: 0x9000n, length: 0x801n },
    ];
    expect(iommuMapSg(domain, 0x110_0000n, sg, RW)).toBe(ENXIO);
    expect(iovaToPhys(domain, 0x110_0000n)).toBe(0n);
  });
  test('an error of the sync too', () => {
    const { domain } = setup('pt', { syncMapFailure: EIO });
    expect(iommuMapSg(domain, 0x110_0000n, [{ pa: 0x5000n, length: 0x1000n }], RW)).toBe(EIO);
    expect(iovaToPhys(domain, 0x110_0000n)).toBe(0n);
  });
  test('a domain without mappings refuses', () => {
    const { domain } = setup('pt');
    const blocked = { ...domain, type: IOMMU_DOMAIN_BLOCKED };
    expect(iommuMapSg(blocked, 0n, [{ pa: 0n, length: 0x1000n }], RW)).toBe(EINVAL);
  });
});

describe('iova_to_phys', () => {
  test('identity answers its question, blocked answers 0', () => {
    const { domain } = setup('pt');
    expect(iovaToPhys({ ...domain, type: IOMMU_DOMAIN_IDENTITY }, 0x1234n)).toBe(0x1234n);
    expect(iovaToPhys({ ...domain, type: IOMMU_DOMAIN_BLOCKED }, 0x1234n)).toBe(0n);
  });
  test.for(BACKINGS)('%s: a granule at physical 0 is told from a hole by lookup', (backing) => {
    const { domain } = setup(backing);
    expect(iommuMap(domain, 0x110_0000n, 0n, 0x1000n, RW)).toBeUndefined();
    expect(iovaToPhys(domain, 0x110_0000n)).toBe(0n);
    const lg2 = backing === 'pt' ? 11n : 12n;
    expect(lookupGranule(domain, Number(0x110_0000n >> lg2))).toBe(0);
    expect(lookupGranule(domain, Number(0x111_0000n >> lg2))).toBe(-1);
  });
});

describe('maps and unmaps are traced', () => {
  test('with bytes, on both', () => {
    const { rig, domain } = setup('pt');
    const seen: unknown[] = [];
    rig.core.env.trace.listen(({ event }) => {
      if (event.kind === 'map' || event.kind === 'unmap')
        seen.push([event.kind, event.iova, event.length]);
    });
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x1000n, RW)).toBeUndefined();
    expect(iommuUnmap(domain, 0x110_0000n, 0x1000n)).toBe(0x1000n);
    expect(seen).toEqual([
      ['map', 0x110_0000n, 0x1000n],
      ['unmap', 0x110_0000n, 0x1000n],
    ]);
  });
});

// A model: each map call is remembered whole; unmapping its exact range removes it, and nothing else is ever unmapped.
describe.for(BACKINGS)('%s behaves as a Map of granules', (backing) => {
  const PAGES = 64;
  const command = fc.record({
    map: fc.boolean(),
    at: fc.nat(PAGES - 1),
    length: fc.integer({ min: 1, max: 24 }),
    to: fc.nat(255),
  });
  test('after any sequence of maps and unmaps', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
        const { rig, domain } = setup(backing);
        const perPage = backing === 'pt' ? 2 : 1;
        const base = 0x1100 * perPage;
        const model = new Map<number, number>();
        const calls = new Map<number, number>();
        for (const { map, at, length, to } of commands) {
          const range = Array.from({ length }, (_, n) => at + n);
          if (map) {
            const rc = mapGranules(domain, base + at * perPage, to * perPage, length * perPage, RW);
            const taken = range.some((page) => model.has(page));
            expect(rc).toBe(taken ? (backing === 'pt' ? EADDRINUSE : EEXIST) : undefined);
            if (taken) continue;
            range.forEach((page, n) => model.set(page, to + n));
            calls.set(at, length);
          } else if (calls.has(at)) {
            const mapped = calls.get(at)!;
            expect(unmapGranules(domain, base + at * perPage, mapped * perPage)).toBe(
              mapped * perPage,
            );
            for (let page = at; page < at + mapped; page++) model.delete(page);
            calls.delete(at);
          }
        }
        for (let page = 0; page < PAGES + 24; page++) {
          const expected = model.get(page);
          const found = lookupGranule(domain, base + page * perPage);
          expect(found).toBe(expected === undefined ? -1 : expected * perPage);
        }
        const used = rig.core.ram.used;
        domainFree(domain);
        expect(rig.core.ram.used).toBeLessThanOrEqual(used);
      }),
      { numRuns: 200 },
    );
  });
});

// Progress is the driver's word, also on error.
test('what a driver mapped before it failed is unmapped in full', () => {
  const { domain } = recorder(0x1000n | 0x20_0000n);
  const removed: number[] = [];
  let calls = 0;
  domain.ops.mapPages = (...args) => {
    const progress: MapProgress = args[6];
    progress.mapped = calls === 0 ? args[3] * args[4] : 3;
    return calls++ === 0 ? undefined : EIO;
  };
  domain.ops.unmapPages = (...[, iovaG, pageG, count]) => {
    removed.push(iovaG, pageG * count);
    return pageG * count;
  };
  expect(iommuMap(domain, 0x20_0000n, 0x40_0000n, 0x20_8000n, RW)).toBe(EIO);
  expect(removed).toEqual([512, 512, 1024, 3]);
});
