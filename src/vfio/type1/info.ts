/** VFIO_IOMMU_GET_INFO of type1: page sizes and the capability chain (vfio.md 1.8). */
import { isErrno, type Status } from '../../base/errno.ts';
import { joined } from '../../base/struct.ts';
import type { Task } from '../../base/task.ts';
import {
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_cap_migration,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from '../../uapi/vfio.ts';
import { behind, capChain, copyToUser, readArg, type InfoCap } from '../ioctl.ts';
import { MAX_DIRTY_BITMAP } from './dirty.ts';
import type { Type1Iommu } from './state.ts';

/** @kernel vfio_iommu_type1_get_info */
export function getInfo(iommu: Type1Iommu, task: Task, arg: bigint): Status {
  const info = readArg(task, arg, vfio_iommu_type1_info, 'iova_pgsizes');
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
    const rc = copyToUser(task, behind(arg, vfio_iommu_type1_info), chain);
    if (rc) return rc;
    info.cap_offset = size;
  }
  return copyToUser(task, arg, info.bytes.subarray(0, Math.min(argsz, size)));
}
function capsOf(iommu: Type1Iommu): InfoCap[] {
  const migration = vfio_iommu_type1_info_cap_migration.make({
    pgsize_bitmap: iommu.pgsize,
    max_dirty_bitmap_size: MAX_DIRTY_BITMAP,
  });
  const avail = vfio_iommu_type1_info_dma_avail.make({ avail: iommu.available });
  const caps = [
    { id: VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, bytes: migration.bytes },
    { id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, bytes: avail.bytes },
  ];
  const { iovas } = iommu;
  if (iovas.length === 0) return caps;
  const ranges = joined(
    vfio_iommu_type1_info_cap_iova_range.make({ nr_iovas: iovas.length }),
    ...iovas.map(({ start, last }) => vfio_iova_range.make({ start, end: last })),
  );
  return [...caps, { id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, bytes: ranges }];
}
