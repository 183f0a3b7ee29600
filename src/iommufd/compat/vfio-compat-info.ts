/** VFIO_IOMMU_GET_INFO on an iommufd: page sizes and the chain of capabilities (iommufd.md chapter 6, 5). */
import { EFAULT, EINVAL, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { PAGE_SIZE, U64_MAX } from '../../base/u64.ts';
import type { Task } from '../../base/task.ts';
import { vfio_info_cap_header, vfio_iommu_type1_info } from '../../uapi/vfio.ts';
import type { Ioas } from '../ioas.ts';

const MIN_ARGSZ = 16;
const INFO_PGSIZES = 1;
const INFO_CAPS = 2;
const CAP_IOVA_RANGE = 1;
const CAP_DMA_AVAIL = 3;

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

  info.flags = INFO_PGSIZES | INFO_CAPS;
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

/** A capability without the header's `next`, padded to 8 bytes; `used` is what is really written. */
interface Capability {
  readonly bytes: Uint8Array;
  readonly used: number;
}

function capability(
  id: number,
  used: number,
): { bytes: Uint8Array; words: DataView; used: number } {
  const bytes = new Uint8Array((used + 7) & ~7);
  const header = vfio_info_cap_header.view(bytes);
  header.id = id;
  header.version = 1;
  return { bytes, words: new DataView(bytes.buffer), used };
}
function dmaAvail(): Capability {
  const cap = capability(CAP_DMA_AVAIL, 12);
  cap.words.setUint32(8, 0xffff_ffff, true);
  return cap;
}
function iovaRanges(ioas: Ioas): Capability {
  const ranges = ioas.iopt.rules.usable();
  const cap = capability(CAP_IOVA_RANGE, 16 + 16 * ranges.length);
  cap.words.setUint32(8, ranges.length, true);
  for (const [n, { start, last }] of ranges.entries()) {
    cap.words.setBigUint64(16 + 16 * n, start, true);
    cap.words.setBigUint64(24 + 16 * n, last, true);
  }
  return cap;
}

/** Write what fits in the caller's argsz; the result is the room for all of it. */
function writeCapabilities(
  task: Task,
  arg: bigint,
  room: number,
  caps: readonly Capability[],
): Result<number> {
  let offset = vfio_iommu_type1_info.size;
  let previous: number | undefined;
  for (const cap of caps) {
    if (previous !== undefined && room >= offset) {
      const rc = writeNext(task, arg, previous, offset);
      if (rc) return rc;
    }
    if (room >= offset + cap.used) {
      const rc = task.mem.write(arg + BigInt(offset), cap.bytes.subarray(0, cap.used));
      if (rc) return rc;
    }
    // Only a header that was written can be linked.
    previous = room >= offset + cap.used ? offset : undefined;
    offset += cap.bytes.length;
  }
  return offset;
}
function writeNext(task: Task, arg: bigint, previous: number, next: number): Status {
  const word = new Uint8Array(4);
  new DataView(word.buffer).setUint32(0, next, true);
  return task.mem.write(arg + BigInt(previous + vfio_info_cap_header.offsets.next), word);
}
