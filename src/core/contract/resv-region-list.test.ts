/** Reserved regions and direct mappings: core.md 3.6. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newDma } from '../../testing/core/dma-rig.ts';
import { Rig } from '../../testing/core/rig.ts';
import { EINVAL, EIO } from '../../base/errno.ts';
import { Device } from './device.ts';
import { createDeviceDirectMappings } from '../group/direct-map.ts';
import { IOMMU_DOMAIN_UNMANAGED } from './domain.ts';
import { groupAddDevice, groupAlloc } from '../group/group-ops.ts';
import { iommuMap, iovaToPhys } from '../map/map.ts';
import {
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_RESERVED,
  type ResvRegion,
} from './resv-region.ts';
import { getGroupResvRegions, getResvRegions, insertResvRegion } from './resv-region-list.ts';
import { must } from '../../testing/base/must.ts';

const D = IOMMU_RESV_DIRECT;
const R = IOMMU_RESV_RESERVED;
const M = IOMMU_RESV_MSI;

function region(start: number, length: number, type: number): ResvRegion {
  return { start: BigInt(start), length: BigInt(length), prot: 3, type };
}
function inserted(regions: readonly ResvRegion[]): string[] {
  const list: ResvRegion[] = [];
  for (const one of regions) insertResvRegion(list, one);
  return list.map(({ start, length, type }) => [start, start + length, type].join(' '));
}

describe('inserting a region', () => {
  test.for<[string, ResvRegion[], string[]]>([
    ['sorts by start', [region(20, 5, R), region(0, 5, R)], ['0 5 2', '20 25 2']],
    ['puts the smaller type first', [region(0, 5, M), region(0, 5, D)], ['0 5 0', '0 5 3']],
    ['joins what overlaps', [region(0, 10, R), region(5, 10, R)], ['0 15 2']],
    ['joins what touches', [region(0, 5, R), region(5, 5, R)], ['0 10 2']],
    ['leaves a gap', [region(0, 5, R), region(6, 5, R)], ['0 5 2', '6 11 2']],
    ['swallows what lies inside', [region(0, 20, R), region(5, 5, R)], ['0 20 2']],
    ['bridges two', [region(0, 5, R), region(10, 5, R), region(4, 7, R)], ['0 15 2']],
    [
      'never merges other types',
      [region(0, 10, R), region(5, 10, M), region(8, 10, R)],
      ['0 18 2', '5 15 3'],
    ],
  ])('a region is inserted: %s', ([, regions, expected]) => {
    expect(inserted(regions)).toEqual(expected);
  });
  test('regions inserted in any order give the same cover, sorted and disjoint within a type', () => {
    const one = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 12 }), fc.constantFrom(D, R, M));
    fc.assert(
      fc.property(fc.array(one, { maxLength: 12 }), (all) => {
        const list: ResvRegion[] = [];
        for (const [start, length, type] of all)
          insertResvRegion(list, region(start, length, type));
        const starts = list.map(({ start }) => start);
        expect(starts).toEqual([...starts].sort((a, b) => Number(a - b)));
        for (const type of [D, R, M]) {
          const covered = new Set<number>();
          for (const [start, length, of] of all) {
            for (let n = start; of === type && n < start + length; n++) covered.add(n);
          }
          const found: number[] = [];
          for (const { start, length, type: of } of list) {
            for (let n = Number(start); of === type && n < start + length; n++) found.push(n);
          }
          expect(found).toEqual([...covered].sort((a, b) => a - b));
        }
      }),
    );
  });
});

describe('the regions of a group', () => {
  test('the regions of a group are those of all members, merged', () => {
    const rig = new Rig({
      members: [
        { name: 'A', knobs: { resvRegions: [region(0x1000, 0x1000, R), region(0x9000, 1, M)] } },
        { name: 'B', knobs: { resvRegions: [region(0x2000, 0x1000, R)] } },
      ],
    });
    expect(getGroupResvRegions(rig.group).map(({ start, length }) => [start, length])).toEqual([
      [0x1000n, 0x2000n],
      [0x9000n, 1n],
    ]);
    expect(getResvRegions(rig.b).length).toBe(1);
  });
  test('the regions of a group end at the first member without an IOMMU, so a fake group has none', () => {
    const { core } = new Rig();
    const group = must(groupAlloc(core));
    const dev = new Device(core, { name: 'N', bus: 'pci' });
    expect(groupAddDevice(group, dev)).toBeUndefined();
    expect(getGroupResvRegions(group)).toEqual([]);
    expect(getResvRegions(dev)).toEqual([]);
  });
});

describe('direct mappings', () => {
  const direct = (type: number) => ({ resvRegions: [region(0x20_0800, 0x2000, type)] });
  test('direct mappings are made for both direct types, both ends rounded up; only DIRECT forbids blocking', () => {
    for (const [type, required] of [
      [D, true],
      [IOMMU_RESV_DIRECT_RELAXABLE, false],
    ] as const) {
      const { dev, domain } = newDma({ knobs: direct(type) });
      expect(iovaToPhys(domain, 0x20_0000n)).toBe(0n);
      expect(iovaToPhys(domain, 0x20_1000n)).toBe(0x20_1000n);
      expect(iovaToPhys(domain, 0x20_2000n)).toBe(0x20_2000n);
      expect(iovaToPhys(domain, 0x20_3000n)).toBe(0n);
      expect(dev.iommu?.requireDirect).toBe(required);
    }
  });
  test('direct mappings leave other types and other domains alone, but DIRECT is still noted', () => {
    const { dev, domain } = newDma({ knobs: { resvRegions: [region(0x20_0000, 0x1000, R)] } });
    expect(iovaToPhys(domain, 0x20_0000n)).toBe(0n);
    const other = newDma({ knobs: {} });
    Object.assign(other.mock.knobsOf(other.dev), direct(D));
    other.domain.type = IOMMU_DOMAIN_UNMANAGED;
    expect(createDeviceDirectMappings(other.dev, other.domain)).toBeUndefined();
    expect([iovaToPhys(other.domain, 0x20_1000n), other.dev.iommu?.requireDirect]).toEqual([
      0n,
      true,
    ]);
    expect(dev.iommu?.requireDirect).toBe(false);
  });
  test('direct mappings skip what is mapped, and map each run between in one call', () => {
    const { core, dev, domain, mock } = newDma();
    expect(iommuMap(domain, 0x20_1000n, 0x20_1000n, 0x1000n, 3)).toBeUndefined();
    Object.assign(mock.knobsOf(dev), { resvRegions: [region(0x20_0000, 0x4000, D)] });
    const maps: unknown[] = [];
    core.env.trace.listen(({ event }) => {
      if (event.kind === 'map') maps.push([event.iova, event.length]);
    });
    expect(createDeviceDirectMappings(dev, domain)).toBeUndefined();
    expect(maps).toEqual([
      [0x20_0000n, 0x1000n],
      [0x20_2000n, 0x2000n],
    ]);
    expect(createDeviceDirectMappings(dev, domain)).toBeUndefined();
    expect(maps.length).toBe(2);
  });
  test('direct mappings end with the first error', () => {
    const { dev, domain, mock } = newDma();
    Object.assign(mock.knobsOf(dev), { resvRegions: [region(0x20_0000, 0x1000, D)] });
    domain.ops.iotlbSyncMap = () => [EIO][0];
    expect(createDeviceDirectMappings(dev, domain)).toBe(EIO);
  });
  test('direct mappings need page sizes in a DMA domain, else EINVAL, warned once', () => {
    const { core, dev, domain } = newDma();
    const bare = { ...domain, pgsizeBitmap: 0n };
    expect(createDeviceDirectMappings(dev, bare)).toBe(EINVAL);
    expect(createDeviceDirectMappings(dev, bare)).toBe(EINVAL);
    expect(core.env.warnings).toEqual(['direct-map-no-pgsize']);
  });
});
