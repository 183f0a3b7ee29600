/** Unmapping, the gather, and both kinds of domain against a Map (core.md 3.4, 3.5). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BACKINGS, M, recorder, RW, setup } from '../../testing/core/mapping.ts';
import { EADDRINUSE, EEXIST, EIO } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { newGather } from '../../pt/gather.ts';
import { mockPagingOf } from '../../drivers/mock/paging.ts';
import { IOMMU_DOMAIN_IDENTITY } from '../contract/domain.ts';
import { domainFree } from './domain-alloc.ts';
import { gatherPage, iotlbSync } from './iotlb.ts';
import {
  iommuMap,
  iommuUnmap,
  iommuUnmapFast,
  iovaToPhys,
  lookupGranule,
  mapGranules,
  unmapGranules,
} from './map.ts';

describe('unmap', () => {
  test.for(BACKINGS)('%s: an unmap stops at a hole and says how far it came', (backing) => {
    const { domain } = setup(backing);
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x2000n, RW)).toBeUndefined();
    expect(iommuMap(domain, 0x110_3000n, 0x5000n, 0x1000n, RW)).toBeUndefined();
    expect(iommuUnmap(domain, 0x110_0000n, 0x4000n)).toBe(0x2000n);
    expect(iovaToPhys(domain, 0x110_3000n)).toBe(0x5000n);
  });
  test.for(BACKINGS)('%s: an unmap removes a larger leaf whole, and says so', (backing) => {
    const { domain } = setup(backing);
    const at = 0x120_0000n;
    expect(iommuMap(domain, at, 0x20_0000n, 0x20_0000n, RW)).toBeUndefined();
    expect(iommuUnmap(domain, at, 0x1000n)).toBe(0x20_0000n);
    expect(iovaToPhys(domain, at + 0x10_0000n)).toBe(0n);
  });
  test.for(BACKINGS)('%s: an unmap of a misaligned range removes nothing', (backing) => {
    const { domain } = setup(backing);
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x2000n, RW)).toBeUndefined();
    expect(iommuUnmap(domain, 0x110_0000n, 0x1001n)).toBe(0n);
    expect(iommuUnmap(domain, 0x110_0001n, 0x1000n)).toBe(0n);
    expect(iovaToPhys(domain, 0x110_0000n)).toBe(0x5000n);
  });
});

describe('the sync after an unmap', () => {
  test.for(BACKINGS)('%s: an unmap syncs once, and not at all for nothing', (backing) => {
    const { domain } = setup(backing);
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x4000n, RW)).toBeUndefined();
    expect(iommuUnmap(domain, 0x110_0000n, 0x4000n)).toBe(0x4000n);
    expect(mockPagingOf(domain).syncs).toBe(1);
    expect(iommuUnmap(domain, 0x110_0000n, 0x4000n)).toBe(0n);
    expect(mockPagingOf(domain).syncs).toBe(1);
  });
  test.for(BACKINGS)('%s: the fast form of an unmap leaves the sync to the caller', (backing) => {
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

// A model: each map call is remembered whole; unmapping its exact range removes it, and nothing else is ever unmapped.
const TAKEN = { pt: EADDRINUSE, 'map-pages': EEXIST };

describe.for(BACKINGS)('%s behaves as a Map of granules', (backing) => {
  const PAGES = 64;
  const command = fc.record({
    map: fc.boolean(),
    at: fc.nat(PAGES - 1),
    length: fc.integer({ min: 1, max: 24 }),
    to: fc.nat(255),
  });
  test('after any sequence of maps and unmaps a domain is what a Map of granules is', () => {
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
            const rc = mapGranules(domain, {
              iovaG: base + at * perPage,
              paG: to * perPage,
              lengthG: length * perPage,
              prot: RW,
            });
            const taken = range.some((page) => model.has(page));
            expect(rc).toBe(taken ? TAKEN[backing] : undefined);
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
  domain.ops.mapPages = (_domain, { pageG, count }, progress) => {
    progress.mapped = calls === 0 ? pageG * count : 3;
    return calls++ === 0 ? undefined : refuse(EIO, 'the third page of the second call');
  };
  domain.ops.unmapPages = (...[, iovaG, pageG, count]) => {
    removed.push(iovaG, pageG * count);
    return pageG * count;
  };
  expect(iommuMap(domain, 0x20_0000n, 0x40_0000n, 0x20_8000n, RW)).toBe(EIO);
  expect(removed).toEqual([512, 512, 1024, 3]);
});
