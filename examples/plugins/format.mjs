// A page-table format of one's own: V, L, R, W are bits 0 to 3, the address is bits 47 to 12 (docs/writing-a-format.md).
import { definePlugin } from 'softiommu/plugin';
import { EOPNOTSUPP, IOMMU_READ, IOMMU_WRITE, refuse } from 'softiommu/pt';

const [V, L, R, W] = [1, 2, 4, 8];

const twig = {
  name: 'twig',
  granuleLg2: 12,
  maxVaLg2: 39,
  maxOaLg2: 48,
  topLevel: { min: 2, max: 2, refusal: EOPNOTSUPP },
  features: [],
  mandatory: [],
  present: { lo: V, hi: 0 },
  kind: { shift: 1, mask: 1, leaves: 0b10 },
  address: { shift: 12, bits: 36 },
  table: () => ({ lo: V, hi: 0 }),
  leafSizes: (level) => [9 * level],
  leaf: () => ({ lo: 0, hi: 0 }),
  attrs(prot) {
    if (!(prot & IOMMU_READ)) return refuse(EOPNOTSUPP, 'what is written may be read', { prot });
    return { lo: V | L | R | (prot & IOMMU_WRITE ? W : 0), hi: 0 };
  },
  protOf(lo) {
    if (!(lo & L)) return IOMMU_READ | IOMMU_WRITE;
    return (lo & R ? IOMMU_READ : 0) | (lo & W ? IOMMU_WRITE : 0);
  },
};

export default definePlugin({ name: 'twig', formats: [twig] });
