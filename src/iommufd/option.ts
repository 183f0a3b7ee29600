/** OPTION and VFIO_IOAS (iommufd.md 2.9, 2.10). */
import { EBUSY, EINVAL, ENODEV, EOPNOTSUPP, EPERM, isErrno, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { CAP_SYS_RESOURCE } from '../base/task.ts';
import {
  iommu_option as layout,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  type iommu_option,
  type iommu_vfio_ioas,
} from '../uapi/iommufd.ts';
import { Ioas } from './ioas.ts';
import { disableLargePages, enableLargePages } from './io-pagetable/iopt-domains.ts';
import type { Ucmd } from './ioctl.ts';
import { checkReserved } from './checks.ts';

/** @kernel iommufd_option */
export function option(ucmd: Ucmd<iommu_option>): Status {
  const { cmd } = ucmd;
  const rc = checkReserved(cmd.__reserved) ?? runOption(ucmd);
  return rc ?? ucmd.respondAt(layout.offsets.val64, 8);
}
function runOption(ucmd: Ucmd<iommu_option>): Status {
  const { cmd } = ucmd;
  if (cmd.option_id === IOMMU_OPTION_RLIMIT_MODE) return rlimitMode(ucmd);
  if (cmd.option_id === IOMMU_OPTION_HUGE_PAGES) return hugePages(ucmd);
  return refuse(EOPNOTSUPP, 'unknown option', { option_id: cmd.option_id });
}

/** @kernel iommufd_option_rlimit_mode */
function rlimitMode(ucmd: Ucmd<iommu_option>): Status {
  const { cmd, ctx, task } = ucmd;
  if (cmd.object_id !== 0) {
    return refuse(EOPNOTSUPP, 'this option belongs to no object', { object_id: cmd.object_id });
  }
  if (cmd.op === IOMMU_OPTION_OP_GET) {
    cmd.val64 = ctx.accountMode === 'mm' ? 1n : 0n;
    return undefined;
  }
  if (cmd.op !== IOMMU_OPTION_OP_SET) return refuseOp(cmd.op);
  if (!task.capable(CAP_SYS_RESOURCE)) {
    return refuse(EPERM, 'changing the accounting wants CAP_SYS_RESOURCE', { uid: task.uid });
  }
  if (ctx.objects.size > 0)
    return refuse(EBUSY, 'objects exist already', { objects: ctx.objects.size });
  if (cmd.val64 === 0n) ctx.accountMode = 'user';
  else if (cmd.val64 === 1n) ctx.accountMode = 'mm';
  else return refuse(EINVAL, 'the accounting mode is 0 or 1', { val64: cmd.val64 });
  return undefined;
}

/** @kernel iommufd_ioas_option */
function hugePages(ucmd: Ucmd<iommu_option>): Status {
  const { cmd, ctx } = ucmd;
  const ioas = ctx.objects.get(cmd.object_id, Ioas);
  if (isErrno(ioas)) return ioas;
  if (cmd.op === IOMMU_OPTION_OP_GET) {
    cmd.val64 = ioas.iopt.largePages ? 1n : 0n;
    return undefined;
  }
  if (cmd.op !== IOMMU_OPTION_OP_SET) return refuseOp(cmd.op);
  if (cmd.val64 === 0n) return disableLargePages(ioas.iopt);
  if (cmd.val64 !== 1n) return refuse(EINVAL, 'the option is 0 or 1', { val64: cmd.val64 });
  enableLargePages(ioas.iopt);
  return undefined;
}
function refuseOp(op: number): Status {
  return refuse(EOPNOTSUPP, 'unknown operation', { op });
}

/** @kernel iommufd_vfio_ioas */
export function vfioIoas(ucmd: Ucmd<iommu_vfio_ioas>): Status {
  const { cmd, ctx } = ucmd;
  const wrong = checkReserved(cmd.__reserved);
  if (wrong) return wrong;
  if (cmd.op === IOMMU_VFIO_IOAS_GET) {
    if (!ctx.vfioIoas) return refuse(ENODEV, 'no IOAS plays the container');
    cmd.ioas_id = ctx.vfioIoas.id;
    return ucmd.respond();
  }
  if (cmd.op === IOMMU_VFIO_IOAS_SET) {
    const ioas = ctx.objects.get(cmd.ioas_id, Ioas);
    if (isErrno(ioas)) return ioas;
    ctx.vfioIoas = ioas;
    return undefined;
  }
  if (cmd.op !== IOMMU_VFIO_IOAS_CLEAR) return refuseOp(cmd.op);
  ctx.vfioIoas = undefined;
  return undefined;
}
