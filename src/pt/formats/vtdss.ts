/**
 * VT-d second stage (formats.md 3; VT-d 3.7, 9.8): second-level tables of legacy and scalable mode, and nest parents.
 *
 * No present bit: an item is empty when the whole word is 0.
 */
import { EINVAL, EOPNOTSUPP, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { PtFormat, Word } from '../format.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../page-table.ts';

const R = 1 << 0;
const W = 1 << 1;
const PS = 1 << 7;
const D = 1 << 9;
const FLUSHED = 1 << 10;
const SNP = 1 << 11;

export const vtdss: PtFormat = {
  name: 'vtdss',
  granuleLg2: 12,
  maxVaLg2: 57,
  maxOaLg2: 52,
  topLevel: { min: 2, max: 4, refusal: EOPNOTSUPP },
  features: ['dma-incoherent', 'flush-range', 'force-coherent', 'force-writable'],
  mandatory: [],

  present: { lo: -1, hi: -1 },
  kind: { shift: 7, mask: 1, leaves: 0b10 },
  address: { shift: 12, bits: 40 },
  flushed: { lo: FLUSHED, hi: 0 },

  table: () => ({ lo: R | W, hi: 0 }),
  leafSizes: (level) => (level <= 2 ? [level * 9] : []),
  leaf: (level) => ({ lo: level === 0 ? 0 : PS, hi: 0 }),
  attrs(prot, features): Result<Word, 'EINVAL'> {
    if (features.has('force-writable') && !(prot & IOMMU_WRITE)) {
      return refuse(EINVAL, 'a nest parent maps nothing read-only', { prot });
    }
    let lo = 0;
    if (prot & IOMMU_READ) lo |= R;
    if (prot & IOMMU_WRITE) lo |= W;
    if (features.has('force-coherent')) lo |= SNP;
    return { lo, hi: 0 };
  },
  protOf: (lo) => (lo & R ? IOMMU_READ : 0) | (lo & W ? IOMMU_WRITE : 0),
  dirty: { mask: { lo: D, hi: 0 } },
};
