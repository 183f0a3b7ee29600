/** Test operations on memory: marking pages dirty, and dma-bufs of simulated device memory (iommufd.md 5.3). */
import { EBADF, EINVAL, EOPNOTSUPP, EOVERFLOW, isErrno, type Status } from '../../base/errno.ts';
import { OpenFile } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import type { Of } from '../../base/struct.ts';
import * as uapi from '../../uapi/iommufd-test.ts';
import { Dmabuf, dmabufFile } from '../io-pagetable/dmabuf.ts';
import { HwptPaging } from '../hwpt-object.ts';
import type { TestCmd } from './selftest-access.ts';

const MAX_DIRTY_BITS = 1n << 27n;
const MAX_DMABUF_PAGES = 512;
const O_CLOEXEC = 0o2000000;

/** The dma-bufs made here, which alone can be revoked here. */
const ours = new WeakSet<Dmabuf>();

/** As if devices had written to the pages whose bits are set. @kernel iommufd_test_dirty */
export function testDirty(ucmd: TestCmd): Status {
  const { cmd, ctx, task } = ucmd;
  const u = uapi.iommu_test_dirty.view(cmd.u);
  const { iova, length, page_size: pageSize, uptr } = u;
  const wrong = checkDirtyRange(u);
  if (wrong) return wrong;
  const bits = length / pageSize;
  if (bits > MAX_DIRTY_BITS) return refuse(EOVERFLOW, 'the bitmap is too long', { bits });
  const hwpt = ctx.objects.get(cmd.id, HwptPaging);
  if (isErrno(hwpt)) return hwpt;
  const hardware = ctx.subsystem.selftest;
  if (!hwpt.domain.dirtyOps || !hardware?.isDirtyTracking(hwpt.domain)) {
    return refuse(EINVAL, 'dirty tracking is not switched on', { hwpt_id: hwpt.id });
  }
  const bitmap = new Uint8Array(Math.ceil(Number(bits) / 8));
  const rc = task.mem.read(uptr, bitmap);
  if (rc) return rc;
  let count = 0n;
  for (let bit = 0; bit < Number(bits); bit++) {
    if ((bitmap[bit >> 3]! & (1 << (bit & 7))) === 0) continue;
    hardware.markDirty(hwpt.domain, iova + BigInt(bit) * pageSize);
    count++;
  }
  u.out_nr_dirty = count;
  return ucmd.respond();
}

function checkDirtyRange(u: Of<typeof uapi.iommu_test_dirty>): Status {
  const { iova, length, page_size: pageSize, uptr } = u;
  if (uptr === 0n) return refuse(EINVAL, 'the bitmap has no address', { iova, length });
  if (pageSize === 0n) return refuse(EINVAL, 'the page size is 0', { iova, length });
  if (length === 0n) return refuse(EINVAL, 'the length is 0', { iova });
  if (iova % pageSize !== 0n || length % pageSize !== 0n) {
    return refuse(EINVAL, 'the range is not whole pages', { iova, length, page_size: pageSize });
  }
  return undefined;
}

/** The fd is the return value of the ioctl. @kernel iommufd_test_dmabuf_get */
export function testDmabufGet(ucmd: TestCmd): Status {
  const { cmd, ctx, task } = ucmd;
  const u = uapi.iommu_test_dmabuf_get.view(cmd.u);
  const pages = Math.ceil(u.length / 4096);
  if (pages === 0 || pages > MAX_DMABUF_PAGES) {
    return refuse(EINVAL, 'a test dma-buf has 1 to 512 pages', { length: u.length });
  }
  const { ram } = ctx.subsystem.core;
  const first = ram.allocRun(pages);
  if (isErrno(first)) return first;
  const dmabuf = new Dmabuf(BigInt(pages) << 12n, first, () => ram.free(first, pages));
  ours.add(dmabuf);
  const file = dmabufFile(dmabuf);
  const fd = task.installFile(file, (u.open_flags & O_CLOEXEC) !== 0);
  if (isErrno(fd)) {
    file.put();
    return fd;
  }
  ucmd.result = fd;
  return undefined;
}

/** @kernel iommufd_test_dmabuf_revoke */
export function testDmabufRevoke(ucmd: TestCmd): Status {
  const { cmd, task } = ucmd;
  const u = uapi.iommu_test_dmabuf_revoke.view(cmd.u);
  const file = task.getFile(u.dmabuf_fd | 0);
  if (isErrno(file))
    return refuse(EBADF, 'the file descriptor is not open', { fd: u.dmabuf_fd | 0 });
  if (!(file instanceof OpenFile) || !(file.priv instanceof Dmabuf)) {
    return refuse(EINVAL, 'the file is no dma-buf', { fd: u.dmabuf_fd | 0 });
  }
  if (!ours.has(file.priv)) {
    return refuse(EOPNOTSUPP, 'the dma-buf is of another exporter', { fd: u.dmabuf_fd | 0 });
  }
  file.priv.setRevoked(u.revoked !== 0);
  return undefined;
}
