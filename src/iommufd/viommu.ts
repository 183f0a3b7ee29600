/** VIOMMU_ALLOC (iommufd.md 2.17). */
import { EINVAL, EOPNOTSUPP, isErrno, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { devHasIommu } from '../core/contract/device.ts';
import { callOpsStatus } from '../core/contract/driver-call.ts';
import type { UserData } from '../core/contract/domain.ts';
import type { iommu_viommu_alloc } from '../uapi/iommufd.ts';
import { checkFlags, checkType } from './checks.ts';
import { IommufdDevice } from './device-object.ts';
import { HwptPaging } from './hwpt-object.ts';
import type { Ucmd } from './ioctl.ts';
import { userData } from './user-data.ts';
import { Viommu } from './viommu-object.ts';

/** @kernel iommufd_viommu_alloc_ioctl */
export function viommuAlloc(ucmd: Ucmd<iommu_viommu_alloc>): Status {
  const { cmd, ctx } = ucmd;
  const wrong = checkFlags(cmd.flags) ?? checkType(cmd.type);
  if (wrong) return wrong;
  const idev = ctx.objects.get(cmd.dev_id, IommufdDevice);
  if (isErrno(idev)) return idev;
  const { dev } = idev;
  if (!devHasIommu(dev) || !isSupported(idev, cmd.type)) {
    return refuse(EOPNOTSUPP, 'the IOMMU of the device offers no vIOMMU of this type', {
      device: dev.name,
      type: cmd.type,
    });
  }
  const hwpt = ctx.objects.get(cmd.hwpt_id, HwptPaging);
  if (isErrno(hwpt)) return hwpt;
  if (!hwpt.nestParent) {
    return refuse(EINVAL, 'the hwpt was not allocated as nest parent', { hwpt_id: hwpt.id });
  }
  const viommu = new Viommu(hwpt, cmd.type, dev.iommu.iommuDev);
  const unreserved = ctx.objects.reserve(viommu);
  if (unreserved) {
    viommu.ops = {};
    viommu.destroy();
    return unreserved;
  }
  const rc = initViommu(ucmd, viommu);
  if (rc) return rc;
  cmd.out_viommu_id = viommu.id;
  const failed = ucmd.respond();
  if (failed) ctx.objects.abort(viommu);
  else ctx.objects.publish(viommu);
  return failed;
}

function isSupported(idev: IommufdDevice, type: number): boolean {
  const ops = idev.dev.iommu?.iommuDev?.ops;
  return ops?.viommuInit !== undefined && ops.viommuSupports?.(idev.dev, type) === true;
}

function initByDriver(viommu: Viommu, data: UserData | undefined): Status {
  const { ops } = viommu.iommuDev;
  return callOpsStatus(ops, 'viommu_init', () => ops.viommuInit!(viommu, viommu.parent, data));
}

function initViommu(ucmd: Ucmd<iommu_viommu_alloc>, viommu: Viommu): Status {
  const { cmd, ctx } = ucmd;
  const data = userData(ucmd.task, cmd.type, cmd.data_uptr, cmd.data_len);
  const rc = initByDriver(viommu, data);
  // The driver made nothing: there is nothing of it to destroy.
  if (rc) viommu.ops = {};
  if (rc) ctx.objects.abort(viommu);
  return rc;
}
