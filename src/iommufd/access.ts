/** ACCESS: an in-kernel user of an IOAS, which pins or reads and writes by IOVA (iommufd.md 3.9). */
import {
  EINVAL,
  ENOENT,
  EOVERFLOW,
  EPERM,
  isErrno,
  type Result,
  type Status,
} from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Task } from '../base/task.ts';
import { hex, U64_MAX } from '../base/u64.ts';
import { hiWord, loWord } from '../base/word-pair.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../pt/page-table.ts';
import type { Area } from './io-pagetable/area.ts';
import type { IommufdContext } from './context.ts';
import type { IopagetableUser } from './io-pagetable/io-pagetable.ts';
import { Ioas } from './ioas.ts';
import { addAccess, removeAccess } from './io-pagetable/iopt-domains.ts';
import { IommufdObject } from './object.ts';

export interface AccessOps {
  /** Pages are pinned: IOVAs must be page aligned. */
  readonly needsPinPages: boolean;
  /** Unpin everything in the range before returning. */
  unmap(iova: bigint, length: bigint): void;
}

export class Access extends IommufdObject implements IopagetableUser {
  static readonly kind = 'ACCESS';
  readonly ctx: IommufdContext;
  readonly ops: AccessOps | undefined;
  /** Made by iommufd itself for a hardware queue: locks what it pins and does not keep the context open. */
  readonly internal: boolean;
  readonly alignment: number;
  ioas: Ioas | undefined;

  constructor(ctx: IommufdContext, ops: AccessOps | undefined) {
    super();
    this.ctx = ctx;
    this.ops = ops;
    this.internal = ops === undefined;
    this.alignment = ops?.needsPinPages === false ? 1 : 4096;
  }
  notifyUnmap(iova: bigint, length: bigint): void {
    this.ops?.unmap(iova, length);
  }
  override destroy(): void {
    if (this.ioas) accessDetach(this);
    if (!this.internal) this.ctx.file.put();
  }
}

/**
 * A new access; it takes an id. Without ops it is an internal one.
 * @kernel iommufd_access_create
 */
export function accessCreate(ctx: IommufdContext, ops: AccessOps | undefined): Result<Access> {
  const access = new Access(ctx, ops);
  const rc = ctx.objects.reserve(access);
  if (rc) return rc;
  // The driver holds it.
  access.users++;
  if (!access.internal) ctx.file.get();
  ctx.objects.publish(access);
  return access;
}
/** @kernel iommufd_access_destroy */
export function accessDestroy(access: Access): void {
  access.users--;
  access.ctx.objects.remove(access);
}

/** Errnos: ENOENT no such IOAS; EINVAL attached already; EADDRINUSE its alignment. @kernel iommufd_access_attach */
export function accessAttach(access: Access, ioasId: number): Status {
  if (access.ioas) {
    return refuse(EINVAL, 'the access is attached already', { ioas_id: access.ioas.id });
  }
  const ioas = access.ctx.objects.get(ioasId, Ioas);
  if (isErrno(ioas)) return ioas;
  return join(access, ioas);
}
/** Errnos: ENOENT not attached, or no such IOAS; EADDRINUSE. @kernel iommufd_access_replace */
export function accessReplace(access: Access, ioasId: number): Status {
  const old = access.ioas;
  if (!old) return refuse(ENOENT, 'the access is attached to nothing', { ioas_id: ioasId });
  const ioas = access.ctx.objects.get(ioasId, Ioas);
  if (isErrno(ioas)) return ioas;
  if (ioas === old) return undefined;
  const rc = join(access, ioas);
  if (rc) return rc;
  leave(access, old);
  return undefined;
}
/** @kernel iommufd_access_detach */
export function accessDetach(access: Access): void {
  const { ioas } = access;
  if (!ioas) return;
  leave(access, ioas);
  access.ioas = undefined;
}
function join(access: Access, ioas: Ioas): Status {
  const rc = addAccess(ioas.iopt, access);
  if (rc) return rc;
  access.ioas = ioas;
  ioas.users++;
  return undefined;
}
function leave(access: Access, ioas: Ioas): void {
  // Pins of the driver still name the IOAS that is left.
  const now = access.ioas;
  access.ioas = ioas;
  access.notifyUnmap(0n, U64_MAX);
  access.ioas = now;
  removeAccess(ioas.iopt, access);
  ioas.users--;
}

