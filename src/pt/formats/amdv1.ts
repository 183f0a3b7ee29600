/**
 * AMDv1, the AMD host page table (formats.md 2; AMD 48882 2.2.3), and the variant of the kernel's mock driver with a 2
 * KiB granule.
 *
 * Every power of two is a leaf size: sizes between the natural ones are runs of identical items whose low address
 * bits are ones up to the bit below half the size.
 * The kernel's memory encryption feature is left out: the simulated machine has no encryption bit.
 */
import { EINVAL } from '../../base/errno.ts';
import type { PtFormat, Word } from '../format.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../page-table.ts';

const PR = 1 << 0;
const D = 1 << 6;
const NEXT_LEVEL_SHIFT = 9;
/** Next level 7: the size is in the address. */
const SIZE_IN_ADDRESS = 7 << NEXT_LEVEL_SHIFT;
const ADDRESS_SHIFT = 12;
/** Bits 60, 61 and 62 of the word. */
const FC = 1 << 28;
const IR = 1 << 29;
const IW = 1 << 30;
/** Natural leaves of 512 GiB are never offered: a hardware defect. */
const DEFECT_LEVEL = 3;
/** Level 5 has no leaves. */
const LAST_LEAF_LEVEL = 4;

/** Address field ones that say 2^sizeLg2 granules: 0 … sizeLg2-2, with a zero at sizeLg2-1. */
function sizeCode(sizeLg2: number): Word {
  const ones = 2 ** (sizeLg2 - 1) - 1;
  return {
    lo: SIZE_IN_ADDRESS | ((ones % 2 ** 20) << ADDRESS_SHIFT),
    hi: Math.floor(ones / 2 ** 20) & 0xf_ffff,
  };
}

function sizeOf(lo: number, hi: number): number {
  const low = ~(lo >>> ADDRESS_SHIFT) & 0xf_ffff;
  if (low !== 0) return 32 - Math.clz32(low & -low);
  const high = ~hi & 0xf_ffff;
  return 20 + 32 - Math.clz32(high & -high);
}

export const amdv1: PtFormat = {
  name: 'amdv1',
  granuleLg2: 12,
  maxVaLg2: 64,
  maxOaLg2: 52,
  topLevel: { min: 1, max: 5, refusal: EINVAL },
  cutToTop: true,
  features: ['full-va', 'dynamic-top', 'flush-range', 'flush-range-no-gaps', 'force-coherent'],
  mandatory: [],

  present: { lo: PR, hi: 0 },
  kind: { shift: NEXT_LEVEL_SHIFT, mask: 7, leaves: 0b1000_0001 },
  address: { shift: ADDRESS_SHIFT, bits: 40 },

  table: (level) => ({ lo: PR | (level << NEXT_LEVEL_SHIFT), hi: IR | IW }),
  leafSizes(level) {
    if (level > LAST_LEAF_LEVEL) return [];
    const sizes = Array.from({ length: 9 }, (_, n) => level * 9 + n);
    return level === DEFECT_LEVEL ? sizes.slice(1) : sizes;
  },
  leaf: (level, sizeLg2) => (sizeLg2 === level * 9 ? { lo: 0, hi: 0 } : sizeCode(sizeLg2)),
  attrs(prot, features) {
    let hi = features.has('force-coherent') ? FC : 0;
    if (prot & IOMMU_READ) hi |= IR;
    if (prot & IOMMU_WRITE) hi |= IW;
    return { lo: PR, hi };
  },
  protOf: (_lo, hi) => (hi & IR ? IOMMU_READ : 0) | (hi & IW ? IOMMU_WRITE : 0),
  contiguous: { mask: { lo: SIZE_IN_ADDRESS, hi: 0 }, sizeLg2: sizeOf },
  dirty: { mask: { lo: D, hi: 0 } },
};

/** The table of the mock driver: 2 KiB granule, three fixed levels, 38 bits in and 51 out. */
export const amdv1mock: PtFormat = {
  ...amdv1,
  name: 'amdv1mock',
  granuleLg2: 11,
  maxVaLg2: 56,
  maxOaLg2: 51,
  features: [],
};
