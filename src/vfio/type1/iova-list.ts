/**
 * The valid I/O addresses of a container: apertures of its domains minus reserved regions (vfio.md 1.13, 1.15).
 *
 * Ranges are bytes with inclusive ends, sorted. An empty list before the first real group means: no limit known.
 */
import { EINVAL, type Status } from '../../base/errno.ts';
import type { IovaRange } from '../../base/iova-range.ts';
import { refuse } from '../../base/refuse.ts';
import { IOMMU_RESV_DIRECT_RELAXABLE, type ResvRegion } from '../../core/contract/resv-region.ts';
import type { DmaList } from './dma.ts';

/** Does a new aperture leave a common range and every mapping in place? @kernel vfio_iommu_aper_conflict */
export function checkAperture(
  list: readonly IovaRange[],
  dmas: DmaList,
  aperture: IovaRange,
): Status {
  if (list.length === 0) return undefined;
  const first = list[0]!.start;
  const last = list[list.length - 1]!.last;
  const facts = { start: aperture.start, last: aperture.last };
  if (aperture.start > last || aperture.last < first) {
    return refuse(
      EINVAL,
      'the aperture of the new domain has nothing in common with the old',
      facts,
    );
  }
  const below = aperture.start > first && overlaps(dmas, first, aperture.start - 1n);
  const above = aperture.last < last && overlaps(dmas, aperture.last + 1n, last);
  if (!below && !above) return undefined;
  return refuse(EINVAL, 'the aperture of the new domain cuts off a mapping', facts);
}

/** @kernel vfio_iommu_resv_conflict */
export function checkReserved(regions: readonly ResvRegion[], dmas: DmaList): Status {
  for (const region of regions) {
    if (region.type === IOMMU_RESV_DIRECT_RELAXABLE) continue;
    if (!overlaps(dmas, region.start, region.start + region.length - 1n)) continue;
    const facts = { start: region.start, length: region.length };
    return refuse(EINVAL, 'a reserved region of the group overlaps a mapping', facts);
  }
  return undefined;
}

/** @kernel vfio_iommu_aper_resize */
export function clipToAperture(list: readonly IovaRange[], aperture: IovaRange): IovaRange[] {
  if (list.length === 0) return [aperture];
  const clipped: IovaRange[] = [];
  for (const range of list) {
    const start = range.start > aperture.start ? range.start : aperture.start;
    const last = range.last < aperture.last ? range.last : aperture.last;
    if (start <= last) clipped.push({ start, last });
  }
  return clipped;
}
/** @kernel vfio_iommu_resv_exclude */
export function cutReserved(
  list: readonly IovaRange[],
  regions: readonly ResvRegion[],
): IovaRange[] {
  let left = [...list];
  for (const region of regions) {
    if (region.type === IOMMU_RESV_DIRECT_RELAXABLE || region.length === 0n) continue;
    left = left.flatMap((range) => cut(range, region.start, region.start + region.length - 1n));
  }
  return left;
}
function cut(range: IovaRange, start: bigint, last: bigint): IovaRange[] {
  if (start > range.last || last < range.start) return [range];
  const rest: IovaRange[] = [];
  if (range.start < start) rest.push({ start: range.start, last: start - 1n });
  if (last < range.last) rest.push({ start: last + 1n, last: range.last });
  return rest;
}

/** An empty list allows everything. */
export function isValidIova(list: readonly IovaRange[], start: bigint, last: bigint): boolean {
  return list.length === 0 || list.some((range) => range.start <= start && last <= range.last);
}

function overlaps(dmas: DmaList, start: bigint, last: bigint): boolean {
  const first = Number(start >> 12n);
  return dmas.find(first, Number(last >> 12n) - first + 1) !== undefined;
}
