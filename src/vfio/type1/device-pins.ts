/**
 * Pages that drivers of emulated devices pin in a type1 container (vfio.md 1.10 step 10, 1.11, 1.13).
 *
 * They count against the limit only where the mapping is not pinned as a whole for a real group.
 */
import { refuseLimit } from './pin.ts';
import {
  EACCES,
  EBUSY,
  EINVAL,
  EPERM,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { VfioDevice } from '../device.ts';
import type { Dma } from './dma.ts';
import type { Type1Iommu } from './state.ts';

/**
 * Frame numbers of `npages` pages from an I/O page on, held until unpinPages or until they are unmapped.
 * EACCES: v1; EBUSY: an address is invalid; EINVAL: the device hears of no unmaps, or a page is not mapped; EPERM:
 * the mapping does not allow the access; EFAULT; ENOMEM.
 * @kernel vfio_pin_pages
 */
export function pinPages(
  iommu: Type1Iommu,
  device: VfioDevice,
  range: { readonly page: number; readonly npages: number; readonly write: boolean },
): Result<number[]> {
  if (!iommu.isV2)
    return refuse(EACCES, 'type1 v1 pins no pages for devices', { device: device.dev.name });
  if (iommu.vaddrInvalidCount > 0)
    return refuse(EBUSY, 'the address of a mapping is invalid', {
      device: device.dev.name,
      invalid: iommu.vaddrInvalidCount,
    });
  if (!iommu.devices.has(device)) {
    return refuse(EINVAL, 'the device would not hear of an unmap', { device: device.dev.name });
  }
  const pfns: number[] = [];
  for (let n = 0; n < range.npages; n++) {
    const pfn = pinPage(iommu, range.page + n, range.write);
    if (isErrno(pfn)) {
      unpinPages(iommu, range.page, n);
      return pfn;
    }
    pfns.push(pfn);
  }
  return pfns;
}
/** One count of each page; what is not pinned is passed over. @kernel vfio_unpin_pages */
export function unpinPages(iommu: Type1Iommu, page: number, npages: number): void {
  for (let n = page; n < page + npages; n++) {
    const dma = iommu.dmas.find(n, 1);
    const pin = dma?.devicePins.get(n);
    if (!dma || !pin) continue;
    iommu.world.memory.unpin(pin.pfn, 1, dma.write);
    if (--pin.count > 0) continue;
    dma.devicePins.delete(n);
    if (!dma.iommuMapped) dma.mm.lockedVm--;
  }
}

function pinPage(iommu: Type1Iommu, page: number, write: boolean): Result<number> {
  const dma = iommu.dmas.find(page, 1);
  if (!dma) return refuse(EINVAL, 'the page is not mapped', { page });
  if (write ? !dma.write : !dma.read) {
    return refuse(EPERM, 'the mapping does not allow the access', { page, write });
  }
  const held = dma.devicePins.get(page);
  const over = !held && !dma.iommuMapped && dma.mm.lockedVm + 1 > dma.lockLimit;
  if (over) {
    return refuseLimit(dma.mm.lockedVm, 1, dma.lockLimit);
  }
  const pfns = new Float64Array(1);
  const rc: Status = dma.mm.pin(dma.vaddr + page - dma.start, 1, dma.write, pfns, 0);
  if (rc) return rc;
  if (held) {
    held.count++;
    return held.pfn;
  }
  dma.devicePins.set(page, { pfn: pfns[0]!, count: 1 });
  if (!dma.iommuMapped) dma.mm.lockedVm++;
  markDirty(dma, page, iommu.pgsize);
  return pfns[0]!;
}
function markDirty(dma: Dma, page: number, pgsize: bigint): void {
  if (!dma.dirty) return;
  const bit = Math.floor((page - dma.start) / Number(pgsize >> 12n));
  dma.dirty[bit >> 3]! |= 1 << (bit & 7);
}

/** The mapping as a whole becomes pinned, or stops being so: its pages are counted once either way. */
export function setIommuMapped(dma: Dma, mapped: boolean): void {
  if (dma.iommuMapped === mapped) return;
  dma.iommuMapped = mapped;
  dma.mm.lockedVm += mapped ? -dma.devicePins.size : dma.devicePins.size;
}
/** The mapping goes and takes with it what its drivers still hold. */
export function dropDevicePins(iommu: Type1Iommu, dma: Dma): void {
  for (const [page, { count }] of [...dma.devicePins]) {
    for (let n = 0; n < count; n++) unpinPages(iommu, page, 1);
  }
}
