/** The DMA API's setting up: allocator, reserved ranges, flush queue (core.md 10.3). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GIB, newDma, TestTlb } from '../../testing/core/dma-rig.ts';
import { must } from '../../testing/base/must.ts';
import { EINVAL } from '../../base/errno.ts';
import { dmaCookieOf } from './cookies.ts';
import type { DeviceConfig } from '../contract/device.ts';
import { dmaInitFq, setupDmaOps } from './dma-iommu.ts';
import { DMA_TO_DEVICE, dmaMap, dmaUnmap } from './dma-map.ts';
import { IOMMU_DOMAIN_DMA, IOMMU_DOMAIN_DMA_FQ } from '../contract/domain.ts';
import { domainFree, pagingDomainAlloc, reducePageSizes } from '../map/domain-alloc.ts';
import { IOMMU_CAP_DEFERRED_FLUSH } from '../contract/driver.ts';
import { FQ_SIZE } from './flush-queue.ts';
import { iommuMap, iovaToPhys } from '../map/map.ts';
import {
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_RESERVED,
  IOMMU_RESV_SW_MSI,
} from '../contract/resv-region.ts';

const PAGE = 4096n;
const MS = 1_000_000;
const LAZY = { traits: [], knobs: { capabilities: [IOMMU_CAP_DEFERRED_FLUSH] } } as const;

describe('a domain is prepared for its first device', () => {
  test('IOVA 0 is never given out, nor what lies below the aperture', () => {
    const zero = newDma({
      config: { dmaMask: 0x3fffn },
      domainKnobs: { aperture: { start: 0n, end: GIB } },
    });
    const all = Array.from({ length: 4 }, () => dmaMap(zero.dev, 0n, PAGE, DMA_TO_DEVICE));
    expect(all.slice(0, 3)).toEqual([0x3000n, 0x2000n, 0x1000n]);
    expect(all[3]).toBe(0xffff_ffff_ffff_ffffn);
    const above = newDma({ config: { dmaMask: 0x10_0fffn } });
    expect(dmaMap(above.dev, 0n, PAGE, DMA_TO_DEVICE)).toBe(0x10_0000n);
    expect(dmaMap(above.dev, 0n, PAGE, DMA_TO_DEVICE)).toBe(0xffff_ffff_ffff_ffffn);
  });
  test('a device that cannot reach the aperture does without', () => {
    const { core, dev } = newDma({ config: { dmaRange: { start: 0n, last: 0xffffn } } });
    expect(dev.dmaIommu).toBe(false);
    expect(core.env.warnings).toEqual([]);
  });
  test('a domain without an allocator serves nobody', () => {
    const { dev, domain } = newDma();
    domain.cookie = { kind: 'none' };
    setupDmaOps(dev);
    expect(dev.dmaIommu).toBe(false);
    expect(dmaInitFq(domain)).toBe(EINVAL);
  });
  test('a later device must agree on granule and start', () => {
    const { dev, domain, ...rig } = newDma();
    expect(rig.add('B').dmaIommu).toBe(true);
    reducePageSizes(domain, 0x20_0000n);
    setupDmaOps(dev);
    expect(dev.dmaIommu).toBe(false);
  });
  test('an identity or unmanaged default domain is none of its business', () => {
    const { dev, domain } = newDma();
    domain.type = 1;
    setupDmaOps(dev);
    expect(dev.dmaIommu).toBe(false);
  });
});

describe('some ranges are kept free', () => {
  const top = (
    config: Partial<DeviceConfig>,
    regions: { start: bigint; length: bigint; type: number }[],
  ) => {
    const { dev } = newDma({
      config: { dmaMask: 0xffff_ffffn, ...config },
      knobs: { resvRegions: regions.map((region) => ({ prot: 0, ...region })) },
    });
    return dmaMap(dev, 0n, PAGE, DMA_TO_DEVICE);
  };
  const last = { start: 0xffff_f000n, length: PAGE };
  test.for([
    ['nothing reserved', {}, [], 0xffff_f000n],
    ['a reserved region', {}, [{ ...last, type: IOMMU_RESV_RESERVED }], 0xffff_e000n],
    ['a hardware MSI region', {}, [{ ...last, type: IOMMU_RESV_MSI }], 0xffff_e000n],
    ['a direct region', {}, [{ ...last, type: IOMMU_RESV_DIRECT_RELAXABLE }], 0xffff_e000n],
    [
      'software MSIs, which go where the allocator says',
      {},
      [{ ...last, type: IOMMU_RESV_SW_MSI }],
      0xffff_f000n,
    ],
    [
      'a host window',
      { hostWindows: [{ start: 0xfe00_0000n, last: 0xffff_ffffn }] },
      [],
      0xfdff_f000n,
    ],
    ['what a bridge leaves out', { dmaRange: { start: 0n, last: 0x7fff_ffffn } }, [], 0x7fff_f000n],
  ] as const)('a range is kept free: %s', ([, config, regions, expected]) => {
    expect(top(config, [...regions])).toBe(expected);
  });
});

describe('the flush queue', () => {
  test('the flush queue is used when the driver can, else the domain is strict', () => {
    expect(newDma(LAZY).domain.type).toBe(IOMMU_DOMAIN_DMA_FQ);
    expect(newDma({ traits: [] }).domain.type).toBe(IOMMU_DOMAIN_DMA);
    expect(newDma({ traits: [], domainKnobs: { backing: 'pt' } }).domain.type).toBe(
      IOMMU_DOMAIN_DMA_FQ,
    );
  });
  test('the flush queue leaves a stale translation until the timer, and none after', () => {
    const { core, dev, domain } = newDma(LAZY);
    const tlb = new TestTlb(domain);
    const at = dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE);
    expect(tlb.translate(at)).toBe(0x5000n);
    dmaUnmap(dev, at, PAGE, DMA_TO_DEVICE);
    expect(iovaToPhys(domain, at)).toBe(0n);
    core.env.clock.advance(10 * MS - 1);
    expect([tlb.translate(at), tlb.flushes, tlb.syncs]).toEqual([0x5000n, 0, 0]);
    core.env.clock.advance(1);
    expect([tlb.translate(at), tlb.flushes, tlb.syncs]).toEqual([0n, 1, 0]);
  });
  test('the flush queue gives no IOVA out again before its flush', () => {
    const { core, dev } = newDma(LAZY);
    const first = dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE);
    dmaUnmap(dev, first, PAGE, DMA_TO_DEVICE);
    expect(dmaMap(dev, 0x6000n, PAGE, DMA_TO_DEVICE)).toBe(first - PAGE);
    core.env.clock.advance(10 * MS);
    expect(dmaMap(dev, 0x7000n, PAGE, DMA_TO_DEVICE)).toBe(first);
  });
  test('the flush queue flushes when the ring is full, and goes on', () => {
    const { dev, domain } = newDma(LAZY);
    const tlb = new TestTlb(domain);
    for (let n = 0; n < FQ_SIZE.perCpu - 1; n++) {
      dmaUnmap(dev, dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE), PAGE, DMA_TO_DEVICE);
    }
    expect(tlb.flushes).toBe(0);
    dmaUnmap(dev, dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE), PAGE, DMA_TO_DEVICE);
    expect([tlb.flushes, dmaCookieOf(domain)?.fq?.length]).toEqual([1, 1]);
  });
});

describe('the life of a flush queue', () => {
  test('a flush queue holds page-table pages until the flush', () => {
    const { core, dev } = newDma({
      ...LAZY,
      domainKnobs: { backing: 'pt', aperture: { start: 0n, end: GIB - 1n } },
    });
    const before = core.ram.used;
    // Pages of their own for a table each: the target is not aligned.
    const at = dmaMap(dev, 0x1000n, 0x10_0000n, DMA_TO_DEVICE);
    const mapped = core.ram.used;
    expect(mapped).toBeGreaterThan(before);
    dmaUnmap(dev, at, 0x10_0000n, DMA_TO_DEVICE);
    expect(core.ram.used).toBe(mapped);
    core.env.clock.advance(10 * MS);
    expect(core.ram.used).toBeLessThan(mapped);
  });
  test('a flush queue is one long ring, flushed each second, for devices whose flush is dear', () => {
    const { dev, domain, core } = newDma();
    dev.iommu!.shadowOnFlush = true;
    domain.type = IOMMU_DOMAIN_DMA_FQ;
    dmaCookieOf(domain)!.iovad = undefined;
    dev.iommu!.iommuDev!.ops.capable = () => true;
    setupDmaOps(dev);
    const tlb = new TestTlb(domain);
    for (let n = 0; n < 1000; n++) {
      dmaUnmap(dev, dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE), PAGE, DMA_TO_DEVICE);
    }
    core.env.clock.advance(999 * MS);
    expect(tlb.flushes).toBe(0);
    core.env.clock.advance(MS);
    expect(tlb.flushes).toBe(1);
  });
  test('a flush queue can be started while the domain is in use', () => {
    const { dev, domain } = newDma();
    const tlb = new TestTlb(domain);
    const at = dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE);
    expect(tlb.translate(at)).toBe(0x5000n);
    expect(dmaInitFq(domain)).toBeUndefined();
    expect(dmaInitFq(domain)).toBeUndefined();
    dmaUnmap(dev, at, PAGE, DMA_TO_DEVICE);
    expect(tlb.translate(at)).toBe(0x5000n);
  });
  test('a flush queue ends with its domain: no timer is left', () => {
    const { core, dev, domain } = newDma(LAZY);
    dmaUnmap(dev, dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE), PAGE, DMA_TO_DEVICE);
    expect(core.env.clock.nextDeadlineNs).toBeDefined();
    if (domain.cookie.kind === 'dma-iova') domain.cookie.release?.();
    expect(core.env.clock.nextDeadlineNs).toBeUndefined();
  });
  test('a domain in use cannot be freed, one that is not can', () => {
    const { dev, domain } = newDma();
    expect(() => domainFree(domain)).toThrow('attached to it');
    const other = must(pagingDomainAlloc(dev));
    expect(iommuMap(other, 0x10_0000n, 0n, PAGE, 1)).toBeUndefined();
    domainFree(other);
  });
});

// Stale until the flush, never after; and what is mapped is always what the device sees.
test('in flush-queue mode a device never reaches what was unmapped before the last flush', () => {
  const command = fc.record({
    what: fc.constantFrom('map', 'unmap', 'wait', 'look'),
    pick: fc.nat(),
    pages: fc.integer({ min: 1, max: 40 }),
  });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const { core, dev, domain } = newDma(LAZY);
      const tlb = new TestTlb(domain);
      const live = new Map<bigint, { pa: bigint; length: bigint }>();
      let stale: { at: bigint; flushes: number }[] = [];
      let next = 1n;
      for (const { what, pick, pages } of commands) {
        if (what === 'map') {
          const length = BigInt(pages) * PAGE;
          const pa = next * 0x10_0000n;
          next++;
          const at = dmaMap(dev, pa, length, DMA_TO_DEVICE);
          live.set(at, { pa, length });
          // No address that may be stale is given out again.
          stale = stale.filter((old) => old.flushes === tlb.flushes);
          for (const old of stale) expect(old.at >= at && old.at < at + length).toBe(false);
        } else if (what === 'unmap' && live.size > 0) {
          const [at, { length }] = [...live][pick % live.size]!;
          live.delete(at);
          dmaUnmap(dev, at, length, DMA_TO_DEVICE);
          stale.push({ at, flushes: tlb.flushes });
        } else if (what === 'wait') {
          core.env.clock.advance(10 * MS);
          for (const old of stale) expect(tlb.translate(old.at)).toBe(0n);
          stale = [];
        }
        for (const [at, { pa }] of live) expect(tlb.translate(at)).toBe(pa);
      }
    }),
    { numRuns: 100 },
  );
});