/** What of a range lies in one area. */
interface Stretch {
  readonly area: Area;
  readonly start: bigint;
  /** Inclusive. */
  readonly last: bigint;
  /** Does the range end with it? */
  readonly isLast: boolean;
}

/** The areas behind a range one after the other; ENOENT at a hole. */
function* stretches(
  ioas: Ioas,
  iova: bigint,
  length: bigint,
): IterableIterator<Result<Stretch, 'ENOENT'>> {
  const end = iova + length - 1n;
  for (let start = iova; ;) {
    const area = ioas.iopt.areas.find(hiWord(start), loWord(start));
    if (!area) {
      yield refuse(ENOENT, 'the range is not mapped completely', { iova: hex(start) });
      return;
    }
    const isLast = area.last >= end;
    yield { area, start, last: isLast ? end : area.last, isLast };
    if (isLast) return;
    start = area.last + 1n;
  }
}
function firstIndexOf({ area, start }: Stretch): number {
  return area.indexAt(hiWord(start), loWord(start));
}
function lastIndexOf({ area, last }: Stretch): number {
  return area.indexAt(hiWord(last), loWord(last));
}

function checkRange(access: Access, iova: bigint, length: bigint): Result<Ioas> {
  if (length === 0n) return refuse(EINVAL, 'the length is 0', { iova });
  if (iova + length - 1n > U64_MAX) return refuse(EOVERFLOW, 'the range wraps', { iova, length });
  return access.ioas ?? refuse(ENOENT, 'the access is attached to nothing', { iova, length });
}
function checkProtection(area: Area, write: boolean): Status {
  if ((area.prot & (write ? IOMMU_WRITE : IOMMU_READ)) === 0 || (write && !area.backing.writable)) {
    return refuse(EPERM, 'the mapping does not allow this access', {
      mapping: hex(area.start),
      write,
    });
  }
  if (area.isDmabuf) {
    return refuse(EINVAL, 'a dma-buf cannot be accessed by the kernel', {
      mapping: hex(area.start),
    });
  }
  return undefined;
}

/**
 * Pin the pages of a range; the result is their frame numbers.
 * Errnos: EINVAL EOVERFLOW of the range or its alignment; ENOENT; EPERM; those of pinning.
 * @kernel iommufd_access_pin_pages
 */
export function accessPinPages(
  access: Access,
  iova: bigint,
  length: bigint,
  write: boolean,
): Result<number[]> {
  const ioas = checkRange(access, iova, length);
  if (isErrno(ioas)) return ioas;
  const pfns: number[] = [];
  const done: Stretch[] = [];
  for (const stretch of stretches(ioas, iova, length)) {
    const pinned = isErrno(stretch) ? stretch : (pinStretch(access, stretch, write) ?? stretch);
    if (isErrno(pinned)) {
      for (const before of done) unpinStretch(access, before);
      return pinned;
    }
    done.push(pinned);
    const last = lastIndexOf(pinned);
    for (let index = firstIndexOf(pinned); index <= last; index++) {
      pfns.push(pinned.area.pages.pfn(index));
    }
  }
  return pfns;
}

