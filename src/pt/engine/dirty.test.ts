import { describe, expect, test } from 'vitest';
import { EINVAL, EOPNOTSUPP, EOVERFLOW, ERANGE, isErrno } from '../../base/errno.ts';
import {
  amdv1,
  amdv1mock,
  newGather,
  riscv64,
  vtdss,
  x86_64,
  type PageTable,
  type PtConfig,
  type PtFormat,
} from '../index.ts';
import { newTable } from '../../testing/pt/rig.ts';

const make = (format: PtFormat, config: PtConfig): PageTable => newTable(format, config).pt;
const vtd = () => make(vtdss, { vaLg2: 39, oaLg2: 52 });
const mock = (format: PtFormat) => make(format, { vaLg2: 38, oaLg2: 51, topLevel: 2 });

function dirty(pt: PageTable, iovaG: number, lengthG: number, noClear = false) {
  const found: [number, number][] = [];
  const gather = newGather();
  const status = pt.readDirty(iovaG, lengthG, noClear, gather, (start, length) => {
    found.push([start, length]);
  });
  expect(status).toBe(undefined);
  return { found, gather };
}
const nobody = () => undefined;

describe('reading dirty bits is refused', () => {
  test.each([
    ['length 0', 2 ** 52, 0, EINVAL],
    ['a range that wraps', 2 ** 52 - 1, 2, EOVERFLOW],
    ['a range outside the table', 2 ** 27 - 1, 2, ERANGE],
  ] as const)('reading dirty bits is refused for %s', (_name, iovaG, lengthG, errno) => {
    expect(vtd().readDirty(iovaG, lengthG, true, undefined, nobody)).toBe(errno);
  });
  test.each([
    ['x86-64', x86_64, { vaLg2: 47, oaLg2: 52 }],
    ['RISC-V', riscv64, { vaLg2: 39, oaLg2: 56, features: ['sign-extend'] }],
  ] as const)('%s has no dirty bit, so reading is EOPNOTSUPP', (_name, format, config) => {
    const pt = make(format, config);
    expect(pt.canDirty).toBe(false);
    expect(pt.map(0, 0, 1, 3)).toBe(undefined);
    expect(pt.markDirty(0)).toBe(false);
    expect(pt.readDirty(0, 1, true, undefined, nobody)).toBe(EOPNOTSUPP);
  });
  test('cleaning without a gather is a bug', () => {
    expect(() => vtd().readDirty(0, 1, false, undefined, nobody)).toThrow('gather');
  });
});

describe.each([
  ['VT-d', vtdss, 1n << 9n],
  ['AMDv1', amdv1, 1n << 6n],
] as const)('%s', (_name, format, bit) => {
  const make39 = () => make(format, { vaLg2: 39, oaLg2: 52, topLevel: 2 });

  test('a written page is dirty until it is cleaned; a hole has no dirty bit', () => {
    const pt = make39();
    expect(pt.map(10, 21, 3, 3)).toBe(undefined);
    expect(pt.markDirty(11)).toBe(true);
    expect(pt.markDirty(100)).toBe(false);
    expect(pt.markDirty(2 ** 30)).toBe(false);
    const steps = pt.walk(11n << 12n);
    expect(isErrno(steps) ? 0n : steps.at(-1)!.entry & bit).toBe(bit);
    expect(dirty(pt, 0, 1000, true).found).toEqual([[11, 1]]);
    const { found, gather } = dirty(pt, 0, 1000);
    expect(found).toEqual([[11, 1]]);
    expect([gather.start, gather.end]).toEqual([11, 11]);
    expect(dirty(pt, 0, 1000).found).toEqual([]);
    expect(pt.lookup(11)).toBe(22);
  });

  test('a large leaf partly in the range is reported and cleaned whole', () => {
    const pt = make39();
    expect(pt.map(512, 1024, 512, 3)).toBe(undefined);
    expect(pt.markDirty(700)).toBe(true);
    const { found, gather } = dirty(pt, 600, 10);
    expect(found).toEqual([[512, 512]]);
    expect([gather.start, gather.end]).toEqual([512, 1023]);
    expect(dirty(pt, 0, 2048).found).toEqual([]);
  });

  test('reading without cleaning gathers nothing', () => {
    const pt = make39();
    expect(pt.map(1, 1, 1, 3)).toBe(undefined);
    pt.markDirty(1);
    expect(dirty(pt, 0, 10, true).gather.start).toBe(Infinity);
  });
});

test('a leaf of several items is dirty when any item is, and is reported once', () => {
  const pt = make(amdv1, { vaLg2: 39, oaLg2: 52, topLevel: 2 });
  expect(pt.map(16, 32, 16, 3)).toBe(undefined);
  expect(pt.map(1024, 2048, 1024, 3)).toBe(undefined);
  for (const at of [19, 30, 1024 + 600]) expect(pt.markDirty(at)).toBe(true);
  expect(dirty(pt, 20, 3000, true).found).toEqual([
    [16, 16],
    [1024, 1024],
  ]);
  dirty(pt, 31, 1);
  expect(dirty(pt, 0, 1000).found).toEqual([]);
  expect(dirty(pt, 0, 3000).found).toEqual([[1024, 1024]]);
});

test('the upper half of a signed table reports real addresses', () => {
  const signed: PtFormat = { ...x86_64, dirty: { mask: { lo: 1 << 6, hi: 0 } } };
  const pt = make(signed, { vaLg2: 48, oaLg2: 52, features: ['sign-extend'] });
  const at = 2 ** 52 - 7;
  expect(pt.map(at, 3, 2, 1)).toBe(undefined);
  expect(pt.markDirty(at + 1)).toBe(true);
  const { found, gather } = dirty(pt, at - 10, 17);
  expect(found).toEqual([[at + 1, 1]]);
  expect([gather.start, gather.end]).toEqual([at + 1, at + 1]);
});

// The selftest of Linux 7.3.4 expects whole leaves; earlier ones lived with runs short of their last item.
test('a leaf of the mock driver is reported and cleaned whole, wherever the read starts', () => {
  const pt = mock(amdv1mock);
  expect(pt.map(4, 8, 2, 3)).toBe(undefined);
  expect(pt.map(7, 3, 1, 3)).toBe(undefined);
  expect(pt.map(512, 512, 512, 3)).toBe(undefined);
  for (const at of [5, 7, 513]) pt.markDirty(at);
  const leaves = [
    [4, 2],
    [7, 1],
    [512, 512],
  ];
  expect(dirty(pt, 0, 2048, true).found).toEqual(leaves);
  expect(dirty(pt, 5, 2048, true).found).toEqual(leaves);
  const { gather } = dirty(pt, 0, 7);
  expect([gather.start, gather.end]).toEqual([4, 5]);
  expect(dirty(pt, 0, 10).found).toEqual([[7, 1]]);
});
