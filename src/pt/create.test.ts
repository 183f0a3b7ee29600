import { describe, expect, test } from 'vitest';
import { riscv64x4, wide } from '../testing/pt/wide-format.ts';
import { Bug } from '../base/bug.ts';
import { EINVAL, ENOMEM, EOPNOTSUPP, isErrno, type Errno } from '../base/errno.ts';
import {
  amdv1,
  amdv1mock,
  createPageTable,
  Ram,
  riscv64,
  vtdss,
  x86_64,
  type PtConfig,
  type PtFormat,
} from './index.ts';

const hooks = { changeTop: () => undefined };

describe('a table is refused', () => {
  // prettier-ignore
  test.each<[string, PtFormat, PtConfig, Errno]>([
    ['an input width of 0', vtdss, { vaLg2: 0, oaLg2: 52 }, EINVAL],
    ['an input width above the format', vtdss, { vaLg2: 58, oaLg2: 52 }, EINVAL],
    ['an output width of 0', vtdss, { vaLg2: 48, oaLg2: 0 }, EINVAL],
    ['an output width above the format', amdv1mock, { vaLg2: 38, oaLg2: 52 }, EINVAL],
    ['RISC-V with another width', riscv64, { vaLg2: 47, oaLg2: 56, features: ['sign-extend'] }, EINVAL],
    ['AMDv1 from level 0', amdv1, { vaLg2: 48, oaLg2: 52, topLevel: 0 }, EINVAL],
    ['AMDv1 from level 6', amdv1, { vaLg2: 48, oaLg2: 52, topLevel: 6 }, EINVAL],
    ['VT-d from level 1', vtdss, { vaLg2: 30, oaLg2: 52, topLevel: 1 }, EOPNOTSUPP],
    ['VT-d from level 5', vtdss, { vaLg2: 57, oaLg2: 52, topLevel: 5 }, EOPNOTSUPP],
    ['x86-64 from level 2', x86_64, { vaLg2: 39, oaLg2: 52, topLevel: 2 }, EOPNOTSUPP],
    ['a bad width before a bad level', vtdss, { vaLg2: 58, oaLg2: 52, topLevel: 9 }, EINVAL],
    ['a feature the format lacks', vtdss, { vaLg2: 48, oaLg2: 52, features: ['sign-extend'] }, EOPNOTSUPP],
    ['RISC-V without sign extension', riscv64, { vaLg2: 48, oaLg2: 56 }, EOPNOTSUPP],
    ['a top level too small for the width', vtdss, { vaLg2: 48, oaLg2: 52, topLevel: 2 }, EOPNOTSUPP],
    ['growing without hooks', amdv1, { vaLg2: 64, oaLg2: 52, features: ['dynamic-top'] }, EINVAL],
    ['incoherent without a device', vtdss, { vaLg2: 48, oaLg2: 52, features: ['dma-incoherent'] }, EINVAL],
  ])('a table is refused for %s', (_name, format, config, errno) => {
    const ram = new Ram(1 << 16);
    expect(createPageTable(format, ram, config)).toBe(errno);
    expect(ram.used).toBe(0);
  });

  test('sign extension with a growing top, or with the full address space, is EINVAL', () => {
    const format: PtFormat = { ...amdv1, features: [...amdv1.features, 'sign-extend'] };
    const grows = {
      vaLg2: 48,
      oaLg2: 52,
      features: ['sign-extend', 'dynamic-top'],
      hooks,
    } as const;
    expect(createPageTable(format, new Ram(1 << 16), grows)).toBe(EINVAL);
    const full = { vaLg2: 64, oaLg2: 52, topLevel: 5, features: ['sign-extend'] } as const;
    expect(createPageTable(format, new Ram(1 << 16), full)).toBe(EINVAL);
  });

  test('a table without a frame for its top is ENOMEM', () => {
    const ram = new Ram(1 << 16, { fails: () => true });
    expect(createPageTable(vtdss, ram, { vaLg2: 48, oaLg2: 52 })).toBe(ENOMEM);
    expect(ram.used).toBe(0);
  });
});

test('the top level follows the width unless it is given', () => {
  const top = (format: PtFormat, config: PtConfig) => {
    const pt = createPageTable(format, new Ram(1 << 16), config);
    return isErrno(pt) ? pt : pt.topLevel;
  };
  expect(top(vtdss, { vaLg2: 39, oaLg2: 52 })).toBe(2);
  expect(top(vtdss, { vaLg2: 48, oaLg2: 52 })).toBe(3);
  expect(top(vtdss, { vaLg2: 57, oaLg2: 52 })).toBe(4);
  expect(top(vtdss, { vaLg2: 39, oaLg2: 52, topLevel: 3 })).toBe(3);
  expect(top(riscv64, { vaLg2: 57, oaLg2: 56, features: ['sign-extend'] })).toBe(4);
});

test('page sizes can be taken away but not added', () => {
  const pt = createPageTable(vtdss, new Ram(1 << 16), { vaLg2: 48, oaLg2: 52 });
  if (isErrno(pt)) throw new Bug(pt.name);
  pt.pgsizeBitmap = 0x201000n;
  expect(pt.pgsizeBitmap).toBe(0x201000n);
  expect(() => (pt.pgsizeBitmap = 0x40201000n)).toThrow('taken away');
});

test('a format without force-coherent refuses to become coherent', () => {
  const pt = createPageTable(x86_64, new Ram(1 << 16), { vaLg2: 47, oaLg2: 52 });
  if (isErrno(pt)) throw new Bug(pt.name);
  expect(pt.addFeature('force-coherent')).toBe(EOPNOTSUPP);
});

test('a pointer of the format must be able to name every frame of the RAM: EOPNOTSUPP', () => {
  // The low half of a pointer has 12 bits left for the address: 16 MiB.
  const short: PtFormat = { ...vtdss, address: { shift: 20, bits: 32 } };
  const config = { vaLg2: 48, oaLg2: 52 };
  expect(createPageTable(short, new Ram((1 << 24) + 4096), config)).toBe(EOPNOTSUPP);
  expect(isErrno(createPageTable(short, new Ram(1 << 24), config))).toBe(false);
});

test('a top table is as much longer as the width asks for', () => {
  const frames = (format: PtFormat, vaLg2: number) => {
    const pt = createPageTable(format, new Ram(1 << 18), { vaLg2, oaLg2: 48 });
    return isErrno(pt) ? pt : [pt.topLevel, pt.frames];
  };
  expect([frames(wide, 47), frames(wide, 48), frames(wide, 49)]).toEqual([
    [2, 4],
    [2, 8],
    [2, 16],
  ]);
  expect([frames(wide, 38), frames(wide, 39)]).toEqual([
    [1, 16],
    [2, 4],
  ]);
  expect(frames(riscv64x4, 41)).toEqual([2, 4]);
});
