/** Apertures and reserved regions against what is mapped (vfio.md 1.13, 1.15). */
import { expect, test } from 'vitest';
import { EINVAL } from '../../base/errno.ts';
import { IOMMU_RESV_RESERVED } from '../../core/contract/resv-region.ts';
import { checkAperture, clipToAperture, cutReserved } from './iova-list.ts';
import { DmaList, type Dma } from './dma.ts';

const LIST = [{ start: 0x1000n, last: 0xf_ffffn }];

/** Mappings of one page each at these I/O addresses. */
function mapped(...iovas: number[]): DmaList {
  const dmas = new DmaList();
  for (const iova of iovas) dmas.insert({ start: iova / 4096, npages: 1 } as Dma);
  return dmas;
}

test.for([
  ['above all that is valid', { start: 0x10_0000n, last: 0x20_0000n }, mapped(), EINVAL],
  ['below all that is valid', { start: 0n, last: 0xfffn }, mapped(), EINVAL],
  ['a mapping below it', { start: 0x4000n, last: 0xf_ffffn }, mapped(0x3000), EINVAL],
  ['a mapping above it', { start: 0n, last: 0x7fffn }, mapped(0x8000), EINVAL],
  ['mappings at both ends', { start: 0x4000n, last: 0x7fffn }, mapped(0x4000, 0x7000), undefined],
] as const)('a new aperture is judged by the list: %s', ([, aperture, dmas, answer]) => {
  expect(checkAperture(LIST, dmas, aperture)).toBe(answer);
});

test('the first aperture is always right', () => {
  expect(checkAperture([], mapped(0), { start: 0x1000n, last: 0x1fffn })).toBeUndefined();
});

test('reserved regions can leave nothing', () => {
  const clipped = clipToAperture(LIST, { start: 0x2000n, last: 0x2fffn });
  expect(clipped).toEqual([{ start: 0x2000n, last: 0x2fffn }]);
  const region = { start: 0n, length: 0x10000n, prot: 0, type: IOMMU_RESV_RESERVED };
  expect(cutReserved(clipped, [region])).toEqual([]);
});
