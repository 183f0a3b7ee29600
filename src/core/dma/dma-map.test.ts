/** The DMA API: mapping buffers and scatter lists, core.md 10.3. */
import { describe, expect, test } from 'vitest';
import { GIB, newDma, TestTlb, type DmaOptions } from '../../testing/core/dma-rig.ts';
import { must } from '../../testing/base/must.ts';
import { EINVAL, EIO, ENOMEM, type Errno } from '../../base/errno.ts';
import { listening, type Refusal } from '../../base/refuse.ts';
import {
  DMA_ATTR_MMIO,
  DMA_ATTR_PRIVILEGED,
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  DMA_NONE,
  DMA_TO_DEVICE,
  dmaMap,
  dmaMapSg,
  dmaSyncForCpu,
  dmaSyncForDevice,
  dmaUnmap,
  dmaUnmapSg,
} from './dma-map.ts';
import {
  IOMMU_CACHE,
  IOMMU_MMIO,
  IOMMU_PRIV,
  IOMMU_READ,
  IOMMU_WRITE,
} from '../contract/domain.ts';
import { iovaToPhys } from '../map/map.ts';

const PAGE = 4096n;

/** The errnos refused on the way to a mapping error. */
function whyNot(call: () => bigint): Errno[] {
  const heard: Refusal[] = [];
  expect(listening((refusal) => heard.push(refusal), call)).toBe(DMA_MAPPING_ERROR);
  return heard.map((refusal) => refusal.errno);
}

describe('mapping a buffer', () => {
  test('a mapping goes top down below 4 GiB first for PCI, and keeps the offset', () => {
    const { dev, domain } = newDma();
    expect(dmaMap(dev, 0x1234n, 16n, DMA_TO_DEVICE)).toBe(4n * GIB - PAGE + 0x234n);
    expect(dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE)).toBe(4n * GIB - 2n * PAGE);
    expect(iovaToPhys(domain, 4n * GIB - PAGE + 0x234n)).toBe(0x1234n);
  });
  test('a mapping uses the whole mask for other buses, and for PCI after the first failure below 4 GiB', () => {
    const platform = newDma({ config: { bus: 'platform' } });
    expect(dmaMap(platform.dev, 0x5000n, PAGE, DMA_TO_DEVICE)).toBe(64n * GIB - PAGE);
    const pci = newDma();
    expect(dmaMap(pci.dev, 0n, 2n * GIB, DMA_TO_DEVICE)).toBe(2n * GIB);
    expect(dmaMap(pci.dev, 0n, 2n * GIB, DMA_TO_DEVICE)).toBe(62n * GIB);
    expect(dmaMap(pci.dev, 0n, PAGE, DMA_TO_DEVICE)).toBe(62n * GIB - PAGE);
  });
  test('a mapping stays within the mask, the bus limit and the aperture', () => {
    const mask = newDma({ config: { dmaMask: 0xff_ffffn } });
    expect(dmaMap(mask.dev, 0n, PAGE, DMA_TO_DEVICE)).toBe(0xff_f000n);
    const bus = newDma({ config: { bus: 'platform', busDmaLimit: 0x3fff_ffffn } });
    expect(dmaMap(bus.dev, 0n, PAGE, DMA_TO_DEVICE)).toBe(0x3fff_f000n);
  });
  test.for([
    ['to the device', DMA_TO_DEVICE, 0, {}, IOMMU_CACHE | IOMMU_READ],
    ['from the device', DMA_FROM_DEVICE, 0, {}, IOMMU_CACHE | IOMMU_WRITE],
    ['both ways', DMA_BIDIRECTIONAL, 0, {}, IOMMU_CACHE | IOMMU_READ | IOMMU_WRITE],
    ['not coherent', DMA_TO_DEVICE, 0, { config: { coherent: false } }, IOMMU_READ],
    ['of registers', DMA_TO_DEVICE, DMA_ATTR_MMIO, {}, IOMMU_MMIO | IOMMU_READ],
    ['privileged', DMA_TO_DEVICE, DMA_ATTR_PRIVILEGED, {}, IOMMU_CACHE | IOMMU_PRIV | IOMMU_READ],
    ['no way', DMA_NONE, 0, {}, 0],
  ] as const)('a mapping for %s has the right protection', ([, dir, attrs, options, prot]) => {
    const rig = newDma(options);
    let seen = -1;
    rig.core.env.trace.listen(({ event }) => {
      if (event.kind === 'map') seen = event.prot ?? -1;
    });
    dmaMap(rig.dev, 0x5000n, PAGE, dir, attrs);
    expect(seen).toBe(prot);
  });
});

