/** IOAS: an I/O address space, and the commands on its ranges (iommufd.md 2.1-2.3). */
import { EINVAL, EMSGSIZE, isErrno, type Result, type Status } from '../base/errno.ts';
import { IntervalMap } from '../base/interval-map.ts';
import { Lock } from '../base/lock.ts';
import { refuse } from '../base/refuse.ts';
import { hiWord, loWord, U64Register } from '../base/word-pair.ts';
import type { Task } from '../base/task.ts';
import { hex } from '../base/u64.ts';
import {
  iommu_iova_range,
  type iommu_ioas_alloc,
  type iommu_ioas_allow_iovas,
  type iommu_ioas_iova_ranges,
} from '../uapi/iommufd.ts';
import type { Domain } from '../core/contract/domain.ts';
import type { IommufdContext } from './context.ts';
import { IoPagetable } from './io-pagetable/io-pagetable.ts';
import type { Ucmd } from './ioctl.ts';
import { IommufdObject } from './object.ts';
import type { IovaRange } from '../base/iova-range.ts';
import { checkFlags, checkReserved } from './checks.ts';

/** A paging hwpt as its IOAS sees it. */
export interface IoasHwpt {
  readonly domain: Domain;
  readonly enforceCacheCoherency: boolean;
}

export class Ioas extends IommufdObject {
  static readonly kind = 'IOAS';
  readonly ctx: IommufdContext;
  readonly iopt = new IoPagetable();
  readonly mutex = new Lock('iommufd_ioas.mutex');
  /** In order of creation. Guarded by mutex. */
  readonly hwpts: IoasHwpt[] = [];

  constructor(ctx: IommufdContext) {
    super();
    this.ctx = ctx;
  }
  override destroy(): void {
    void this.iopt.unmapAll(new U64Register());
    if (this.ctx.vfioIoas === this) this.ctx.vfioIoas = undefined;
  }
}

/** A new IOAS with a reserved id: publish it or abort it. @kernel iommufd_ioas_alloc */
export function newIoas(ctx: IommufdContext): Result<Ioas> {
  const ioas = new Ioas(ctx);
  const rc = ctx.objects.reserve(ioas);
  return rc ?? ioas;
}

/** @kernel iommufd_ioas_alloc_ioctl */
export function ioasAlloc(ucmd: Ucmd<iommu_ioas_alloc>): Status {
  const { cmd, ctx } = ucmd;
  const wrong = checkFlags(cmd.flags);
  if (wrong) return wrong;
  const ioas = newIoas(ctx);
  if (isErrno(ioas)) return ioas;
  cmd.out_ioas_id = ioas.id;
  const rc = ucmd.respond();
  if (rc) ctx.objects.abort(ioas);
  else ctx.objects.publish(ioas);
  return rc;
}

/** @kernel iommufd_ioas_iova_ranges */
export function ioasIovaRanges(ucmd: Ucmd<iommu_ioas_iova_ranges>): Status {
  const { cmd, ctx, task } = ucmd;
  const wrong = checkReserved(cmd.__reserved);
  if (wrong) return wrong;
  const ioas = ctx.objects.get(cmd.ioas_id, Ioas);
  if (isErrno(ioas)) return ioas;

  const ranges = ioas.iopt.rules.usable();
  const room = cmd.num_iovas;
  const out = iommu_iova_range.view(new Uint8Array(iommu_iova_range.size));
  for (const [n, range] of ranges.slice(0, room).entries()) {
    out.start = range.start;
    out.last = range.last;
    const rc = task.mem.write(cmd.allowed_iovas + BigInt(n * iommu_iova_range.size), out.bytes);
    if (rc) return rc;
  }
  cmd.num_iovas = ranges.length;
  cmd.out_iova_alignment = BigInt(ioas.iopt.alignment);
  const rc = ucmd.respond();
  if (rc) return rc;
  if (ranges.length > room) {
    return refuse(EMSGSIZE, 'there are more ranges than the array has room for', {
      ranges: ranges.length,
      room,
    });
  }
  return undefined;
}

/** @kernel iommufd_ioas_allow_iovas */
export function ioasAllowIovas(ucmd: Ucmd<iommu_ioas_allow_iovas>): Status {
  const { cmd, ctx, task } = ucmd;
  const wrong = checkReserved(cmd.__reserved);
  if (wrong) return wrong;
  const ioas = ctx.objects.get(cmd.ioas_id, Ioas);
  if (isErrno(ioas)) return ioas;
  const ranges = readRanges(task, cmd.allowed_iovas, cmd.num_iovas);
  if (isErrno(ranges)) return ranges;
  return ioas.iopt.setAllowIova(ranges);
}

/** @kernel iommufd_ioas_load_iovas */
function readRanges(task: Task, addr: bigint, count: number): Result<IovaRange[]> {
  const ranges: IovaRange[] = [];
  const earlier = new IntervalMap<IovaRange>();
  const view = iommu_iova_range.view(new Uint8Array(iommu_iova_range.size));
  for (let n = 0; n < count; n++) {
    const rc = task.mem.read(addr + BigInt(n * iommu_iova_range.size), view.bytes);
    if (rc) return rc;
    const range = { start: view.start, last: view.last };
    if (range.start >= range.last) {
      return refuse(EINVAL, 'an allowed range must end after its start', {
        start: hex(range.start),
        last: hex(range.last),
      });
    }
    const { start, last } = range;
    if (!earlier.insert(hiWord(start), loWord(start), hiWord(last), loWord(last), range)) {
      return refuse(EINVAL, 'an allowed range overlaps an earlier one', {
        start: hex(range.start),
        last: hex(range.last),
      });
    }
    ranges.push(range);
  }
  return ranges;
}
