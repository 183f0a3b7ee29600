/**
 * RISC-V Sv39, Sv48 and Sv57 (formats.md 5; RISC-V privileged architecture 12.4 to 12.6, 13, 14), with Svnapot 64 KiB
 * leaves and page-based memory types.
 */
import { EINVAL, EOPNOTSUPP, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { PtFormat, Word } from '../format.ts';
import { IOMMU_CACHE, IOMMU_MMIO, IOMMU_NOEXEC, IOMMU_READ, IOMMU_WRITE } from '../page-table.ts';

const V = 1 << 0;
const R = 1 << 1;
const W = 1 << 2;
const X = 1 << 3;
const U = 1 << 4;
const A = 1 << 6;
const D = 1 << 7;
/** Bits 61, 62 and 63 of the word. */
const PBMT_NC = 1 << 29;
const PBMT_IO = 1 << 30;
const N = 1 << 31;
/** Svnapot: 16 items, and 1000b in the low bits of the page number. */
const NAPOT_LG2 = 4;
const NAPOT_CODE = 1 << 13;

function memoryType(prot: number): number {
  if (prot & IOMMU_MMIO) return PBMT_IO;
  return prot & IOMMU_CACHE ? 0 : PBMT_NC;
}

export const riscv64: PtFormat = {
  name: 'riscv_64',
  granuleLg2: 12,
  maxVaLg2: 57,
  maxOaLg2: 56,
  exactVaLg2: [39, 48, 57],
  topLevel: { min: 2, max: 4, refusal: EINVAL },
  features: ['sign-extend', 'flush-range', 'detailed-gather', 'svnapot-64k', 'memory-types'],
  mandatory: ['sign-extend'],

  present: { lo: V, hi: 0 },
  kind: { shift: 1, mask: 7, leaves: 0b1111_1110 },
  address: { shift: 10, bits: 44 },

  table: () => ({ lo: V, hi: 0 }),
  leafSizes: (level, features) =>
    level === 0 && features.has('svnapot-64k') ? [0, NAPOT_LG2] : [level * 9],
  leaf: (level, sizeLg2) => (sizeLg2 === level * 9 ? { lo: 0, hi: 0 } : { lo: NAPOT_CODE, hi: N }),
  attrs(prot, features): Result<Word, 'EOPNOTSUPP'> {
    let lo = V | A | U;
    if (prot & IOMMU_WRITE) lo |= W | R | D;
    if (prot & IOMMU_READ) lo |= R;
    if (!(prot & IOMMU_NOEXEC)) lo |= X;
    if (!(lo & (R | W | X))) return refuse(EOPNOTSUPP, 'a leaf must allow some access', { prot });
    return { lo, hi: features.has('memory-types') ? memoryType(prot) : 0 };
  },
  protOf(lo) {
    if (!(lo & (R | W | X))) return IOMMU_READ | IOMMU_WRITE;
    const rights = (lo & R ? IOMMU_READ : 0) | (lo & W ? IOMMU_WRITE : 0);
    return lo & X ? rights : rights | IOMMU_NOEXEC;
  },
  contiguous: { mask: { lo: 0, hi: N }, sizeLg2: () => NAPOT_LG2 },
};
