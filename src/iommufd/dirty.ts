/** Dirty tracking: HWPT_SET_DIRTY_TRACKING and HWPT_GET_DIRTY_BITMAP (iommufd.md 2.13, 2.14). */
import { EINVAL, EOPNOTSUPP, EOVERFLOW, isErrno, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Task } from '../base/task.ts';
import { pow2, U64_MAX } from '../base/u64.ts';
import { granuleOf, hiWord, loWord } from '../base/word-pair.ts';
import type { Domain } from '../core/contract/domain.ts';
import { readDirtyGranules, setDirtyTracking } from '../core/map/dirty.ts';
import { granuleLg2 } from '../core/contract/granule.ts';
import type { DirtySink } from '../pt/page-table.ts';
import {
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  type iommu_hwpt_get_dirty_bitmap,
  type iommu_hwpt_set_dirty_tracking,
} from '../uapi/iommufd.ts';
import type { IoPagetable } from './io-pagetable/io-pagetable.ts';
import { HwptPaging } from './hwpt-object.ts';
import type { Ucmd } from './ioctl.ts';
import { checkFlags, checkReserved } from './checks.ts';

/** @kernel iommufd_hwpt_set_dirty_tracking */
export function hwptSetDirtyTracking(ucmd: Ucmd<iommu_hwpt_set_dirty_tracking>): Status {
  const { cmd, ctx } = ucmd;
  const wrong = checkFlags(cmd.flags, IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
  if (wrong) return wrong;
  const hwpt = ctx.objects.get(cmd.hwpt_id, HwptPaging);
  if (isErrno(hwpt)) return hwpt;
  const { domain } = hwpt;
  if (!domain.dirtyOps) return refuseUntracked(hwpt.id);
  const on = (cmd.flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0;
  if (on) {
    const rc = clearDirty(hwpt.ioas.iopt, domain);
    if (rc) return rc;
  }
  const set = setDirtyTracking(domain, on);
  if (!set) hwpt.dirtyTracking = on;
  return set;
}
function refuseUntracked(id: number): Status {
  return refuse(EOPNOTSUPP, 'the hwpt was not allocated with DIRTY_TRACKING', { hwpt_id: id });
}

/** Tracking starts from clean pages. @kernel iopt_clear_dirty_data */
function clearDirty(iopt: IoPagetable, domain: Domain): Status {
  for (const area of iopt.areas.values()) {
    if (!area.storageDomain) continue;
    const rc = readDirty(domain, [area.startHi, area.startLo, area.length], false, () => undefined);
    if (rc) return rc;
  }
  return undefined;
}

function readDirty(
  domain: Domain,
  [hi, lo, length]: readonly [hi: number, lo: number, length: number],
  noClear: boolean,
  sink: DirtySink,
): Status {
  const lg2 = granuleLg2(domain);
  const range = { startG: granuleOf(hi, lo, lg2), lengthG: length / pow2(lg2) };
  return readDirtyGranules(domain, range, noClear, sink);
}

/** @kernel iommufd_hwpt_get_dirty_bitmap */
export function hwptGetDirtyBitmap(ucmd: Ucmd<iommu_hwpt_get_dirty_bitmap>): Status {
  const { cmd, ctx, task } = ucmd;
  const wrong =
    checkFlags(cmd.flags, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) ?? checkReserved(cmd.__reserved);
  if (wrong) return wrong;
  const hwpt = ctx.objects.get(cmd.hwpt_id, HwptPaging);
  if (isErrno(hwpt)) return hwpt;
  const { iopt } = hwpt.ioas;
  const rc = checkBitmapRange(cmd, iopt.alignment);
  if (rc) return rc;
  if (!hwpt.domain.dirtyOps) return refuseUntracked(hwpt.id);

  const noClear = (cmd.flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0;
  const range = { first: cmd.iova, last: cmd.iova + cmd.length - 1n, noClear };
  const bitmap = new UserBitmap(task, cmd.data, range, cmd.page_size & -cmd.page_size);
  if (!hwpt.dirtyTracking) {
    const facts = { hwpt_id: hwpt.id };
    ctx.subsystem.env.trace.remark('dirty tracking is off: the bitmap says nothing', facts);
  }
  readAreas(iopt, hwpt.domain, range, bitmap);
  bitmap.flush();
  return undefined;
}

function checkBitmapRange(cmd: iommu_hwpt_get_dirty_bitmap, alignment: number): Status {
  const { iova, length, page_size: pageSize } = cmd;
  const end = iova + length;
  if (length === 0n) return refuse(EINVAL, 'the range is empty', { iova });
  if (end - 1n > U64_MAX) return refuse(EOVERFLOW, 'the range wraps', { iova, length });
  const mask = BigInt(alignment) - 1n;
  if (((iova | end) & mask) !== 0n) {
    return refuse(EINVAL, 'the range does not fit the IOVA alignment', { alignment });
  }
  if (pageSize === 0n || ((iova | end) & (pageSize - 1n)) !== 0n) {
    return refuse(EINVAL, 'the range is not made of pages of page_size', { page_size: pageSize });
  }
  return undefined;
}

interface BitmapRange {
  readonly first: bigint;
  readonly last: bigint;
  readonly noClear: boolean;
}

/** Area by area while they follow each other; a hole ends the walk without an error. */
function readAreas(
  iopt: IoPagetable,
  domain: Domain,
  range: BitmapRange,
  bitmap: UserBitmap,
): void {
  const lg2 = granuleLg2(domain);
  const sink: DirtySink = (startG, lengthG) =>
    bitmap.record(BigInt(startG) << BigInt(lg2), BigInt(lengthG) << BigInt(lg2));
  for (let at = range.first; at <= range.last;) {
    const area = iopt.areas.find(hiWord(at), loWord(at));
    if (!area) return;
    const last = area.last < range.last ? area.last : range.last;
    const length = Number(last - at + 1n);
    if (readDirty(domain, [hiWord(at), loWord(at), length], range.noClear, sink)) return;
    at = last + 1n;
  }
}

/**
 * A bitmap in the caller's memory, one bit a page of the range: bits are set, never cleared; what cannot be written is
 * lost. A leaf that sticks out of the range is reported whole, and has bits only for what is inside.
 */
class UserBitmap {
  readonly #task: Task;
  readonly #data: bigint;
  readonly #range: BitmapRange;
  readonly #pageLg2: bigint;
  /** Bytes by offset, in chunks of 4096. */
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(task: Task, data: bigint, range: BitmapRange, pageSize: bigint) {
    this.#task = task;
    this.#data = data;
    this.#range = range;
    this.#pageLg2 = BigInt(pageSize.toString(2).length - 1);
  }
  record(start: bigint, length: bigint): void {
    const base = this.#range.first;
    const from = start > base ? start : base;
    const leafLast = start + length - 1n;
    const to = leafLast < this.#range.last ? leafLast : this.#range.last;
    if (to < from) return;
    const first = Number((from - base) >> this.#pageLg2);
    const last = Number((to - base) >> this.#pageLg2);
    for (let bit = first; bit <= last; bit++) {
      const byte = Math.floor(bit / 8);
      this.#chunk(byte)[byte & 4095]! |= 1 << (bit & 7);
    }
  }
  flush(): void {
    for (const [number, bits] of this.#chunks) this.#merge(number, bits);
  }
  #chunk(byte: number): Uint8Array {
    const number = byte >> 12;
    let bits = this.#chunks.get(number);
    if (!bits) this.#chunks.set(number, (bits = new Uint8Array(4096)));
    return bits;
  }
  /** Only bytes with a bit in them are touched: the bitmap may end anywhere. */
  #merge(number: number, bits: Uint8Array): void {
    for (let at = 0; at < bits.length;) {
      if (bits[at] === 0) {
        at++;
        continue;
      }
      let end = at + 1;
      while (end < bits.length && bits[end] !== 0) end++;
      const addr = this.#data + BigInt(number * 4096 + at);
      const old = new Uint8Array(end - at);
      if (this.#task.mem.read(addr, old)) return;
      for (let n = 0; n < old.length; n++) old[n]! |= bits[at + n]!;
      if (this.#task.mem.write(addr, old)) return;
      at = end;
    }
  }
}