function pinStretch(access: Access, stretch: Stretch, write: boolean): Status {
  const { area } = stretch;
  const aligned =
    area.offsetAt(loWord(stretch.start)) === 0 &&
    (stretch.isLast || area.offsetAt(loWord(stretch.last)) === 4095);
  const facts = { iova: hex(stretch.start), mapping: hex(area.start) };
  if (area.preventAccess) return refuse(EINVAL, 'the mapping is being unmapped', facts);
  if (!aligned) return refuse(EINVAL, 'the range cannot be pinned page by page', facts);
  const rc =
    checkProtection(area, write) ?? area.pages.hold(firstIndexOf(stretch), lastIndexOf(stretch));
  if (rc) return rc;
  area.addAccess(access.internal);
  return undefined;
}
function unpinStretch(access: Access, stretch: Stretch): void {
  const { area } = stretch;
  area.pages.release(firstIndexOf(stretch), lastIndexOf(stretch));
  area.dropAccess(access.internal);
}

/** Undo accessPinPages with the same range. @kernel iommufd_access_unpin_pages */
export function accessUnpinPages(access: Access, iova: bigint, length: bigint): void {
  if (!access.ioas || length === 0n) return;
  for (const stretch of stretches(access.ioas, iova, length)) {
    if (isErrno(stretch)) return;
    unpinStretch(access, stretch);
  }
}

export interface AccessRw {
  readonly write: boolean;
  /** Always through the pages, never through the address space. */
  readonly slowPath: boolean;
  /** The task on whose behalf; undefined for a kernel thread. */
  readonly task: Task | undefined;
}

/**
 * Copy between a buffer and the memory behind a range.
 * Errnos: EINVAL EOVERFLOW; ENOENT; EPERM; EFAULT. What was copied before a failure stays.
 * @kernel iommufd_access_rw
 */
export function accessRw(access: Access, iova: bigint, bytes: Uint8Array, how: AccessRw): Status {
  const ioas = checkRange(access, iova, BigInt(bytes.length));
  if (isErrno(ioas)) return ioas;
  let done = 0;
  for (const stretch of stretches(ioas, iova, BigInt(bytes.length))) {
    if (isErrno(stretch)) return stretch;
    const { area } = stretch;
    if (area.preventAccess) {
      const facts = { iova: hex(stretch.start), mapping: hex(area.start) };
      return refuse(EINVAL, 'the mapping is being unmapped', facts);
    }
    const length = Number(stretch.last - stretch.start + 1n);
    const part = bytes.subarray(done, done + length);
    const rc = checkProtection(area, how.write) ?? copyStretch(stretch, part, how);
    if (rc) return rc;
    done += length;
  }
  return undefined;
}

function copyStretch(stretch: Stretch, bytes: Uint8Array, how: AccessRw): Status {
  const { area } = stretch;
  const { origin } = area.backing;
  const index = firstIndexOf(stretch);
  const offset = area.offsetAt(loWord(stretch.start));
  if (origin.kind === 'user' && !how.slowPath && how.task?.mm === origin.mm) {
    const va = (BigInt(area.pages.firstPage + index) << 12n) | BigInt(offset);
    return how.write ? how.task.mem.write(va, bytes) : how.task.mem.read(va, bytes);
  }
  return copyPages(area, index, offset, bytes, how.write);
}

/** @kernel iopt_pages_rw_access */
function copyPages(
  area: Area,
  firstIndex: number,
  firstOffset: number,
  bytes: Uint8Array,
  write: boolean,
): Status {
  const { world } = area.pages;
  let index = firstIndex;
  let offset = firstOffset;
  for (let done = 0; done < bytes.length;) {
    if (world.env.fails('page-rw')) {
      return refuse(EINVAL, 'the copy of a page was made to fail', { index, done });
    }
    const part = bytes.subarray(done, done + Math.min(4096 - offset, bytes.length - done));
    const at = offset;
    const rc = area.pages.borrow(index, (pfn) =>
      write ? world.memory.write(pfn, at, part) : world.memory.read(pfn, at, part),
    );
    if (rc) return rc;
    done += part.length;
    offset = 0;
    index++;
  }
  return undefined;
}
