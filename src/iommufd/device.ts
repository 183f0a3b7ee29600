/** Binding devices to an iommufd, by VFIO and by the selftest (iommufd.md 4.1, 4.7). */
import { EINVAL, EPERM, type Result, type Status } from '../base/errno.ts';
import { Bug, bugOn } from '../base/bug.ts';
import { refuse } from '../base/refuse.ts';
import type { Device } from '../core/contract/device.ts';
import {
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
} from '../core/contract/driver.ts';
import { deviceClaimDmaOwner } from '../core/group/ownership.ts';
import { deviceIommuCapable, groupHasIsolatedMsi } from '../core/probe/probe.ts';
import type { IommufdContext } from './context.ts';
import { getIgroup, Igroup, IommufdDevice, putIgroup } from './device-object.ts';

export { IommufdDevice, ctxHasGroup } from './device-object.ts';
export { attachedHwpt, deviceAttach, deviceDetach, deviceReplace, NO_PASID } from './attach.ts';

/**
 * Bind a device: DMA of its group is owned by this context from now on. The device's id is `idev.id`.
 * Errnos: EINVAL no cache coherency; EPERM interrupts not isolated, or another owner; EBUSY.
 * @kernel iommufd_device_bind
 */
export function deviceBind(ctx: IommufdContext, dev: Device): Result<IommufdDevice> {
  return bind(ctx, dev, false);
}
/** The same for a device of the selftest's bus. @kernel iommufd_device_bind */
export function deviceBindMock(ctx: IommufdContext, dev: Device): Result<IommufdDevice> {
  return bind(ctx, dev, true);
}

function bind(ctx: IommufdContext, dev: Device, isMock: boolean): Result<IommufdDevice> {
  const idev = new IommufdDevice(ctx, dev, isMock);
  const rc = ctx.objects.reserve(idev) ?? undefined;
  if (rc) return rc;
  const failed = idev.isNoiommu ? bindNoiommu(idev) : bindIommu(idev);
  if (failed) {
    ctx.objects.abort(idev);
    return failed;
  }
  if (!isMock) ctx.file.get();
  idev.users++;
  ctx.objects.publish(idev);
  return idev;
}

/** A group of its own: no owner to claim, nothing to check. @kernel iommufd_device_bind_noiommu */
function bindNoiommu(idev: IommufdDevice): Status {
  idev.igroup = new Igroup(undefined);
  idev.igroup.devices = 1;
  return undefined;
}

/** @kernel iommufd_device_bind_iommu */
function bindIommu(idev: IommufdDevice): Status {
  const { ctx, dev } = idev;
  if (!deviceIommuCapable(dev, IOMMU_CAP_CACHE_COHERENCY)) {
    return refuse(EINVAL, 'the DMA of the device is not cache coherent', { device: dev.name });
  }
  const group = dev.iommuGroup;
  // The core gives every device its IOMMU and its group together.
  if (!group) throw new Bug(`${dev.name} has an IOMMU and no group`);
  const igroup = getIgroup(ctx, group);
  igroup.devices++;
  const rc = checkInterrupts(idev) ?? deviceClaimDmaOwner(dev, ctx);
  if (rc) {
    putIgroup(ctx, igroup);
    return rc;
  }
  idev.igroup = igroup;
  idev.enforceCacheCoherency = deviceIommuCapable(dev, IOMMU_CAP_ENFORCE_CACHE_COHERENCY);
  return undefined;
}

function checkInterrupts(idev: IommufdDevice): Status {
  const { env } = idev.ctx.subsystem;
  if (idev.isMock || groupHasIsolatedMsi(idev.dev.iommuGroup!)) return undefined;
  if (!env.has('unsafe-interrupts')) {
    return refuse(
      EPERM,
      'interrupts of the group are not isolated, and the parameter allow_unsafe_interrupts is N',
      { device: idev.dev.name, group: idev.dev.iommuGroup!.id },
    );
  }
  env.log('warn', 'the platform does not keep the message interrupts of devices apart');
  return undefined;
}

/**
 * Undo deviceBind; nothing may be attached. A vDEVICE goes with it, and its id stays taken.
 * @kernel iommufd_device_unbind
 */
export function deviceUnbind(idev: IommufdDevice): void {
  idev.unbinding = true;
  idev.vdev?.bury();
  idev.users--;
  bugOn(idev.users !== 1, `device ${idev.id} is unbound while something is attached`);
  idev.ctx.objects.remove(idev);
}
