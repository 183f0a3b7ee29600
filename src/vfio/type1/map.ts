/** VFIO_IOMMU_MAP_DMA of type1: the checks in their order, then pin and map (vfio.md 1.9). */
import {
  EEXIST,
  EINVAL,
  ENOENT,
  ENOSPC,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { firstOf, refuse } from '../../base/refuse.ts';
import { CAP_IPC_LOCK, type Task } from '../../base/task.ts';
import { U64_MAX, hexRange } from '../../base/u64.ts';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  vfio_iommu_type1_dma_map,
} from '../../uapi/vfio.ts';
import { isValidIova } from './iova-list.ts';
import { readArg } from '../ioctl.ts';
import { newDirtyBitmap } from './dirty.ts';
import type { Dma } from './dma.ts';
import { mapIntoDomain, pinDma, unmapFromDomain, unpinDma, refuseLimit } from './pin.ts';
import { refuseWrap, type Type1Iommu } from './state.ts';

const READ_WRITE = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;

/** @kernel vfio_iommu_type1_map_dma */
export function mapDma(iommu: Type1Iommu, task: Task, arg: bigint): Status {
  const map = readArg(task, arg, vfio_iommu_type1_dma_map, 'size');
  if (isErrno(map)) return map;
  const wrong = firstOf(ARGUMENT_CHECKS, map, iommu);
  if (wrong) return wrong;
  const start = Number(map.iova >> 12n);
  const npages = Number(map.size >> 12n);
  if (map.flags & VFIO_DMA_MAP_FLAG_VADDR) return updateVaddr(iommu, task, map, { start, npages });
  const there = iommu.dmas.find(start, npages);
  if (there) {
    return refuse(EEXIST, 'the range overlaps a mapping', {
      iova: map.iova,
      size: map.size,
      mapping: hexRange(
        BigInt(there.start) << 12n,
        (BigInt(there.start + there.npages) << 12n) - 1n,
      ),
    });
  }
  if (iommu.available === 0) {
    return refuse(ENOSPC, 'dma_entry_limit mappings exist', { mappings: iommu.dmas.size });
  }
  if (!isValidIova(iommu.iovas, map.iova, map.iova + map.size - 1n)) {
    return refuse(EINVAL, 'the range is not inside the valid I/O addresses', {
      iova: map.iova,
      size: map.size,
      valid: iommu.iovas.map((range) => hexRange(range.start, range.last)).join(', '),
    });
  }
  return addMapping(iommu, newDma(task, map, { start, npages }));
}

/** In the kernel's order. */
const ARGUMENT_CHECKS: readonly ((map: vfio_iommu_type1_dma_map, iommu: Type1Iommu) => Status)[] = [
  ({ flags }) => {
    if ((flags & ~(READ_WRITE | VFIO_DMA_MAP_FLAG_VADDR)) === 0) return undefined;
    return refuse(EINVAL, 'an unknown flag', { flags });
  },
  ({ size, iova, vaddr }) => {
    return size === 0n ? refuse(EINVAL, 'the size is 0', { iova, vaddr }) : undefined;
  },
  ({ size, iova }, iommu) => {
    return iova + size - 1n > U64_MAX ? refuseWrap(iommu, { iova, size }) : undefined;
  },
  ({ size, vaddr }, iommu) => {
    return vaddr + size - 1n > U64_MAX ? refuseWrap(iommu, { vaddr, size }) : undefined;
  },
  ({ flags }) => {
    const vaddrOnly = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
    if (vaddrOnly !== ((flags & READ_WRITE) !== 0)) return undefined;
    return refuse(EINVAL, 'either READ or WRITE, or VADDR alone', { flags });
  },
  ({ size, iova, vaddr }, { pgsize }) => {
    if (((size | iova | vaddr) & (pgsize - 1n)) === 0n) return undefined;
    return refuse(EINVAL, 'not a multiple of the page size', { iova, vaddr, size, pgsize });
  },
];

interface Pages {
  readonly start: number;
  readonly npages: number;
}

function lockLimitOf(task: Task): number {
  return task.capable(CAP_IPC_LOCK) ? Infinity : Number(task.rlimitMemlock >> 12n);
}
function newDma(task: Task, map: vfio_iommu_type1_dma_map, pages: Pages): Dma {
  return {
    ...pages,
    vaddr: Number(map.vaddr >> 12n),
    read: (map.flags & VFIO_DMA_MAP_FLAG_READ) !== 0,
    write: (map.flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0,
    mm: task.mm,
    lockLimit: lockLimitOf(task),
    vaddrInvalid: false,
    iommuMapped: false,
    runs: [],
    accounted: 0,
    dirty: undefined,
    devicePins: new Map(),
  };
}

/** Pin, map into every domain, publish; nothing stays of it on failure. */
function addMapping(iommu: Type1Iommu, dma: Dma): Status {
  if (iommu.domains.length > 0) {
    const rc = pinDma(iommu.world.memory, dma) ?? mapEverywhere(iommu, dma);
    if (rc) {
      unpinDma(iommu.world.memory, dma);
      return rc;
    }
    dma.iommuMapped = true;
  }
  if (iommu.dirtyTracking) dma.dirty = newDirtyBitmap(dma, iommu.pgsize);
  iommu.dmas.insert(dma);
  iommu.available--;
  return undefined;
}
function mapEverywhere(iommu: Type1Iommu, dma: Dma): Status {
  for (const [n, { domain }] of iommu.domains.entries()) {
    const rc = mapIntoDomain(domain, dma);
    if (!rc) continue;
    for (const done of iommu.domains.slice(0, n)) unmapFromDomain(done.domain, dma);
    return rc;
  }
  return undefined;
}

/** The memory of an existing mapping moved to another address, perhaps of another process (exec of a new QEMU). */
function updateVaddr(
  iommu: Type1Iommu,
  task: Task,
  map: vfio_iommu_type1_dma_map,
  pages: Pages,
): Status {
  const dma = findInvalid(iommu, pages);
  if (isErrno(dma)) return dma;
  const moved = dma.mm !== task.mm;
  const limit = lockLimitOf(task);
  if (moved && task.mm.lockedVm + dma.accounted > limit) {
    return refuseLimit(task.mm.lockedVm, dma.accounted, limit);
  }
  if (moved) {
    dma.mm.lockedVm -= dma.accounted;
    task.mm.lockedVm += dma.accounted;
    dma.mm = task.mm;
    dma.lockLimit = limit;
  }
  dma.vaddr = Number(map.vaddr >> 12n);
  dma.vaddrInvalid = false;
  iommu.vaddrInvalidCount--;
  return undefined;
}
function findInvalid(iommu: Type1Iommu, { start, npages }: Pages): Result<Dma> {
  const dma = iommu.dmas.find(start, npages);
  if (!dma) return refuse(ENOENT, 'there is no mapping to give a new address', { page: start });
  if (dma.start !== start || dma.npages !== npages || !dma.vaddrInvalid) {
    return refuse(EINVAL, 'not exactly one mapping whose address is invalid', {
      page: start,
      npages,
    });
  }
  return dma;
}
