/** HWPT_INVALIDATE: caches of nested hwpts and vIOMMUs (iommufd.md 2.15). */
import { EINVAL, ENOENT, EOPNOTSUPP, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { PAGE_SIZE } from '../base/u64.ts';
import type { iommu_hwpt_invalidate } from '../uapi/iommufd.ts';
import { HwptNested } from './hwpt-object.ts';
import { callDomain, callOps } from '../core/contract/driver-call.ts';
import type { Ucmd } from './ioctl.ts';
import type { IommufdObject } from './object.ts';
import { UserEntries } from './user-data.ts';
import { Viommu } from './viommu-object.ts';
import { checkReserved } from './checks.ts';

const MAX_ENTRIES = 1 << 19;

/** The count of entries done comes back whatever happens. @kernel iommufd_hwpt_invalidate */
export function hwptInvalidate(ucmd: Ucmd<iommu_hwpt_invalidate>): Status {
  const { cmd } = ucmd;
  const { done, status } = invalidate(ucmd);
  cmd.entry_num = done;
  const rc = ucmd.respond();
  return rc ?? status;
}

interface Invalidated {
  readonly done: number;
  readonly status: Status;
}
function nothing(status: Status): Invalidated {
  return { done: 0, status };
}

function invalidate(ucmd: Ucmd<iommu_hwpt_invalidate>): Invalidated {
  const { cmd, ctx, task } = ucmd;
  const wrong = checkReserved(cmd.__reserved);
  if (wrong) return nothing(wrong);
  const { entry_len: length, entry_num: count } = cmd;
  if (count > 0 && !isArray(cmd.data_uptr, length, count)) {
    return nothing(refuse(EINVAL, 'the array of entries has impossible bounds', { length, count }));
  }
  const object = ctx.objects.lookup(cmd.hwpt_id);
  if (!object) return nothing(refuse(ENOENT, 'no object has this id', { id: cmd.hwpt_id }));
  const isNested = object instanceof HwptNested;
  if (!isNested && ctx.subsystem.env.has('hwpt-invalidate-nested-only')) {
    return nothing(refuse(ENOENT, 'no nested hwpt has this id', { id: cmd.hwpt_id }));
  }
  const entries = new UserEntries(task, cmd.data_uptr, cmd.data_type, length, count);
  return invalidateObject(object, entries);
}
function isArray(uptr: bigint, length: number, count: number): boolean {
  return uptr !== 0n && length > 0 && length <= PAGE_SIZE && count <= MAX_ENTRIES;
}

function invalidateObject(object: IommufdObject, entries: UserEntries): Invalidated {
  if (object instanceof HwptNested) {
    const { domain } = object;
    if (domain.ops.cacheInvalidateUser) {
      return callDomain(domain, 'cache_invalidate_user', () =>
        domain.ops.cacheInvalidateUser!(domain, entries),
      );
    }
    return nothing(
      refuse(EOPNOTSUPP, 'the IOMMU driver has no caches to invalidate', { hwpt: object.id }),
    );
  }
  if (object instanceof Viommu) {
    if (object.ops.cacheInvalidate) {
      return callOps(object.iommuDev.ops, 'cache_invalidate', () =>
        object.ops.cacheInvalidate!(object, entries),
      );
    }
    return nothing(
      refuse(EOPNOTSUPP, 'the vIOMMU has no caches to invalidate', { viommu: object.id }),
    );
  }
  return nothing(
    refuse(EINVAL, 'only nested hwpts and vIOMMUs have caches to invalidate', { id: object.id }),
  );
}
