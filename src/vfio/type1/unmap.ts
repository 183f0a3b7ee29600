/** VFIO_IOMMU_UNMAP_DMA of type1 (vfio.md 1.10). */
import { EBUSY, EINVAL, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { U64_MAX } from '../../base/u64.ts';
import {
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  vfio_bitmap,
  vfio_iommu_type1_dma_unmap,
} from '../../uapi/vfio.ts';
import { behind, copyFromUser, copyToUser, readArg } from '../ioctl.ts';
import { checkBitmap, reportDirty } from './dirty.ts';
import { ALL_PAGES, type Dma } from './dma.ts';
import { removeDma } from './remove.ts';
import { refuseWrap, type Type1Iommu } from './state.ts';

const NOTHING_UNMAPPED = 'nothing is mapped in the range: nothing was unmapped';

/** @kernel vfio_iommu_type1_unmap_dma */
export function unmapDma(iommu: Type1Iommu, task: Task, arg: bigint): Status {
  const unmap = readArg(task, arg, vfio_iommu_type1_dma_unmap, 'size');
  if (isErrno(unmap)) return unmap;
  const bitmap = readFlags(task, arg, unmap);
  if (isErrno(bitmap)) return bitmap;
  const wrong = checkRange(iommu, unmap, bitmap);
  if (wrong) return wrong;
  const removed = unmapRange(iommu, task, unmap, bitmap);
  if (isErrno(removed)) return removed;
  const { flags, iova, size } = unmap;
  if (removed === 0n && !(flags & (VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR))) {
    iommu.world.env.trace.remark(NOTHING_UNMAPPED, { iova, size });
  }
  unmap.size = removed;
  return copyToUser(task, arg, unmap.bytes);
}

/** Flags, and the bitmap header when one is asked for. */
function readFlags(
  task: Task,
  arg: bigint,
  unmap: vfio_iommu_type1_dma_unmap,
): Result<vfio_bitmap | undefined> {
  const { flags } = unmap;
  const known =
    VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;
  if (flags & ~known) return refuse(EINVAL, 'an unknown flag', { flags });
  if (!(flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)) return undefined;
  if (flags & (VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR)) {
    return refuse(EINVAL, 'a dirty bitmap goes with neither ALL nor VADDR', { flags });
  }
  if (unmap.argsz < vfio_iommu_type1_dma_unmap.size + vfio_bitmap.size) {
    return refuse(EINVAL, 'argsz leaves no room for the bitmap', { argsz: unmap.argsz });
  }
  const raw = copyFromUser(task, behind(arg, vfio_iommu_type1_dma_unmap), vfio_bitmap.size);
  if (isErrno(raw)) return raw;
  const bitmap = vfio_bitmap.view(raw);
  return checkBitmap(bitmap, unmap.size) ?? bitmap;
}

function checkRange(
  iommu: Type1Iommu,
  unmap: vfio_iommu_type1_dma_unmap,
  bitmap: vfio_bitmap | undefined,
): Status {
  const { flags, iova, size } = unmap;
  if (flags & VFIO_DMA_UNMAP_FLAG_VADDR && iommu.emulated.length > 0) {
    return refuse(EBUSY, 'an emulated device may use the address of a mapping', {
      iova,
      size,
      emulated: iommu.emulated.length,
    });
  }
  const pgsize = iommu.pgsize;
  if (iova & (pgsize - 1n)) return refuse(EINVAL, 'iova is not page aligned', { iova, pgsize });
  if (flags & VFIO_DMA_UNMAP_FLAG_ALL) {
    if (iova !== 0n || size !== 0n) {
      return refuse(EINVAL, 'ALL takes neither iova nor size', { iova, size });
    }
    return undefined;
  }
  if (size === 0n) return refuse(EINVAL, 'the size is 0', { iova });
  if (size & (pgsize - 1n)) {
    return refuse(EINVAL, 'size is not a multiple of the page size', { size, pgsize });
  }
  if (iova + size - 1n > U64_MAX) return refuseWrap(iommu, { iova, size });
  return bitmap ? checkTracking(iommu, bitmap) : undefined;
}
function checkTracking(iommu: Type1Iommu, bitmap: vfio_bitmap): Status {
  const { pgsize } = iommu;
  if (!iommu.dirtyTracking)
    return refuse(EINVAL, 'dirty tracking is off', { bitmap_size: bitmap.size });
  if (bitmap.pgsize === pgsize) return undefined;
  return refuse(EINVAL, 'the bitmap is not of the smallest page size', { pgsize: bitmap.pgsize });
}

/** Bytes removed, or marked. */
function unmapRange(
  iommu: Type1Iommu,
  task: Task,
  unmap: vfio_iommu_type1_dma_unmap,
  bitmap: vfio_bitmap | undefined,
): Result<bigint> {
  const all = (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  const start = Number(unmap.iova >> 12n);
  const npages = all ? ALL_PAGES : Number(unmap.size >> 12n);
  const met = iommu.dmas.overlapping(start, npages);
  if (iommu.isV2 && !all && met.some((dma) => isCut(dma, start, start + npages))) {
    return refuse(EINVAL, 'the range bisects a mapping', { iova: unmap.iova, size: unmap.size });
  }
  const hit = iommu.isV2 ? met : startingInside(met, start);
  if (unmap.flags & VFIO_DMA_UNMAP_FLAG_VADDR) return invalidate(iommu, hit);
  if (bitmap) {
    const rc = reportDirty(iommu, task, { dmas: hit, iova: unmap.iova, data: bitmap.data });
    if (rc) return rc;
  }
  let removed = 0;
  for (const dma of hit) {
    tellDevices(iommu, dma);
    removed += dma.npages;
    removeDma(iommu, dma);
  }
  return BigInt(removed) << 12n;
}
function isCut(dma: Dma, start: number, end: number): boolean {
  return dma.start < start || dma.start + dma.npages > end;
}
/** v1: a mapping that begins before the range ends the walk; one that ends behind it goes whole. */
function startingInside(met: readonly Dma[], start: number): readonly Dma[] {
  return met.length > 0 && met[0]!.start < start ? [] : met;
}

function invalidate(iommu: Type1Iommu, dmas: readonly Dma[]): Result<bigint> {
  const invalid = dmas.find((dma) => dma.vaddrInvalid);
  if (invalid) {
    return refuse(EINVAL, 'the address of a mapping in the range is invalid already', {
      iova: BigInt(invalid.start) << 12n,
    });
  }
  let marked = 0;
  for (const dma of dmas) {
    dma.vaddrInvalid = true;
    iommu.vaddrInvalidCount++;
    marked += dma.npages;
  }
  return BigInt(marked) << 12n;
}
/** Drivers of emulated devices let go of pages they pinned in a mapping before it goes. */
function tellDevices(iommu: Type1Iommu, dma: Dma): void {
  if (dma.devicePins.size === 0) return;
  const iova = BigInt(dma.start) << 12n;
  const length = BigInt(dma.npages) << 12n;
  for (const device of iommu.devices) device.ops.dmaUnmap?.(iova, length);
}
