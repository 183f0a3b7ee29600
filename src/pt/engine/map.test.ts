import { describe, expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import {
  EADDRINUSE,
  EINVAL,
  ENOMEM,
  ENXIO,
  EOVERFLOW,
  ERANGE,
  isErrno,
  type Errno,
} from '../../base/errno.ts';
import {
  amdv1,
  amdv1mock,
  createPageTable,
  IOMMU_READ,
  IOMMU_WRITE,
  newGather,
  Ram,
  riscv64,
  vtdss,
  x86_64,
  type PtConfig,
} from '../index.ts';
import { newTable } from '../../testing/pt/rig.ts';

const RW = IOMMU_READ | IOMMU_WRITE;

const vtd = (more: Partial<PtConfig> = {}) => newTable(vtdss, { vaLg2: 39, oaLg2: 40, ...more });
const END = 2 ** 27;
const WRAP = 2 ** 52 - 1;

describe('map: the checks of core.md 3.8 in their order', () => {
  // Each row breaks its own rule and every later one that it can.
  // prettier-ignore
  test.each<[string, [iovaG: number, paG: number, lengthG: number, prot: number], Errno]>([
    ['1 no access, before the output width', [WRAP, 2 ** 28, 0, 0], EINVAL],
    ['2 output width, before the length', [WRAP, 2 ** 28, 0, RW], ERANGE],
    ['4 length 0, before the range', [END, 0, 0, RW], EINVAL],
    ['4 wrap, before alignment and range', [WRAP, 1, 2, RW], EOVERFLOW],
    ['6 outside the table', [END, 0, 1, RW], ERANGE],
    ['6 last page outside the table', [END - 1, 0, 2, RW], ERANGE],
    ['7 mapped already', [5, 0, 1, RW], EADDRINUSE],
  ])('a map is refused in order: %s', (_name, args, errno) => {
    const { pt, ram } = vtd();
    expect(pt.map(5, 50, 1, RW)).toBe(undefined);
    const used = ram.used;
    expect(pt.map(...args)).toBe(errno);
    expect(pt.mapped).toBe(0);
    expect(ram.used).toBe(used);
    expect(pt.lookup(5)).toBe(50);
  });

  test('rule 3: a nest parent refuses a read-only mapping, before the length', () => {
    const { pt } = vtd({ features: ['force-writable'] });
    expect(pt.map(1, 1, 0, IOMMU_READ)).toBe(EINVAL);
    expect(pt.map(1, 1, 1, IOMMU_READ)).toBe(EINVAL);
    expect(pt.map(1, 1, 1, IOMMU_WRITE)).toBe(undefined);
  });

  test('rule 5: a CPU page between two granules of the mock is mapped as two, as the selftest does', () => {
    const { pt } = newTable(amdv1mock, { vaLg2: 38, oaLg2: 51, topLevel: 2 });
    expect(pt.map(3, 4, 2, RW)).toBe(undefined);
    expect([pt.lookup(3), pt.lookup(4), pt.lookup(5)]).toEqual([4, 5, -1]);
  });

  test('rule 5: a mapping no page size fits is ENXIO', () => {
    const { pt } = vtd();
    pt.pgsizeBitmap = 0x200000n;
    expect(pt.map(512, 1, 512, RW)).toBe(ENXIO);
    expect(pt.map(512, 512, 511, RW)).toBe(ENXIO);
    expect(pt.map(512, 512, 512, RW)).toBe(undefined);
  });

  test('a tail shorter than the smallest size is ENXIO, with what is mapped told', () => {
    const { pt } = vtd();
    pt.pgsizeBitmap = 0x200000n;
    expect(pt.map(512, 1024, 1024 + 7, RW)).toBe(ENXIO);
    expect(pt.mapped).toBe(1024);
    expect(pt.unmap(512, pt.mapped, undefined)).toBe(1024);
  });
});

describe('map: the rest of the table', () => {
  test('rule 8: no frame for a table is ENOMEM, and the frames taken on the way are given back', () => {
    const { pt, ram, failing } = vtd();
    let allowed = 1;
    failing.when = () => allowed-- === 0;
    expect(pt.map(0, 0, 1, RW)).toBe(ENOMEM);
    expect([ram.used, pt.frames, pt.mapped]).toEqual([1, 1, 0]);
    expect(pt.walk(0n)).toMatchObject([{ kind: 'empty', entry: 0n }]);
  });

  test('the check for no access of RISC-V cannot be reached through map', () => {
    const { pt } = newTable(riscv64, { vaLg2: 39, oaLg2: 56, features: ['sign-extend'] });
    expect(pt.map(0, 0, 1, 8)).toBe(EINVAL);
    expect(riscv64.attrs(8, new Set())).toMatchObject({ name: 'EOPNOTSUPP' });
  });

  test('a range from one signed half into the other is ERANGE', () => {
    const { pt } = newTable(x86_64, { vaLg2: 48, oaLg2: 52, features: ['sign-extend'] });
    const upper = 2 ** 52 - 2 ** 35;
    expect(pt.map(2 ** 35 - 1, 0, upper - 2 ** 35 + 2, RW)).toBe(ERANGE);
    expect(pt.map(2 ** 35 - 1, 0, 1, RW)).toBe(undefined);
    expect(pt.map(upper, 1, 1, RW)).toBe(undefined);
    expect([pt.lookup(2 ** 35 - 1), pt.lookup(upper)]).toEqual([0, 1]);
  });
});

describe('large leaves and what is below them', () => {
  test('an empty lower table is removed, its hardware caches flushed first', () => {
    const ram = new Ram(1 << 22);
    const flushed: number[][] = [];
    const pt = createPageTable(vtdss, ram, {
      vaLg2: 39,
      oaLg2: 52,
      iotlbSync: ({ start, end }) => flushed.push([start, end, ram.used]),
    });
    if (isErrno(pt)) throw new Bug(pt.name);
    expect(pt.map(512, 0, 1, RW)).toBe(undefined);
    expect(pt.unmap(512, 1, newGather())).toBe(1);
    expect(ram.used).toBe(3);
    expect(pt.map(512, 512, 512, RW)).toBe(undefined);
    expect(flushed).toEqual([[512, 1023, 3]]);
    expect(ram.used).toBe(2);
    expect(pt.walk(512n << 12n)).toMatchObject([{ kind: 'table' }, { kind: 'leaf', sizeLg2: 21 }]);
    // The remembered level-0 table is gone: a page there meets the large leaf.
    expect(pt.map(512, 0, 1, RW)).toBe(EADDRINUSE);
  });

  test('empty tables of several levels are removed under a 1 GiB leaf', () => {
    const { pt, ram } = vtd({ oaLg2: 52 });
    for (const at of [0, 512, 1024, 262143]) {
      expect(pt.map(at, 7, 1, RW)).toBe(undefined);
      expect(pt.unmap(at, 1, undefined)).toBe(1);
    }
    expect(ram.used).toBe(6);
    expect(pt.map(0, 262144, 262144, RW)).toBe(undefined);
    expect([ram.used, pt.frames]).toEqual([1, 1]);
  });

  test('a leaf anywhere below refuses a large leaf, and nothing is removed', () => {
    const { pt, ram } = vtd({ oaLg2: 52 });
    expect(pt.map(1000, 7, 1, RW)).toBe(undefined);
    const used = ram.used;
    expect(pt.map(0, 0, 262144, RW)).toBe(EADDRINUSE);
    expect([pt.mapped, ram.used, pt.lookup(1000)]).toEqual([0, used, 7]);
  });

  test('small pages under a large leaf are refused', () => {
    const { pt } = vtd();
    expect(pt.map(512, 512, 512, RW)).toBe(undefined);
    expect(pt.map(600, 1, 1, RW)).toBe(EADDRINUSE);
    expect(pt.map(600, 1, 3, RW)).toBe(EADDRINUSE);
  });

  test('pages up to the occupied one are installed and told', () => {
    const { pt } = vtd();
    expect(pt.map(7, 70, 1, RW)).toBe(undefined);
    expect(pt.map(0, 1, 10, RW)).toBe(EADDRINUSE);
    expect(pt.mapped).toBe(7);
    expect(pt.lookup(6)).toBe(7);
    expect(pt.lookup(8)).toBe(-1);
  });
});

describe('the remembered tables do not widen the address space', () => {
  test('remembered tables do not widen a table of less than one level-0 table', () => {
    const { pt } = newTable(amdv1, { vaLg2: 20, oaLg2: 52, topLevel: 1 });
    for (const at of [0, 1, 255]) expect(pt.map(at, 7 + at, 1, RW)).toBe(undefined);
    expect(pt.map(256, 7, 1, RW)).toBe(ERANGE);
    expect(pt.unmap(256, 1, newGather())).toBe(0);
    expect([pt.lookup(255), pt.lookup(256)]).toEqual([262, -1]);
  });

  test('remembered tables do not widen a signed table by what is between its halves', () => {
    const { pt } = newTable(x86_64, { vaLg2: 48, oaLg2: 52, features: ['sign-extend'] });
    const upper = 2 ** 52 - 2 ** 35;
    expect(pt.map(upper, 1, 1, RW)).toBe(undefined);
    expect(pt.map(upper + 1, 2, 1, RW)).toBe(undefined);
    expect(pt.map(2 ** 35 + 2, 3, 1, RW)).toBe(ERANGE);
    expect(pt.unmap(2 ** 35, 1, newGather())).toBe(0);
    expect(pt.lookup(2 ** 35)).toBe(-1);
    expect(pt.unmap(upper + 1, 1, newGather())).toBe(1);
    expect([pt.lookup(upper), pt.lookup(upper + 1)]).toEqual([1, -1]);
  });

  test('pages next to each other keep being mapped while the top grows', () => {
    const { pt } = newTable(amdv1, {
      vaLg2: 64,
      oaLg2: 52,
      topLevel: 1,
      features: ['dynamic-top'],
      hooks: { changeTop: () => undefined },
    });
    expect(pt.map(5, 1, 1, RW)).toBe(undefined);
    expect(pt.map(2 ** 51, 2, 1, RW)).toBe(undefined);
    expect(pt.map(6, 3, 1, RW)).toBe(undefined);
    expect(pt.map(2 ** 51 + 1, 4, 1, RW)).toBe(undefined);
    expect([5, 2 ** 51, 6, 2 ** 51 + 1].map((at) => pt.lookup(at))).toEqual([1, 2, 3, 4]);
  });

  test('rights of the page before are not those of the next', () => {
    const { pt } = vtd();
    expect(pt.map(1, 1, 1, RW)).toBe(undefined);
    expect(pt.map(2, 2, 1, IOMMU_READ)).toBe(undefined);
    expect(pt.map(3, 3, 1, 0)).toBe(EINVAL);
    expect(pt.walk(0x2000n)).toMatchObject([{}, {}, { prot: IOMMU_READ }]);
    pt.pgsizeBitmap = 0x200000n;
    expect(pt.map(4, 4, 1, IOMMU_READ)).toBe(ENXIO);
  });
});

describe('a growing top', () => {
  const growing = (tops: [number, number][] = []) =>
    newTable(amdv1, {
      vaLg2: 57,
      oaLg2: 52,
      topLevel: 1,
      features: ['dynamic-top'],
      hooks: { changeTop: (pfn, level) => void tops.push([pfn, level]) },
    });

  test('a growing top grows to hold the range, keeps what was mapped, tells the driver, never shrinks', () => {
    const tops: [number, number][] = [];
    const { pt } = growing(tops);
    expect(pt.map(1, 10, 1, RW)).toBe(undefined);
    expect(tops).toEqual([]);
    expect(pt.lookup(2 ** 40)).toBe(-1);
    expect(pt.map(2 ** 40, 11, 1, RW)).toBe(undefined);
    expect(tops).toEqual([[pt.topPfn, 4]]);
    expect([pt.lookup(1), pt.lookup(2 ** 40)]).toEqual([10, 11]);
    expect(pt.unmap(2 ** 40, 1, undefined)).toBe(1);
    expect(pt.topLevel).toBe(4);
  });

  test('a growing top cannot grow beyond the input width, which is ERANGE', () => {
    const { pt } = growing();
    expect(pt.map(2 ** 45, 0, 1, RW)).toBe(ERANGE);
    expect(pt.topLevel).toBe(1);
    expect(pt.map(2 ** 45 - 1, 0, 1, RW)).toBe(undefined);
  });

  test('a growing top without a frame to grow is ENOMEM, and the old top stays', () => {
    const tops: [number, number][] = [];
    const { pt, ram, failing } = growing(tops);
    for (const failAt of [0, 1, 2]) {
      let left = failAt;
      failing.when = () => left-- === 0;
      expect(pt.map(2 ** 40, 0, 1, RW)).toBe(ENOMEM);
    }
    expect([pt.topLevel, ram.used, tops.length]).toEqual([1, 1, 0]);
  });
});

test('force-coherent holds for leaves made after it is switched on', () => {
  const { pt } = vtd();
  expect(pt.map(1, 1, 1, RW)).toBe(undefined);
  expect(pt.addFeature('force-coherent')).toBe(undefined);
  expect(pt.map(2, 2, 1, RW)).toBe(undefined);
  const last = (iova: bigint) => {
    const steps = pt.walk(iova);
    return isErrno(steps) ? steps : steps.at(-1)?.entry;
  };
  expect(last(0x1000n)).toBe(0x1003n);
  expect(last(0x2000n)).toBe(0x2803n);
});
