/**
 * Formats whose tables are not 512 items long, for the shared suite: one with the widths of Arm's 16 KiB granule and a
 * top table up to four times as long, and RISC-V's for guest physical addresses (Sv39x4: 41 bits, a root of 16 KiB).
 */
import { EINVAL, IOMMU_READ, IOMMU_WRITE, riscv64, type PtFormat } from '../../pt/index.ts';

const VALID = 1 << 0;
const TABLE = 1 << 1;
const R = 1 << 6;
const W = 1 << 7;
const D = 1 << 8;
/** Bit 52 of the word: one of 128 items of a run. */
const RUN = 1 << 20;
const RUN_LG2 = 7;

/** 11 bits a level. A leaf of level 0 looks like one of every other level. */
export const wide: PtFormat = {
  name: 'wide',
  granuleLg2: 14,
  maxVaLg2: 49,
  maxOaLg2: 48,
  levelBits: 11,
  rootBits: 2,
  topLevel: { min: 1, max: 2, refusal: EINVAL },
  features: [],
  mandatory: [],

  present: { lo: VALID, hi: 0 },
  kind: { shift: 1, mask: 1, leaves: 0b01 },
  address: { shift: 14, bits: 34 },

  table: () => ({ lo: VALID | TABLE, hi: 0 }),
  leafSizes: (level) => (level === 0 ? [0, RUN_LG2] : level === 1 ? [11] : []),
  leaf: (level, sizeLg2) => ({ lo: 0, hi: sizeLg2 === 11 * level ? 0 : RUN }),
  attrs: (prot) => ({
    lo: VALID | (prot & IOMMU_READ ? R : 0) | (prot & IOMMU_WRITE ? W : 0),
    hi: 0,
  }),
  protOf(lo) {
    if ((lo & TABLE) !== 0) return IOMMU_READ | IOMMU_WRITE;
    return (lo & R ? IOMMU_READ : 0) | (lo & W ? IOMMU_WRITE : 0);
  },
  contiguous: { mask: { lo: 0, hi: RUN }, sizeLg2: () => RUN_LG2 },
  dirty: { mask: { lo: D, hi: 0 } },
};

/** The top table takes two bits more than every other. */
export const riscv64x4: PtFormat = {
  ...riscv64,
  name: 'riscv_64x4',
  exactVaLg2: [41, 50, 59],
  maxVaLg2: 59,
  rootBits: 2,
  features: ['flush-range', 'detailed-gather', 'svnapot-64k', 'memory-types'],
  mandatory: [],
};
