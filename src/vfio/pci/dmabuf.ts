/**
 * VFIO_DEVICE_FEATURE_DMA_BUF: memory BARs of a device as dma-bufs, for other devices to reach (vfio.md 2.10,
 * iommufd.md 2.5).
 *
 * Whoever maps one loses it whenever the registers do not answer: memory decode off, a reset, low power. It comes back
 * with them, but for what was mapped; after the last close of the device it never does.
 */
import { EINVAL, ENODEV, isErrno, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { hex, U64_MAX } from '../../base/u64.ts';
import { Dmabuf, dmabufFile } from '../../iommufd/io-pagetable/dmabuf.ts';
import type { PciBar } from '../../pci/bar.ts';
import { vfio_device_feature_dma_buf, vfio_region_dma_range } from '../../uapi/vfio.ts';
import { copyFromUser } from '../ioctl.ts';
import type { VfioPciState } from './state.ts';

const PAGE = 4096n;
const O_CLOEXEC = 0o2000000;
const LAST_BAR = 5;

interface DmaRange {
  readonly offset: bigint;
  readonly length: bigint;
}

/**
 * The result is the fd of the dma-buf.
 * Errnos: EINVAL no ranges, a flag, or a range that is not made of pages of the BAR; ENODEV no such memory BAR; EFAULT;
 * those of a new fd.
 * @kernel vfio_pci_core_feature_dma_buf
 */
export function exportDmabuf(device: VfioPciState, task: Task, data: bigint): Result<number> {
  const layout = vfio_device_feature_dma_buf;
  const raw = copyFromUser(task, data, layout.size);
  if (isErrno(raw)) return raw;
  const given = layout.view(raw);
  if (given.nr_ranges === 0 || given.flags !== 0) {
    return refuse(EINVAL, 'a dma-buf has ranges, and no flags', { ranges: given.nr_ranges });
  }
  const bar = given.region_index <= LAST_BAR ? device.fn.bars[given.region_index] : undefined;
  if (!bar || bar.isIo) {
    return refuse(ENODEV, 'the region is no memory BAR', { index: given.region_index });
  }
  const ranges = readRanges(task, data + BigInt(layout.size), given.nr_ranges, bar);
  if (isErrno(ranges)) return ranges;
  return install(device, task, makeDmabuf(device, bar, ranges), given.open_flags);
}

function readRanges(task: Task, at: bigint, count: number, bar: PciBar): Result<DmaRange[]> {
  const ranges: DmaRange[] = [];
  let total = 0n;
  const { size } = vfio_region_dma_range;
  for (let n = 0; n < count; n++) {
    const raw = copyFromUser(task, at + BigInt(n * size), size);
    if (isErrno(raw)) return raw;
    const { offset, length } = vfio_region_dma_range.view(raw);
    total += length;
    const inPages = length > 0n && (offset | length) % PAGE === 0n;
    if (!inPages || total > U64_MAX || offset + length > BigInt(bar.size)) {
      return refuse(EINVAL, 'a range is empty, not made of pages, or leaves the BAR', {
        range: n,
        offset: hex(offset),
        length: hex(length),
      });
    }
    ranges.push({ offset, length });
  }
  return ranges;
}

/** iommufd knows dma-bufs of one piece; one of several has no first frame. */
function makeDmabuf(device: VfioPciState, bar: PciBar, ranges: readonly DmaRange[]): Dmabuf {
  const total = ranges.reduce((sum, { length }) => sum + length, 0n);
  const only = ranges.length === 1 ? ranges[0] : undefined;
  const firstPfn = only && bar.window.pfn + Number(only.offset / PAGE);
  const dmabuf: Dmabuf = new Dmabuf(total, firstPfn, () => device.exports.forget(dmabuf));
  dmabuf.setRevoked(!device.answers());
  return dmabuf;
}

function install(device: VfioPciState, task: Task, dmabuf: Dmabuf, flags: number): Result<number> {
  device.exports.add(dmabuf);
  const file = dmabufFile(dmabuf);
  const fd = task.installFile(file, (flags & O_CLOEXEC) !== 0);
  if (isErrno(fd)) file.put();
  return fd;
}
