/**
 * x86-64 (formats.md 4; VT-d 3.6, 9.7; Intel SDM volume 3A, "Paging"): VT-d first stage with sign extension, AMD v2
 * (guest tables) without.
 *
 * The kernel's memory encryption feature is left out: the simulated machine has no encryption bit.
 */
import { EOPNOTSUPP } from '../../base/errno.ts';
import type { PtFormat } from '../format.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../page-table.ts';

const P = 1 << 0;
const RW = 1 << 1;
const U = 1 << 2;
const A = 1 << 5;
const D = 1 << 6;
const PS = 1 << 7;
const FLUSHED = 1 << 9;

export const x86_64: PtFormat = {
  name: 'x86_64',
  granuleLg2: 12,
  maxVaLg2: 57,
  maxOaLg2: 52,
  topLevel: { min: 3, max: 4, refusal: EOPNOTSUPP },
  features: ['dma-incoherent', 'sign-extend', 'flush-range', 'flush-range-no-gaps'],
  mandatory: [],

  present: { lo: P, hi: 0 },
  kind: { shift: 7, mask: 1, leaves: 0b10 },
  address: { shift: 12, bits: 40 },
  flushed: { lo: FLUSHED, hi: 0 },

  table: () => ({ lo: P | RW | U | A, hi: 0 }),
  leafSizes: (level) => (level <= 2 ? [level * 9] : []),
  leaf: (level) => ({ lo: level === 0 ? 0 : PS, hi: 0 }),
  attrs: (prot) => ({ lo: P | U | A | (prot & IOMMU_WRITE ? RW | D : 0), hi: 0 }),
  protOf: (lo) => (lo & P ? IOMMU_READ : 0) | (lo & RW ? IOMMU_WRITE : 0),
};
