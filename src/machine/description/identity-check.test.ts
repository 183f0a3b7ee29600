import { expect, test } from 'vitest';
import { DEVICE_TYPES } from '../../devices/index.ts';
import { withDefaults } from '../../base/options.ts';
import type { BarSpec, PciIdentity } from '../../devices/port.ts';
import { identityProblems } from './identity-check.ts';

const GOOD: PciIdentity = {
  vendor: 0x1234,
  device: 1,
  revision: 0,
  classCode: 0xff_0000,
  bars: [
    { index: 0, size: 0x1000, kind: 'mem64' },
    { index: 2, size: 0x1000, kind: 'mem32' },
    { index: 3, size: 0x20, kind: 'io' },
  ],
  interruptPin: 1,
  msiVectors: 8,
  msix: { vectors: 128, bar: 2, tableOffset: 0, pbaOffset: 0x800 },
  pcie: { flr: true, type: 'endpoint' },
  pasidBits: 20,
  ats: true,
  pri: true,
};

test('a function with everything can exist, and so can those of the device models', () => {
  expect(identityProblems(GOOD)).toEqual([]);
  for (const type of DEVICE_TYPES.values()) {
    expect(identityProblems(type.identity(withDefaults(type.options, {})))).toEqual([]);
  }
});

const msix = GOOD.msix!;
/** With such pages of one BAR. */
function plainIn(
  bar: BarSpec,
  ...ranges: readonly { readonly offset: number; readonly length: number }[]
): Partial<PciIdentity> {
  return {
    bars: GOOD.bars.map((one) => (one.index === bar.index ? { ...bar, plain: ranges } : one)),
  };
}
test.for<[string, Partial<PciIdentity>, string]>([
  ['a vendor of 17 bits', { vendor: 0x1_0000 }, 'vendor of a function is 0 to 65535, not 65536'],
  ['half a class', { classCode: 0.5 }, 'classCode of a function is 0 to 16777215, not 0.5'],
  ['a fifth pin', { interruptPin: 5 }, 'interruptPin of a function is 0 to 4, not 5'],
  ['21 bits of PASID', { pasidBits: 21 }, 'pasidBits of a function is 0 to 20, not 21'],
  ['3 MSI vectors', { msiVectors: 3 }, 'the number of MSI vectors is a power of two, not 3'],
  [
    'a BAR in the upper half of another',
    { msix: { ...msix, bar: 0 }, bars: [GOOD.bars[0]!, { index: 1, size: 16, kind: 'mem32' }] },
    'BAR 1: its register is taken by another',
  ],
  [
    'a 64-bit BAR at the last register',
    { bars: [...GOOD.bars, { index: 5, size: 16, kind: 'mem64' }] },
    'BAR 5: the registers are 0 to 5; a mem64 BAR takes two',
  ],
  [
    'a BAR of no power of two',
    { bars: [...GOOD.bars, { index: 4, size: 24, kind: 'mem32' }] },
    'BAR 4: the size of a mem32 BAR is a power of two from 16 on, not 24',
  ],
  [
    'a BAR too large for its window',
    { bars: [...GOOD.bars, { index: 4, size: 512, kind: 'io' }] },
    'BAR 4: at most 256 bytes of io, not 512',
  ],
  [
    'plain pages in I/O space',
    plainIn({ index: 3, size: 0x20, kind: 'io' }, { offset: 0, length: 0x1000 }),
    'plain pages of BAR 3: I/O space has none',
  ],
  [
    'half a plain page',
    plainIn(GOOD.bars[0]!, { offset: 0x800, length: 0x1000 }),
    'plain pages of BAR 0: whole pages of 4096 bytes, not 4096 at 2048',
  ],
  [
    'no plain page',
    plainIn(GOOD.bars[0]!, { offset: 0, length: 0 }),
    'plain pages of BAR 0: whole pages of 4096 bytes, not 0 at 0',
  ],
  [
    'plain pages beyond the BAR',
    plainIn(GOOD.bars[0]!, { offset: 0, length: 0x2000 }),
    'plain pages of BAR 0: they overlap, or leave the BAR',
  ],
  [
    'a plain page twice',
    plainIn(GOOD.bars[0]!, { offset: 0, length: 0x1000 }, { offset: 0, length: 0x1000 }),
    'plain pages of BAR 0: they overlap, or leave the BAR',
  ],
  [
    'a table of MSI-X in plain pages',
    plainIn(GOOD.bars[1]!, { offset: 0, length: 0x1000 }),
    'plain pages of BAR 2: MSI-X lies there',
  ],
  [
    'a page that is plain and shadow',
    {
      bars: GOOD.bars.map((one) =>
        one.index === 0
          ? {
              ...one,
              plain: [{ offset: 0, length: 0x1000 }],
              shadow: [{ offset: 0, length: 0x1000 }],
            }
          : one,
      ),
    },
    'plain and shadow pages of BAR 0: they overlap, or leave the BAR',
  ],
  [
    'half a shadow page',
    {
      bars: GOOD.bars.map((one) =>
        one.index === 0 ? { ...one, shadow: [{ offset: 0, length: 0x800 }] } : one,
      ),
    },
    'shadow pages of BAR 0: whole pages of 4096 bytes, not 2048 at 0',
  ],
  ['no vector', { msix: { ...msix, vectors: 0 } }, 'MSI-X has 1 to 2048 vectors, not 0'],
  [
    'MSI-X in I/O ports',
    { msix: { ...msix, bar: 3 } },
    'MSI-X is in BAR 3, which is no memory BAR',
  ],
  [
    'a table beyond its BAR',
    { msix: { ...msix, tableOffset: 0xff0 } },
    'table and pending bits of 128 MSI-X vectors do not fit in BAR 2',
  ],
  [
    'pending bits in the table',
    { msix: { ...msix, pbaOffset: 0x7f8 } },
    'table and pending bits of MSI-X overlap',
  ],
  [
    'page requests without ATS',
    { ats: false },
    'page requests (PRI) are part of ATS, which is off',
  ],
])('%s cannot exist', ([, change, problem]) => {
  expect(identityProblems({ ...GOOD, ...change })).toEqual([problem]);
});

test('a conventional function has no extended capability', () => {
  const { pcie, ...conventional } = GOOD;
  expect(pcie).toBeDefined();
  expect(identityProblems(conventional)).toEqual([
    'only a PCIe function has PASIDs, ATS, PRI, and this one is conventional',
  ]);
});
