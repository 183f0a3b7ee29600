/**
 * Dirty pages of a type1 container: START, STOP, GET, and the bitmap of an unmap (vfio.md 1.11, 1.10).
 *
 * No real group of ours tells which pages its devices wrote, so as long as one is attached every page of every
 * mapping is dirty at every look. With emulated groups alone, the pages their drivers pinned are.
 */
import { EACCES, EFAULT, EINVAL, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { ffs, U64_MAX } from '../../base/u64.ts';
import {
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
} from '../../uapi/vfio.ts';
import { behind, copyFromUser, copyToUser, readArg } from '../ioctl.ts';
import type { Dma } from './dma.ts';
import { refuseWrap, type Type1Iommu } from './state.ts';

/** Bytes of a bitmap that a call may ask for. */
export const MAX_DIRTY_BITMAP = 0x1000_0000n;
const MAX_PAGES = 0x7fff_ffff;
/** First address that is not a user's. */
const USER_END = 1n << 47n;

/** @kernel vfio_iommu_type1_dirty_pages */
export function dirtyPages(iommu: Type1Iommu, task: Task, arg: bigint): Status {
  if (!iommu.isV2) return refuse(EACCES, 'type1 v1 has no dirty tracking', { pid: task.pid });
  const dirty = readArg(task, arg, vfio_iommu_type1_dirty_bitmap, 'flags');
  if (isErrno(dirty)) return dirty;
  switch (dirty.flags) {
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
      return start(iommu);
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
      stop(iommu);
      return undefined;
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
      return getBitmap(iommu, task, arg, dirty.argsz);
    default:
      return refuse(EINVAL, 'exactly one of START, STOP and GET_BITMAP', { flags: dirty.flags });
  }
}

function start(iommu: Type1Iommu): Status {
  if (iommu.dirtyTracking) return undefined;
  const pgsize = iommu.pgsize;
  for (const dma of iommu.dmas) {
    if (bitCount(dma, pgsize) > MAX_PAGES) {
      return refuse(EINVAL, 'a mapping is too large for a dirty bitmap', { pages: dma.npages });
    }
  }
  for (const dma of iommu.dmas) dma.dirty = newDirtyBitmap(dma, pgsize);
  iommu.dirtyTracking = true;
  return undefined;
}
function stop(iommu: Type1Iommu): void {
  for (const dma of iommu.dmas) dma.dirty = undefined;
  iommu.dirtyTracking = false;
}

function bitCount(dma: Dma, pgsize: bigint): number {
  return Math.ceil(dma.npages / 2 ** (ffs(pgsize) - 12));
}
/** Pages that devices hold pinned are dirty from the start. */
export function newDirtyBitmap(dma: Dma, pgsize: bigint): Uint8Array {
  const bits = new Uint8Array(Math.ceil(bitCount(dma, pgsize) / 8));
  const perBit = 2 ** (ffs(pgsize) - 12);
  for (const page of dma.devicePins.keys()) {
    const bit = Math.floor((page - dma.start) / perBit);
    bits[bit >> 3]! |= 1 << (bit & 7);
  }
  return bits;
}

/** Does the bitmap have a place and enough room for `size` bytes of I/O space? */
export function checkBitmap(
  bitmap: { pgsize: bigint; size: bigint; data: bigint },
  size: bigint,
): Status<'EINVAL'> {
  if (bitmap.data >= USER_END) {
    return refuse(EINVAL, 'the bitmap is not in user space', { data: bitmap.data });
  }
  const npages = bitmap.pgsize === 0n ? 0n : size >> BigInt(ffs(bitmap.pgsize));
  const needed = ((npages + 63n) / 64n) * 8n;
  if (npages > 0n && bitmap.size > 0n && bitmap.size <= MAX_DIRTY_BITMAP && bitmap.size >= needed) {
    return undefined;
  }
  return refuse(EINVAL, 'the bitmap does not have the right size', { size: bitmap.size, needed });
}

function getBitmap(iommu: Type1Iommu, task: Task, arg: bigint, argsz: number): Status {
  const get = readGet(task, arg, argsz);
  if (isErrno(get)) return get;
  const wrong = checkGet(iommu, get);
  if (wrong) return wrong;
  const first = Number(get.iova >> 12n);
  const npages = Number(get.size >> 12n);
  const dmas = iommu.dmas.overlapping(first, npages);
  for (const dma of dmas) {
    if (dma.start < first || dma.start + dma.npages > first + npages) {
      return refuse(EINVAL, 'the range bisects a mapping', { iova: get.iova, size: get.size });
    }
  }
  return reportDirty(iommu, task, { dmas, iova: get.iova, data: get.data });
}
function readGet(
  task: Task,
  arg: bigint,
  argsz: number,
): Result<vfio_iommu_type1_dirty_bitmap_get> {
  const head = vfio_iommu_type1_dirty_bitmap;
  const type = vfio_iommu_type1_dirty_bitmap_get;
  if (argsz < head.size + type.size) {
    return refuse(EINVAL, 'argsz leaves no room for the range', { argsz });
  }
  const raw = copyFromUser(task, behind(arg, head), type.size);
  return isErrno(raw) ? raw : type.view(raw);
}
function checkGet(iommu: Type1Iommu, get: vfio_iommu_type1_dirty_bitmap_get): Status {
  const { iova, size } = get;
  if (size === 0n) return refuse(EINVAL, 'the size is 0', { iova });
  if (iova + size - 1n > U64_MAX) return refuseWrap(iommu, { iova, size });
  const room = checkBitmap({ pgsize: get.pgsize, size: get.bitmap_size, data: get.data }, size);
  if (room) return room;
  const pgsize = iommu.pgsize;
  if (get.pgsize !== pgsize) {
    return refuse(EINVAL, 'the bitmap is not of the smallest page size', { pgsize: get.pgsize });
  }
  if ((iova | size) & (pgsize - 1n)) {
    return refuse(EINVAL, 'the range is not page aligned', { iova, size });
  }
  return iommu.dirtyTracking ? undefined : refuse(EINVAL, 'dirty tracking is off', { iova, size });
}

/** Write the bits of these mappings, bit 0 being the page at `iova`, and forget them. Other bits stay. */
export function reportDirty(
  iommu: Type1Iommu,
  task: Task,
  about: { dmas: readonly Dma[]; iova: bigint; data: bigint },
): Status {
  const pgsize = iommu.pgsize;
  const perBit = 2 ** (ffs(pgsize) - 12);
  const first = Number(about.iova >> 12n);
  for (const dma of about.dmas) {
    const count = bitCount(dma, pgsize);
    const dirty = dirtyNow(iommu, dma, count);
    const rc = writeBits(task, about.data, {
      at: (dma.start - first) / perBit,
      count,
      bits: dirty,
    });
    if (rc) return rc;
    dma.dirty = newDirtyBitmap(dma, pgsize);
  }
  return undefined;
}
function dirtyNow(iommu: Type1Iommu, dma: Dma, count: number): Uint8Array {
  const untracked = iommu.domains.length > 0 && dma.iommuMapped;
  return untracked ? new Uint8Array(Math.ceil(count / 8)).fill(0xff) : dma.dirty!;
}
/** Bits [at, at + count) of the user's bitmap become those given; at is 0 or more: mappings lie inside the range. */
function writeBits(
  task: Task,
  data: bigint,
  what: { at: number; count: number; bits: Uint8Array },
): Status {
  const from = Math.floor(what.at / 8);
  const length = Math.floor((what.at + what.count + 7) / 8) - from;
  const bytes = copyFromUser(task, data + BigInt(from), length);
  if (isErrno(bytes)) return refuse(EFAULT, 'the bitmap cannot be reached', { data });
  for (let n = 0; n < what.count; n++) {
    const to = what.at - from * 8 + n;
    const on = (what.bits[n >> 3]! >> (n & 7)) & 1;
    if (on) bytes[to >> 3]! |= 1 << (to & 7);
    else bytes[to >> 3]! &= ~(1 << (to & 7));
  }
  return copyToUser(task, data + BigInt(from), bytes);
}
