/** HW_QUEUE: a queue in guest memory that the hardware reads by itself (iommufd.md 2.20). */
import {
  EFAULT,
  EINVAL,
  EOPNOTSUPP,
  EOVERFLOW,
  ERANGE,
  isErrno,
  type Result,
  type Status,
} from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { U64_MAX } from '../base/u64.ts';
import type { HwQueueCore } from '../core/contract/driver.ts';
import { callOps } from '../core/contract/driver-call.ts';
import type { iommu_hw_queue_alloc } from '../uapi/iommufd.ts';
import {
  accessAttach,
  accessCreate,
  accessDestroy,
  accessDetach,
  accessPinPages,
  accessUnpinPages,
  type Access,
} from './access.ts';
import type { Ucmd } from './ioctl.ts';
import { IommufdObject } from './object.ts';
import { Viommu } from './viommu-object.ts';
import { checkFlags, checkType } from './checks.ts';

interface PinnedQueue {
  readonly access: Access;
  readonly iova: bigint;
  readonly length: bigint;
  readonly basePa: bigint;
}

export class HwQueue extends IommufdObject {
  static readonly kind = 'HW_QUEUE';
  readonly viommu: Viommu;
  readonly pinned: PinnedQueue;
  /** What the driver sees of it. */
  readonly core: HwQueueCore;
  /** The queue this one needs. */
  dependsOn: HwQueue | undefined;

  constructor(viommu: Viommu, cmd: iommu_hw_queue_alloc, pinned: PinnedQueue) {
    super();
    this.viommu = viommu;
    this.core = {
      type: cmd.type,
      index: cmd.index,
      baseAddr: cmd.nesting_parent_iova,
      length: cmd.length,
      priv: undefined,
      destroy: undefined,
    };
    this.pinned = pinned;
    viommu.users++;
  }
  override destroy(): void {
    const { ops } = this.viommu.iommuDev;
    if (this.core.destroy) callOps(ops, 'hw_queue_destroy', this.core.destroy);
    if (this.dependsOn) this.dependsOn.users--;
    unpinQueue(this.pinned);
    this.viommu.users--;
  }
}

/** @kernel iommufd_hw_queue_alloc_ioctl */
export function hwQueueAlloc(ucmd: Ucmd<iommu_hw_queue_alloc>): Status {
  const { cmd, ctx } = ucmd;
  const unfit = checkRequest(cmd);
  if (unfit) return unfit;
  const viommu = ctx.objects.get(cmd.viommu_id, Viommu);
  if (isErrno(viommu)) return viommu;
  const { ops } = viommu;
  if (!ops.hwQueueInitPhys || ops.hwQueueSupports?.(viommu, cmd.type) !== true) {
    return refuse(EOPNOTSUPP, 'the vIOMMU has no hardware queues of this type', { type: cmd.type });
  }
  const pinned = pinQueue(viommu, cmd.nesting_parent_iova, cmd.length);
  if (isErrno(pinned)) return pinned;
  const queue = new HwQueue(viommu, cmd, pinned);
  const rc = ctx.objects.reserve(queue);
  if (rc) {
    queue.destroy();
    return rc;
  }
  const failed = startQueue(queue) ?? answer(ucmd, queue);
  if (failed) ctx.objects.abort(queue);
  else ctx.objects.publish(queue);
  return failed;
}

function checkRequest(cmd: iommu_hw_queue_alloc): Status {
  const rc = checkFlags(cmd.flags) ?? checkType(cmd.type);
  if (rc) return rc;
  if (cmd.length === 0n)
    return refuse(EINVAL, 'the length is 0', { nesting_parent_iova: cmd.nesting_parent_iova });
  const { nesting_parent_iova: base, length } = cmd;
  if (base + length - 1n <= U64_MAX) return undefined;
  return refuse(EOVERFLOW, 'the queue wraps', { base, length });
}

function startQueue(queue: HwQueue): Status {
  const { viommu, core, pinned } = queue;
  const started = callOps(viommu.iommuDev.ops, 'hw_queue_init_phys', () =>
    viommu.ops.hwQueueInitPhys!(viommu, core, core.index, pinned.basePa),
  );
  if (isErrno(started)) return started;
  const needed = [...viommu.ctx.objects.all()].find(
    (other) => other instanceof HwQueue && other.core === started?.dependsOn,
  );
  if (needed instanceof HwQueue) {
    queue.dependsOn = needed;
    needed.users++;
  }
  return undefined;
}
function answer(ucmd: Ucmd<iommu_hw_queue_alloc>, queue: HwQueue): Status {
  ucmd.cmd.out_hw_queue_id = queue.id;
  return ucmd.respond();
}

/** Pin the pages of the queue through an internal access, which locks their mappings. */
function pinQueue(viommu: Viommu, base: bigint, length: bigint): Result<PinnedQueue> {
  const offset = base & 0xfffn;
  const whole = (offset + length + 0xfffn) & ~0xfffn;
  if (whole > U64_MAX)
    return refuse(ERANGE, 'the queue cannot be rounded to pages', {
      nesting_parent_iova: base,
      length,
    });
  const iova = base - offset;
  const access = accessCreate(viommu.ctx, undefined);
  if (isErrno(access)) return access;
  const pinned = { access, iova, length: whole, basePa: 0n };
  const rc = accessAttach(access, viommu.hwpt.ioas.id);
  if (rc) {
    accessDestroy(access);
    return rc;
  }
  const pfns = accessPinPages(access, iova, whole, false);
  if (isErrno(pfns)) {
    accessDestroy(access);
    return pfns;
  }
  if (pfns.some((pfn, n) => pfn !== pfns[0]! + n)) {
    unpinQueue(pinned);
    return refuse(EFAULT, 'the pages of the queue are not consecutive in physical memory', {
      nesting_parent_iova: base,
      length,
    });
  }
  return { ...pinned, basePa: (BigInt(pfns[0]!) << 12n) | offset };
}
function unpinQueue({ access, iova, length }: PinnedQueue): void {
  accessUnpinPages(access, iova, length);
  accessDetach(access);
  accessDestroy(access);
}
