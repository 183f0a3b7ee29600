/** Test operations on accesses: a file that pins, reads and writes as an in-kernel driver would (iommufd.md 5.3). */
import {
  EBADE,
  EBADFD,
  ENOENT,
  ENOMEM,
  EOPNOTSUPP,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { OpenFile, type FileOps } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import * as uapi from '../../uapi/iommufd-test.ts';
import {
  accessAttach,
  accessCreate,
  accessDestroy,
  accessPinPages,
  accessReplace,
  accessRw,
  accessUnpinPages,
  type Access,
} from '../access.ts';
import type { Ucmd } from '../ioctl.ts';
import { checkFlags } from '../checks.ts';

export type TestCmd = Ucmd<uapi.iommu_test_cmd>;

const MAX_LENGTH = 16n << 20n;

interface Item {
  readonly iova: bigint;
  readonly length: bigint;
}

class SelftestAccess {
  /** Set once, right after both were made. */
  access: Access | undefined;
  readonly needsPin: boolean;
  readonly items = new Map<number, Item>();
  nextItem = 0;

  constructor(needsPin: boolean) {
    this.needsPin = needsPin;
  }
  unpin(id: number, item: Item): void {
    this.items.delete(id);
    if (this.access) accessUnpinPages(this.access, item.iova, item.length);
  }
  /** The IOAS wants its memory back. */
  unmap(iova: bigint, length: bigint): void {
    for (const [id, item] of [...this.items]) {
      if (item.iova < iova + length && iova < item.iova + item.length) this.unpin(id, item);
    }
  }
  close(): void {
    for (const [id, item] of [...this.items]) this.unpin(id, item);
    if (this.access) accessDestroy(this.access);
  }
}

const accessFileOps: FileOps = {
  release(file) {
    if (file.priv instanceof SelftestAccess) file.priv.close();
  },
};

/** @kernel iommufd_test_create_access */
export function testCreateAccess(ucmd: TestCmd): Status {
  const { cmd, ctx, task } = ucmd;
  const u = uapi.iommu_test_create_access.view(cmd.u);
  const wrong = checkFlags(u.flags, uapi.MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES);
  if (wrong) return wrong;
  const needsPin = (u.flags & uapi.MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES) !== 0;
  const record = new SelftestAccess(needsPin);
  const access = accessCreate(ctx, {
    needsPinPages: needsPin,
    unmap: (iova, length) => record.unmap(iova, length),
  });
  if (isErrno(access)) return access;
  record.access = access;
  const rc = accessAttach(access, cmd.id) ?? ucmd.respond();
  if (rc) {
    accessDestroy(access);
    return rc;
  }
  const file = new OpenFile('anon_inode:[iommufd_test_staccess]', accessFileOps, record);
  const fd = task.installFile(file, true);
  if (isErrno(fd)) {
    file.put();
    return fd;
  }
  u.out_access_fd = fd;
  return ucmd.respond();
}

function getAccess(task: Task, fd: number): Result<SelftestAccess & { access: Access }, 'EBADFD'> {
  const file = task.getFile(fd | 0);
  if (!isErrno(file) && file instanceof OpenFile && hasAccess(file.priv)) return file.priv;
  return refuse(EBADFD, 'the file descriptor is no test access', { fd });
}
function hasAccess(priv: object): priv is SelftestAccess & { access: Access } {
  return priv instanceof SelftestAccess && priv.access !== undefined;
}

/** @kernel iommufd_test_access_pages */
export function testAccessPages(ucmd: TestCmd): Status {
  const { cmd, task } = ucmd;
  const u = uapi.iommu_test_access_pages.view(cmd.u);
  const { iova, length } = u;
  if (length > MAX_LENGTH) return refuse(ENOMEM, 'the test pins 16 MiB at most', { length });
  const wrong = checkFlags(u.flags, uapi.MOCK_FLAGS_ACCESS_WRITE);
  if (wrong) return wrong;
  const record = getAccess(task, cmd.id);
  if (isErrno(record)) return record;
  if (!record.needsPin)
    return refuse(EOPNOTSUPP, 'the access was not made to pin pages', { access: cmd.id });
  const write = (u.flags & uapi.MOCK_FLAGS_ACCESS_WRITE) !== 0;
  const pfns = accessPinPages(record.access, iova, length, write);
  if (isErrno(pfns)) return pfns;

  const rc = u.uptr === 0n ? undefined : checkPages(task, u.uptr - (iova & 0xfffn), pfns);
  u.out_access_pages_id = record.nextItem;
  const failed = rc ?? ucmd.respond();
  if (failed) {
    accessUnpinPages(record.access, iova, length);
    return failed;
  }
  record.items.set(record.nextItem++, { iova, length });
  return undefined;
}
function checkPages(task: Task, uptr: bigint, pfns: readonly number[]): Status {
  const first = Number(uptr >> 12n);
  for (const [n, pfn] of pfns.entries()) {
    const own = task.mm.lookup(first + n);
    if (isErrno(own)) return own;
    if (own !== pfn) return refuse(EBADE, 'a pinned page is not the page of the caller', { n });
  }
  return undefined;
}

/** @kernel iommufd_test_access_item_destroy */
export function testDestroyAccessPages(ucmd: TestCmd): Status {
  const { cmd, task } = ucmd;
  const record = getAccess(task, cmd.id);
  if (isErrno(record)) return record;
  const { access_pages_id: id } = uapi.iommu_test_destroy_access_pages.view(cmd.u);
  const item = record.items.get(id);
  if (!item) return refuse(ENOENT, 'the access has no such pinned pages', { id });
  record.unpin(id, item);
  return undefined;
}

/** @kernel iommufd_test_access_rw */
export function testAccessRw(ucmd: TestCmd): Status {
  const { cmd, task } = ucmd;
  const { iova, length, uptr, flags } = uapi.iommu_test_access_rw.view(cmd.u);
  if (length > MAX_LENGTH) return refuse(ENOMEM, 'the test copies 16 MiB at most', { length });
  const known = uapi.MOCK_ACCESS_RW_WRITE | uapi.MOCK_ACCESS_RW_SLOW_PATH;
  const wrong = checkFlags(flags, known | uapi.MOCK_FLAGS_ACCESS_SYZ);
  if (wrong) return wrong;
  const record = getAccess(task, cmd.id);
  if (isErrno(record)) return record;
  const bytes = new Uint8Array(Number(length));
  const write = (flags & uapi.MOCK_ACCESS_RW_WRITE) !== 0;
  const unreadable = write ? task.mem.read(uptr, bytes) : undefined;
  if (unreadable) return unreadable;
  const slowPath = (flags & uapi.MOCK_ACCESS_RW_SLOW_PATH) !== 0;
  const rc = accessRw(record.access, iova, bytes, { write, slowPath, task });
  if (rc || write) return rc;
  return task.mem.write(uptr, bytes);
}

/** @kernel iommufd_test_access_replace_ioas */
export function testAccessReplaceIoas(ucmd: TestCmd): Status {
  const { cmd, task } = ucmd;
  const record = getAccess(task, cmd.id);
  if (isErrno(record)) return record;
  return accessReplace(record.access, uapi.iommu_test_access_replace_ioas.view(cmd.u).ioas_id);
}