describe('a buffer that cannot be mapped', () => {
  test('a map that fails frees the IOVA', () => {
    const { dev } = newDma({ domainKnobs: { syncMapFailure: EIO } });
    expect(whyNot(() => dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE))).toEqual([EIO]);
    expect(dev.iommuGroup!.defaultDomain!.cookie.kind).toBe('dma-iova');
  });
  test('a buffer without room for an IOVA is not mapped, and the limit is said', () => {
    const { dev } = newDma({ config: { dmaMask: 0xf_ffffn } });
    expect(whyNot(() => dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE)).map(String)).toEqual(['ENOSPC']);
  });
  test('a buffer is not mapped, warned once, for a device that needs more alignment than a granule', () => {
    const { core, dev } = newDma({ config: { minAlignMask: 0xffff } });
    expect(dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE)).toBe(DMA_MAPPING_ERROR);
    expect(dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE)).toBe(DMA_MAPPING_ERROR);
    expect(core.env.warnings).toEqual(['dma-min-align']);
  });
  test('a deferred attach comes before the mapping, which fails when that does', () => {
    const { dev, mock, domain } = newDma({ knobs: { attachDeferred: true } });
    expect(dev.iommu?.attachDeferred).toBe(true);
    mock.knobsOf(dev).failAttach.push({ errno: ENOMEM, domain });
    expect(dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE)).toBe(DMA_MAPPING_ERROR);
    expect(dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE)).not.toBe(DMA_MAPPING_ERROR);
    expect(dev.iommu?.attachDeferred).toBe(false);
  });
  test('a buffer of a device without the DMA API is a bug', () => {
    const { dev } = newDma({ traits: ['passthrough-default'], domainKnobs: {} });
    dev.dmaIommu = false;
    expect(() => dmaMap(dev, 0n, PAGE, DMA_TO_DEVICE)).toThrow('does not go through');
  });
});

describe('unmapping a buffer', () => {
  test('a strict unmap takes the buffer from the device at once, and frees the IOVA', () => {
    const { dev, domain } = newDma();
    const tlb = new TestTlb(domain);
    const at = dmaMap(dev, 0x5008n, PAGE, DMA_TO_DEVICE);
    expect(tlb.translate(at)).toBe(0x5008n);
    dmaUnmap(dev, at, PAGE, DMA_TO_DEVICE);
    expect([tlb.translate(at), tlb.syncs, tlb.flushes]).toEqual([0n, 1, 0]);
    expect(dmaMap(dev, 0x9008n, PAGE, DMA_TO_DEVICE)).toBe(at);
  });
  test('an unmap of more than was mapped is warned', () => {
    const { core, dev } = newDma();
    const at = dmaMap(dev, 0x5000n, PAGE, DMA_TO_DEVICE);
    dmaUnmap(dev, at, PAGE + 1n, DMA_TO_DEVICE);
    expect(core.env.warnings).toEqual(['dma-unmap-short']);
  });
});

const LIST = [
  { pa: 0x5000n, length: PAGE },
  { pa: 0x9000n, length: PAGE },
  { pa: 0xb800n, length: 0x100n },
  { pa: 0n, length: PAGE, busAddress: 0xfe00_0000n },
  { pa: 0x1_0000n, length: PAGE },
];

