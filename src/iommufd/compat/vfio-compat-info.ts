/** VFIO_IOMMU_GET_INFO on an iommufd: page sizes and the chain of capabilities (iommufd.md chapter 6, 5). */
import { EFAULT, EINVAL, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { joined } from '../../base/struct.ts';
import { PAGE_SIZE, U64_MAX } from '../../base/u64.ts';
import type { Task } from '../../base/task.ts';
import {
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_info_cap_header,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from '../../uapi/vfio.ts';
import type { Ioas } from '../ioas.ts';

const MIN_ARGSZ = vfio_iommu_type1_info.end('iova_pgsizes');

/** @kernel iommufd_vfio_iommu_get_info */
export function compatGetInfo(
  task: Task,
  arg: bigint,
  getIoas: () => Result<Ioas>,
): Result<number> {
  const info = vfio_iommu_type1_info.view(new Uint8Array(vfio_iommu_type1_info.size));
  if (task.mem.read(arg, info.bytes.subarray(0, MIN_ARGSZ))) {
    return refuse(EFAULT, 'the struct is not readable', { arg });
  }
  const room = info.argsz;
  if (room < MIN_ARGSZ)
    return refuse(EINVAL, 'argsz is below the struct', { argsz: room, min: MIN_ARGSZ });
  info.cap_offset = 0;
  const ioas = getIoas();
  if (isErrno(ioas)) return ioas;

  info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
  info.iova_pgsizes = pageSizes(ioas);
  const rc = writeCapabilities(task, arg, room, [dmaAvail(), iovaRanges(ioas)]);
  if (isErrno(rc)) return rc;
  info.argsz = rc;
  info.cap_offset = rc <= room ? vfio_iommu_type1_info.size : 0;
  const out = info.bytes.subarray(0, Math.min(room, vfio_iommu_type1_info.size));
  return task.mem.write(arg, out) ?? 0;
}

/** @kernel iommufd_get_pagesizes */
function pageSizes(ioas: Ioas): bigint {
  const { domains, alignment } = ioas.iopt;
  let sizes = U64_MAX;
  for (const domain of domains) sizes &= domain.pgsizeBitmap;
  const subPage = BigInt(PAGE_SIZE) - 1n;
  if ((sizes & subPage) !== 0n) sizes = (sizes & ~subPage) | BigInt(PAGE_SIZE);
  return sizes > BigInt(alignment) ? sizes : BigInt(alignment);
}

/** A capability whose header has its `next` still to come. */
function capability(id: number, bytes: Uint8Array): Uint8Array {
  const header = vfio_info_cap_header.view(bytes);
  header.id = id;
  header.version = 1;
  return bytes;
}
function dmaAvail(): Uint8Array {
  const cap = vfio_iommu_type1_info_dma_avail.make({ avail: 0xffff_ffff });
  return capability(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, cap.bytes);
}
function iovaRanges(ioas: Ioas): Uint8Array {
  const ranges = ioas.iopt.rules.usable();
  const bytes = joined(
    vfio_iommu_type1_info_cap_iova_range.make({ nr_iovas: ranges.length }),
    ...ranges.map(({ start, last }) => vfio_iova_range.make({ start, end: last })),
  );
  return capability(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, bytes);
}

/** Write what fits in the caller's argsz; the result is the room for all of it. */
function writeCapabilities(
  task: Task,
  arg: bigint,
  room: number,
  caps: readonly Uint8Array[],
): Result<number> {
  let offset = vfio_iommu_type1_info.size;
  let previous: number | undefined;
  for (const cap of caps) {
    if (previous !== undefined && room >= offset) {
      const rc = writeNext(task, arg, previous, offset);
      if (rc) return rc;
    }
    const fits = room >= offset + cap.length;
    const rc = fits ? task.mem.write(arg + BigInt(offset), cap) : undefined;
    if (rc) return rc;
    // Only a header that was written can be linked.
    previous = fits ? offset : undefined;
    offset += (cap.length + 7) & ~7;
  }
  return offset;
}
function writeNext(task: Task, arg: bigint, previous: number, next: number): Status {
  const word = new Uint8Array(4);
  new DataView(word.buffer).setUint32(0, next, true);
  return task.mem.write(arg + BigInt(previous + vfio_info_cap_header.offsets.next), word);
}
