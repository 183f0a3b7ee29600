/** VDEVICE: a device as a vIOMMU's guest knows it (iommufd.md 2.18). */
import { EEXIST, EINVAL, isErrno, type Status } from '../base/errno.ts';
import { bugOn } from '../base/bug.ts';
import { refuse } from '../base/refuse.ts';
import { hex } from '../base/u64.ts';
import type { VdeviceCore } from '../core/contract/driver.ts';
import { callOps, callOpsStatus } from '../core/contract/driver-call.ts';
import type { iommu_vdevice_alloc } from '../uapi/iommufd.ts';
import { IommufdDevice, type VdeviceLink } from './device-object.ts';
import type { Ucmd } from './ioctl.ts';
import { IommufdObject } from './object.ts';
import { Viommu } from './viommu-object.ts';

export class Vdevice extends IommufdObject implements VdeviceLink {
  static readonly kind = 'VDEVICE';
  readonly viommu: Viommu;
  readonly idev: IommufdDevice;
  /** What the driver sees of it. */
  readonly core: VdeviceCore;

  constructor(viommu: Viommu, idev: IommufdDevice, virtId: bigint) {
    super();
    this.viommu = viommu;
    this.idev = idev;
    this.core = { dev: idev.dev, virtId, priv: undefined, destroy: undefined };
    viommu.vdevices.set(virtId, this.core);
    viommu.users++;
    idev.users++;
    idev.vdev = this;
  }
  override destroy(): void {
    const { ops } = this.viommu.iommuDev;
    if (this.core.destroy) callOps(ops, 'vdevice_destroy', this.core.destroy);
    this.viommu.vdevices.delete(this.core.virtId);
    this.viommu.users--;
    this.idev.vdev = undefined;
    this.idev.users--;
  }
  bury(): void {
    this.viommu.ctx.objects.bury(this);
  }
}

/** @kernel iommufd_vdevice_alloc_ioctl */
export function vdeviceAlloc(ucmd: Ucmd<iommu_vdevice_alloc>): Status {
  const { cmd, ctx } = ucmd;
  const viommu = ctx.objects.get(cmd.viommu_id, Viommu);
  if (isErrno(viommu)) return viommu;
  const idev = ctx.objects.get(cmd.dev_id, IommufdDevice);
  if (isErrno(idev)) return idev;
  const unfit = checkDevice(viommu, idev, cmd.virt_id);
  if (unfit) return unfit;

  const vdevice = new Vdevice(viommu, idev, cmd.virt_id);
  const rc = ctx.objects.reserve(vdevice);
  if (rc) {
    vdevice.destroy();
    return rc;
  }
  cmd.out_vdevice_id = vdevice.id;
  const failed = initByDriver(viommu, vdevice.core) ?? ucmd.respond();
  if (failed) ctx.objects.abort(vdevice);
  else ctx.objects.publish(vdevice);
  return failed;
}

function initByDriver(viommu: Viommu, core: VdeviceCore): Status {
  const { ops } = viommu;
  if (!ops.vdeviceInit) return undefined;
  return callOpsStatus(viommu.iommuDev.ops, 'vdevice_init', () => ops.vdeviceInit!(viommu, core));
}

function checkDevice(viommu: Viommu, idev: IommufdDevice, virtId: bigint): Status {
  if (idev.dev.iommu?.iommuDev !== viommu.iommuDev) {
    return refuse(EINVAL, 'the device is behind another IOMMU than the vIOMMU', {
      device: idev.dev.name,
    });
  }
  // Unbinding is one step here: no call can come in between.
  bugOn(idev.unbinding, 'a device that is being unbound is still found');
  if (idev.vdev) return refuse(EEXIST, 'the device has a vDEVICE already', { dev_id: idev.id });
  if (viommu.vdevices.has(virtId)) {
    return refuse(EEXIST, 'the virtual id is taken in this vIOMMU', { virt_id: hex(virtId) });
  }
  return undefined;
}
