/** Mapping: the tables of core.md 3.4 and the checks of 3.8. */
import { describe, expect, test } from 'vitest';
import {
  BACKINGS,
  G,
  M,
  recorder,
  RW,
  setup,
  type MockBacking,
} from '../../testing/core/mapping.ts';
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
} from '../../base/errno.ts';
import { mockPagingOf } from '../../drivers/mock/paging.ts';
import { IOMMU_DOMAIN_BLOCKED, IOMMU_DOMAIN_IDENTITY, type Domain } from '../contract/domain.ts';
import { iommuMap, iommuMapSg, iommuUnmap, iovaToPhys, lookupGranule } from './map.ts';

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
  ] as const)(
    'bitmap %x, iova %x, pa %x, size %x are mapped as %s',
    ([bitmap, iova, pa, size, expected]) => {
      const { domain, calls } = recorder(bitmap);
      expect(iommuMap(domain, iova, pa, size, RW)).toBeUndefined();
      expect(calls.join(' ')).toBe(expected);
    },
  );
});

interface Row {
  readonly what: string;
  readonly backing: MockBacking;
  readonly call: (domain: Domain) => unknown;
  readonly errno: Errno;
  readonly warning?: string;
}
const BAD_MAPS: Row[] = [
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
describe('map checks its arguments', () => {
  test.for(BAD_MAPS)(
    '$what is $errno.name in a domain of $backing',
    ({ backing, call, errno, warning }) => {
      const { rig, domain } = setup(backing);
      expect(call(domain)).toBe(errno);
      expect(rig.warnings).toEqual(warning ? [warning] : []);
    },
  );

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
  test('a map that fails after some pages leaves the domain as it was', () => {
    const { domain } = setup('map-pages', { mapFailure: { afterPages: 2, errno: ENOMEM } });
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x4000n, RW)).toBe(ENOMEM);
    expect(mockPagingOf(domain).pages?.size).toBe(0);
  });
  test('a map whose next page is taken leaves the domain as it was', () => {
    const { domain } = setup('pt');
    expect(iommuMap(domain, 0x110_3000n, 0x9000n, 0x1000n, RW)).toBeUndefined();
    expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x4000n, RW)).toBe(EADDRINUSE);
    expect(iovaToPhys(domain, 0x110_0000n)).toBe(0n);
    expect(iovaToPhys(domain, 0x110_2000n)).toBe(0n);
    expect(iovaToPhys(domain, 0x110_3abcn)).toBe(0x9abcn);
  });
  test.for(BACKINGS)(
    '%s: a map whose sync fails leaves the domain as it was, with the errno of the sync',
    (backing) => {
      const { domain } = setup(backing, { syncMapFailure: EIO });
      expect(iommuMap(domain, 0x110_0000n, 0x5000n, 0x4000n, RW)).toBe(EIO);
      expect(iovaToPhys(domain, 0x110_0000n)).toBe(0n);
      expect(lookupGranule(domain, 0x1100)).toBe(-1);
    },
  );
  test('map_pages that succeeds without mapping is a bug of the driver', () => {
    const { domain } = recorder(0x1000n);
    domain.ops.mapPages = () => undefined;
    expect(() => iommuMap(domain, M, M, 0x1000n, RW)).toThrow('without mapping');
  });
});

describe('map_sg', () => {
  test.for(BACKINGS)('%s: entries of map_sg follow each other at the IOVA', (backing) => {
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
  test('neighbours in memory are one mapping of map_sg', () => {
    const { domain, calls } = recorder(0x1000n);
    const sg = [
      { pa: 0x5000n, length: 0x1000n },
      { pa: 0x6000n, length: 0x1000n },
      { pa: 0x9000n, length: 0x1000n },
    ];
    expect(iommuMapSg(domain, 0n, sg, RW)).toBe(0x3000n);
    expect(calls).toEqual(['4K×2', '4K×1']);
  });
  test('an error of map_sg removes what was done and is returned', () => {
    const { domain } = setup('pt');
    const sg = [
      { pa: 0x5000n, length: 0x1000n },
      { pa: 0x9000n, length: 0x801n },
    ];
    expect(iommuMapSg(domain, 0x110_0000n, sg, RW)).toBe(ENXIO);
    expect(iovaToPhys(domain, 0x110_0000n)).toBe(0n);
  });
  test('an error of the sync of map_sg removes what was done, too', () => {
    const { domain } = setup('pt', { syncMapFailure: EIO });
    expect(iommuMapSg(domain, 0x110_0000n, [{ pa: 0x5000n, length: 0x1000n }], RW)).toBe(EIO);
    expect(iovaToPhys(domain, 0x110_0000n)).toBe(0n);
  });
  test('a domain without mappings refuses map_sg', () => {
    const { domain } = setup('pt');
    const blocked = { ...domain, type: IOMMU_DOMAIN_BLOCKED };
    expect(iommuMapSg(blocked, 0n, [{ pa: 0n, length: 0x1000n }], RW)).toBe(EINVAL);
  });
});

describe('iova_to_phys', () => {
  test('iova_to_phys of identity answers its question, of blocked 0', () => {
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
  test('maps and unmaps are traced in bytes, in both kinds of domain', () => {
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
