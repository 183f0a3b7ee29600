/** VFIO_IOMMU_GET_INFO of type1: page sizes and the capability chain (vfio.md 1.8). */
import { isErrno, type Status } from '../../base/errno.ts';
import type { Task } from '../../base/task.ts';
import {
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info,
} from '../../uapi/vfio.ts';
import { capChain, copyToUser, readArg, type InfoCap } from '../ioctl.ts';
import { MAX_DIRTY_BITMAP } from './dirty.ts';
import type { Type1Iommu } from './state.ts';

/** @kernel vfio_iommu_type1_get_info */
export function getInfo(iommu: Type1Iommu, task: Task, arg: bigint): Status {
  const info = readArg(task, arg, vfio_iommu_type1_info, 16);
  if (isErrno(info)) return info;
  const { argsz } = info;
  const size = vfio_iommu_type1_info.size;
  info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
  info.iova_pgsizes = iommu.pgsizes;
  info.cap_offset = 0;
  const chain = capChain(capsOf(iommu), size);
  if (argsz < size + chain.length) {
    info.argsz = size + chain.length;
  } else {
    const rc = copyToUser(task, arg + BigInt(size), chain);
    if (rc) return rc;
    info.cap_offset = size;
  }
  return copyToUser(task, arg, info.bytes.subarray(0, Math.min(argsz, size)));
}
function capsOf(iommu: Type1Iommu): InfoCap[] {
  const migration = new DataView(new ArrayBuffer(24));
  migration.setBigUint64(8, iommu.pgsize, true);
  migration.setBigUint64(16, MAX_DIRTY_BITMAP, true);
  const avail = new DataView(new ArrayBuffer(4));
  avail.setUint32(0, iommu.available, true);
  const caps = [
    { id: VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, version: 1, body: bytesOf(migration) },
    { id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1, body: bytesOf(avail) },
  ];
  if (iommu.iovas.length === 0) return caps;
  const ranges = new DataView(new ArrayBuffer(8 + 16 * iommu.iovas.length));
  ranges.setUint32(0, iommu.iovas.length, true);
  for (const [n, range] of iommu.iovas.entries()) {
    ranges.setBigUint64(8 + 16 * n, range.start, true);
    ranges.setBigUint64(16 + 16 * n, range.last, true);
  }
  caps.push({ id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version: 1, body: bytesOf(ranges) });
  return caps;
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer);
}