describe('a scatter list', () => {
  test('a scatter list lies in one row, is merged where it may be, and keeps bus addresses', () => {
    const { dev, domain } = newDma();
    const segments = must(dmaMapSg(dev, LIST, DMA_TO_DEVICE));
    const base = 4n * GIB - 4n * PAGE;
    expect(segments).toEqual([
      { address: base, length: 2n * PAGE, isBus: false },
      { address: base + 2n * PAGE + 0x800n, length: 0x100n, isBus: false },
      { address: 0xfe00_0000n, length: PAGE, isBus: true },
      { address: base + 3n * PAGE, length: PAGE, isBus: false },
    ]);
    expect(iovaToPhys(domain, base + PAGE)).toBe(0x9000n);
    dmaUnmapSg(dev, segments, DMA_TO_DEVICE);
    expect(iovaToPhys(domain, base)).toBe(0n);
    expect(iovaToPhys(domain, base + 3n * PAGE)).toBe(0n);
  });
  test('a scatter list of bus addresses only needs nothing mapped', () => {
    const { dev } = newDma();
    const segments = must(dmaMapSg(dev, [LIST[3]!], DMA_TO_DEVICE));
    expect(segments).toEqual([{ address: 0xfe00_0000n, length: PAGE, isBus: true }]);
    dmaUnmapSg(dev, segments, DMA_TO_DEVICE);
  });
  test('a scatter list is never merged into segments longer than 64 KiB', () => {
    const { dev } = newDma();
    const pages = Array.from({ length: 20 }, (_, n) => ({
      pa: BigInt(n) * 2n * PAGE,
      length: PAGE,
    }));
    const lengths = must(dmaMapSg(dev, pages, DMA_TO_DEVICE)).map((segment) => segment.length);
    expect(lengths).toEqual([16n * PAGE, 4n * PAGE]);
  });
  test('a scatter list is padded so that no entry crosses 4 GiB of its row', () => {
    const { dev, domain } = newDma({ config: { bus: 'platform' } });
    const big = [2n * GIB, GIB + GIB / 2n, GIB].map((length, n) => ({
      pa: BigInt(n) * 8n * GIB,
      length,
    }));
    const [first, , third] = must(dmaMapSg(dev, big, DMA_TO_DEVICE));
    expect(third!.address - first!.address).toBe(4n * GIB);
    expect(iovaToPhys(domain, third!.address)).toBe(16n * GIB);
  });
});

describe('a scatter list that cannot be mapped', () => {
  test.for<[string, DmaOptions, Errno]>([
    ['EINVAL for a failed map', { domainKnobs: { syncMapFailure: EIO } }, EINVAL],
    ['ENOMEM for want of memory', { domainKnobs: { syncMapFailure: ENOMEM } }, ENOMEM],
    ['ENOMEM for want of IOVA', { config: { dmaMask: 0xf_ffffn } }, ENOMEM],
  ])('a scatter list fails with %s', ([, options, errno]) => {
    const { dev } = newDma(options);
    expect(dmaMapSg(dev, LIST, DMA_TO_DEVICE)).toBe(errno);
  });
  test('a scatter list fails with EINVAL when the deferred attach does', () => {
    const { dev, mock, domain } = newDma({ knobs: { attachDeferred: true } });
    mock.knobsOf(dev).failAttach.push({ errno: EIO, domain });
    expect(dmaMapSg(dev, LIST, DMA_TO_DEVICE)).toBe(EINVAL);
  });
  test.for<[string, { pa: bigint; length: bigint }[]]>([
    ['once its granules are whole', [{ pa: 0x800n, length: 0xffff_f800n }]],
    [
      'once it is padded to the boundary',
      [
        { pa: 0n, length: 0xffff_e000n },
        { pa: 0n, length: PAGE },
        { pa: 0n, length: 0xffff_f000n },
        { pa: 0n, length: 0xffff_f000n },
      ],
    ],
  ])('a scatter list with an entry too long %s is refused', ([what, entries]) => {
    const { dev } = newDma();
    const heard: string[] = [];
    const call = (): unknown => dmaMapSg(dev, entries, DMA_TO_DEVICE);
    expect(listening((refusal) => heard.push(refusal.rule), call)).toBe(EINVAL);
    expect(heard.join()).toContain(what);
  });
});

const options: DmaOptions = { config: { untrusted: true } };
const TEXT = new TextEncoder().encode('secret buffer secret');

