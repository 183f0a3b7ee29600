/**
 * The reserved regions of a device, and of all devices of a group in order (core.md 3.6).
 */
import type { Device } from './device.ts';
import { devHasIommu } from './device.ts';
import { callGetResvRegions } from './driver-call.ts';
import type { IommuGroup } from './group.ts';
import { type ResvRegion } from './resv-region.ts';

/**
 * What the driver says of one device, as it says it.
 * @kernel iommu_get_resv_regions
 */
export function getResvRegions(dev: Device): readonly ResvRegion[] {
  if (!devHasIommu(dev)) return [];
  return callGetResvRegions(dev.iommu.iommuDev.ops, dev);
}

/**
 * The regions of all members, sorted and merged. Ends at the first member without an IOMMU: none for a fake group.
 * @kernel iommu_get_group_resv_regions
 */
export function getGroupResvRegions(group: IommuGroup): readonly ResvRegion[] {
  using _ = group.mutex.hold();
  const regions: ResvRegion[] = [];
  for (const { dev } of group.devices) {
    if (!devHasIommu(dev)) break;
    for (const region of getResvRegions(dev)) insertResvRegion(regions, region);
  }
  return regions;
}

/**
 * Add a region to a list sorted by start, the smaller type first where starts are equal. Regions of its own type that
 * overlap or touch become one; other types are neither merged nor split.
 * @kernel iommu_insert_resv_region
 */
export function insertResvRegion(regions: ResvRegion[], region: ResvRegion): void {
  const at = regions.findIndex((other) => !isBefore(other, region));
  regions.splice(at < 0 ? regions.length : at, 0, region);
  const kept: ResvRegion[] = [];
  let last = -1;
  for (const next of regions) {
    const top = kept[last];
    if (next.type === region.type && top && next.start <= top.start + top.length) {
      const end = next.start + next.length;
      if (end > top.start + top.length) kept[last] = { ...top, length: end - top.start };
      continue;
    }
    if (next.type === region.type) last = kept.length;
    kept.push(next);
  }
  regions.splice(0, regions.length, ...kept);
}

/** Equal places put the newcomer first. */
function isBefore(old: ResvRegion, newcomer: ResvRegion): boolean {
  if (old.start !== newcomer.start) return old.start < newcomer.start;
  return old.type < newcomer.type;
}