describe('an untrusted device', () => {
  test('an untrusted device sees a copy of what does not fill its granules, and nothing around it', () => {
    const { core, dev, domain } = newDma(options);
    core.ram.bytes.set(TEXT, 0x8100);
    const at = dmaMap(dev, 0x8107n, 6n, DMA_TO_DEVICE);
    expect(at & 0xfffn).toBe(0x107n);
    const there = Number(iovaToPhys(domain, at));
    expect(there).not.toBe(0x8107);
    expect(new TextDecoder().decode(core.ram.bytes.subarray(there, there + 6))).toBe('buffer');
    expect(core.ram.bytes[there - 1]).toBe(0);
    expect(core.ram.bytes[there + 6]).toBe(0);
  });
  test('an untrusted device has its writes copied back at the sync and at the unmap, and its pages freed', () => {
    const { core, dev, domain } = newDma(options);
    const used = core.ram.used;
    const at = dmaMap(dev, 0x8ff0n, 0x40n, DMA_FROM_DEVICE);
    const [low, high] = [iovaToPhys(domain, at), iovaToPhys(domain, at + 0x20n)].map(Number);
    core.ram.bytes[low!] = 0x11;
    core.ram.bytes[high!] = 0x22;
    dmaSyncForCpu(dev, at, 0x10n, DMA_FROM_DEVICE);
    expect([core.ram.bytes[0x8ff0], core.ram.bytes[0x9010]]).toEqual([0x11, 0]);
    dmaUnmap(dev, at, 0x40n, DMA_FROM_DEVICE);
    expect(core.ram.bytes[0x9010]).toBe(0x22);
    expect(core.ram.used).toBe(used);
  });
  test('an untrusted device gets later writes of the CPU with the sync', () => {
    const { core, dev, domain } = newDma(options);
    const at = dmaMap(dev, 0x8010n, 4n, DMA_TO_DEVICE);
    core.ram.bytes[0x8010] = 0x33;
    const there = Number(iovaToPhys(domain, at));
    expect(core.ram.bytes[there]).toBe(0);
    dmaSyncForDevice(dev, at, 4n, DMA_TO_DEVICE);
    expect(core.ram.bytes[there]).toBe(0x33);
  });
});

describe('around bounce buffers, an untrusted device', () => {
  test('an untrusted device is given whole granules directly', () => {
    const { dev, domain } = newDma(options);
    expect(iovaToPhys(domain, dmaMap(dev, 0x8000n, PAGE, DMA_TO_DEVICE))).toBe(0x8000n);
  });
  test('an untrusted device cannot have part of a page of registers', () => {
    const { dev } = newDma(options);
    expect(dmaMap(dev, 0x8010n, 4n, DMA_TO_DEVICE, DMA_ATTR_MMIO)).toBe(DMA_MAPPING_ERROR);
  });
  test('an untrusted device has its scatter lists bounced entry by entry', () => {
    const { core, dev } = newDma(options);
    const used = core.ram.used;
    const segments = must(
      dmaMapSg(
        dev,
        [
          { pa: 0x8000n, length: PAGE },
          { pa: 0x9010n, length: 16n },
          { pa: 0n, length: PAGE, busAddress: 0xfe00_0000n },
        ],
        DMA_BIDIRECTIONAL,
      ),
    );
    expect(segments.map((segment) => segment.length)).toEqual([PAGE, 16n, PAGE]);
    expect(core.ram.used).toBe(used + 1);
    dmaUnmapSg(dev, segments, DMA_BIDIRECTIONAL);
    expect(core.ram.used).toBe(used);
  });
  test('an untrusted device is refused when there is nothing to copy with, or no page to copy to', () => {
    const starved = newDma(options);
    starved.failing.when = () => true;
    expect(whyNot(() => dmaMap(starved.dev, 0x8010n, 5000n, DMA_TO_DEVICE))).toEqual([ENOMEM]);
    const { dev } = newDma({ ...options, bounces: false });
    expect(whyNot(() => dmaMap(dev, 0x8010n, 4n, DMA_TO_DEVICE))).toEqual([EIO]);
    const list = [
      { pa: 0x8000n, length: PAGE },
      { pa: 0x9010n, length: 16n },
    ];
    expect(dmaMapSg(dev, list, DMA_TO_DEVICE)).toBe(EINVAL);
  });
});
