/**
 * Attach, replace and detach of a device's requests, by PASID; 0 is the RID (iommufd.md 4.3-4.6).
 */
import { EBUSY, EINVAL, ENOENT, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { attachGroupHandle, detachGroupHandle, replaceGroupHandle } from '../core/attach/attach.ts';
import { attachFirstFitting } from '../core/attach/auto-domain.ts';
import type { AttachHandle } from '../core/contract/domain.ts';
import { attachDevicePasid, detachDevicePasid, replaceDevicePasid } from '../core/attach/pasid.ts';
import type { Attachment, Igroup, IommufdDevice } from './device-object.ts';
import { reserveDeviceRegions } from './device-regions.ts';
import { FaultSource } from './fault.ts';
import { hwptPagingAlloc } from './hwpt.ts';
import { HwptPaging, Hwpt } from './hwpt-object.ts';
import { Ioas } from './ioas.ts';
import { groupSetupMsi } from './sw-msi.ts';

/** The RID. */
export const NO_PASID = 0;

type Change = 'attach' | 'replace';

/**
 * Attach to an hwpt, or to an IOAS by way of an automatic one; the result is the hwpt's id.
 * Errnos: ENOENT no such object; EINVAL another kind or incompatible; EBUSY attached already; EADDRINUSE; driver's.
 * @kernel iommufd_device_attach
 */
export function deviceAttach(idev: IommufdDevice, pasid: number, ptId: number): Result<number> {
  const id = changePt(idev, pasid, ptId, 'attach');
  if (isErrno(id)) return id;
  idev.users++;
  return id;
}
/**
 * Go over to another hwpt or IOAS without a hole; the old one stays on an error.
 * @kernel iommufd_device_replace
 */
export function deviceReplace(idev: IommufdDevice, pasid: number, ptId: number): Result<number> {
  return changePt(idev, pasid, ptId, 'replace');
}
/**
 * Nothing to do when not attached.
 * @kernel iommufd_device_detach
 */
export function deviceDetach(idev: IommufdDevice, pasid: number): void {
  const igroup = idev.igroup!;
  const attachment = igroup.attachments.get(pasid);
  if (!attachment?.devices.has(idev)) return;
  const { hwpt } = attachment;
  {
    using _ = igroup.lock.hold();
    takeOut(igroup, idev, pasid, attachment);
  }
  idev.users--;
  putHwpt(hwpt);
}
/** Is anything attached for this device at the PASID? */
export function attachedHwpt(idev: IommufdDevice, pasid: number): Hwpt | undefined {
  const attachment = idev.igroup?.attachments.get(pasid);
  return attachment?.devices.has(idev) ? attachment.hwpt : undefined;
}

/** @kernel iommufd_device_change_pt */
function changePt(
  idev: IommufdDevice,
  pasid: number,
  ptId: number,
  change: Change,
): Result<number> {
  const pt = idev.ctx.objects.lookup(ptId);
  if (!pt) return refuse(ENOENT, 'no object has the id to attach to', { pt_id: ptId });
  if (pt instanceof Hwpt) return doChange(idev, pasid, pt, change) ?? pt.id;
  if (pt instanceof Ioas) return autoGetDomain(idev, pasid, pt, change);
  return refuse(EINVAL, 'the object to attach to is neither an hwpt nor an IOAS', { pt_id: ptId });
}
function doChange(idev: IommufdDevice, pasid: number, hwpt: Hwpt, change: Change): Status {
  return change === 'attach' ? hwptAttach(hwpt, idev, pasid) : hwptReplace(hwpt, idev, pasid);
}

/**
 * The first automatic hwpt of the IOAS that fits, or a new one: EINVAL means the next, any other errno is final.
 * @kernel iommufd_device_auto_get_domain
 */
function autoGetDomain(
  idev: IommufdDevice,
  pasid: number,
  ioas: Ioas,
  change: Change,
): Result<number> {
  using _ = ioas.mutex.hold();
  const candidates = ioas.hwpts.filter((h) => h instanceof HwptPaging).filter((h) => h.autoDomain);
  const found = attachFirstFitting(candidates, (hwpt) => doChange(idev, pasid, hwpt, change));
  if (isErrno(found)) return found;
  if (found) return found.fits.id;

  const immediate = {
    attachFirst: (hwpt: HwptPaging) => hwptAttach(hwpt, idev, pasid),
    detach: (hwpt: HwptPaging) => undoAttach(hwpt, idev, pasid),
  };
  const hwpt = hwptPagingAlloc(ioas, idev, { flags: 0, ...(change === 'attach' && immediate) });
  if (isErrno(hwpt)) return hwpt;
  const rc = change === 'replace' ? hwptReplace(hwpt, idev, pasid) : undefined;
  if (rc) {
    idev.ctx.objects.abort(hwpt);
    return rc;
  }
  hwpt.autoDomain = true;
  idev.ctx.objects.publish(hwpt);
  return hwpt.id;
}

/** @kernel iommufd_hw_pagetable_attach */
function hwptAttach(hwpt: Hwpt, idev: IommufdDevice, pasid: number): Status {
  const igroup = idev.igroup!;
  using _ = igroup.lock.hold();
  const attachment = igroup.attachments.get(pasid);
  if (attachment?.devices.has(idev)) {
    return refuse(EBUSY, 'the device is attached already', { device: idev.dev.name, pasid });
  }
  if (attachment && attachment.hwpt !== hwpt) {
    return refuse(EINVAL, 'the group is attached to another hwpt', {
      attached: attachment.hwpt.id,
      wanted: hwpt.id,
      pasid,
    });
  }
  const reserves = pasid === NO_PASID && !idev.isNoiommu;
  if (reserves) {
    const rc = reserveDeviceRegions(hwpt.paging.ioas.iopt, idev, igroup);
    if (rc) return rc;
  }
  if (attachment) {
    attachment.devices.add(idev);
  } else {
    const handle: AttachHandle = { domain: undefined, priv: new FaultSource(idev) };
    const rc = attachDriver(hwpt, idev, pasid, handle);
    if (rc) {
      if (reserves) hwpt.paging.ioas.iopt.rules.unreserve(idev);
      return rc;
    }
    igroup.attachments.set(pasid, { hwpt, handle, devices: new Set([idev]) });
  }
  hwpt.users++;
  return undefined;
}

function attachDriver(
  hwpt: Hwpt,
  idev: IommufdDevice,
  pasid: number,
  handle: AttachHandle,
): Status {
  const rc = setupDoorbells(hwpt, idev, pasid) ?? checkCompatible(hwpt, idev, pasid);
  if (rc || idev.isNoiommu) return rc;
  return pasid === NO_PASID
    ? attachGroupHandle(hwpt.domain, idev.igroup!.group!, handle)
    : attachDevicePasid(hwpt.domain, idev.dev, pasid, handle);
}

/** Interrupts are requests of the RID: those set up already must not be lost on the way. */
function setupDoorbells(hwpt: Hwpt, idev: IommufdDevice, pasid: number): Status {
  if (pasid !== NO_PASID || idev.isNoiommu) return undefined;
  return groupSetupMsi(idev.igroup!, hwpt.paging);
}

/** @kernel iommufd_hwpt_pasid_compat */
function checkCompatible(hwpt: Hwpt, idev: IommufdDevice, pasid: number): Status {
  const pci = idev.dev.config.pci;
  if (hwpt.fault && pci?.isVf && pci.hasPri) {
    return refuse(EINVAL, 'page faults of a VF come through its PF', { device: idev.dev.name });
  }
  const { attachments } = idev.igroup!;
  if (pasid === NO_PASID) {
    const others = [...attachments.keys()].some((other) => other !== NO_PASID);
    if (hwpt.pasidCompat || !others) return undefined;
    return refuse(EINVAL, 'PASIDs are attached, so the RID needs an hwpt made for PASIDs', {
      hwpt: hwpt.id,
      device: idev.dev.name,
    });
  }
  if (!hwpt.pasidCompat) {
    return refuse(EINVAL, 'a PASID needs an hwpt allocated with IOMMU_HWPT_ALLOC_PASID', { pasid });
  }
  const rid = attachments.get(NO_PASID);
  if (!rid || rid.hwpt.pasidCompat) return undefined;
  return refuse(EINVAL, 'the RID is attached to an hwpt that was not made for PASIDs', { pasid });
}

/** @kernel iommufd_device_do_replace */
function hwptReplace(hwpt: Hwpt, idev: IommufdDevice, pasid: number): Status {
  const igroup = idev.igroup!;
  const attachment = igroup.attachments.get(pasid);
  if (!attachment?.devices.has(idev)) {
    return refuse(EINVAL, 'the device is not attached, there is nothing to replace', {
      device: idev.dev.name,
      pasid,
    });
  }
  const old = attachment.hwpt;
  if (old === hwpt) return undefined;
  {
    using _ = igroup.lock.hold();
    const rc = switchGroup(hwpt, idev, pasid, attachment);
    if (rc) return rc;
  }
  const count = attachment.devices.size;
  hwpt.users += count;
  old.users -= count - 1;
  putHwpt(old);
  return undefined;
}

function switchGroup(
  hwpt: Hwpt,
  idev: IommufdDevice,
  pasid: number,
  attachment: Attachment,
): Status {
  const old = attachment.hwpt;
  const to = hwpt.paging.ioas;
  const from = old.paging.ioas;
  const moves = pasid === NO_PASID && !idev.isNoiommu && to !== from;
  const devices = moves ? [...attachment.devices] : [];
  for (const device of devices) {
    const rc = reserveDeviceRegions(to.iopt, device, idev.igroup!);
    if (!rc) continue;
    for (const done of devices) to.iopt.rules.unreserve(done);
    return rc;
  }
  const handle: AttachHandle = { domain: undefined, priv: new FaultSource(idev) };
  const rc = replaceDriver(hwpt, idev, pasid, handle);
  if (rc) {
    for (const device of devices) to.iopt.rules.unreserve(device);
    return rc;
  }
  old.fault?.answerFaultsOf(attachment.handle);
  for (const device of devices) from.iopt.rules.unreserve(device);
  attachment.hwpt = hwpt;
  attachment.handle = handle;
  return undefined;
}
function replaceDriver(
  hwpt: Hwpt,
  idev: IommufdDevice,
  pasid: number,
  handle: AttachHandle,
): Status {
  const rc = setupDoorbells(hwpt, idev, pasid) ?? checkCompatible(hwpt, idev, pasid);
  if (rc || idev.isNoiommu) return rc;
  return pasid === NO_PASID
    ? replaceGroupHandle(idev.igroup!.group!, hwpt.domain, handle)
    : replaceDevicePasid(hwpt.domain, idev.dev, pasid, handle);
}

/** Take one device off; with the last one the driver detaches. */
function takeOut(igroup: Igroup, idev: IommufdDevice, pasid: number, attachment: Attachment): void {
  const { hwpt, handle } = attachment;
  attachment.devices.delete(idev);
  if (attachment.devices.size === 0) {
    igroup.attachments.delete(pasid);
    if (!idev.isNoiommu) {
      if (pasid === NO_PASID) detachGroupHandle(hwpt.domain, igroup.group!);
      else detachDevicePasid(hwpt.domain, idev.dev, pasid);
    }
    hwpt.fault?.answerFaultsOf(handle);
  }
  if (pasid === NO_PASID && !idev.isNoiommu) hwpt.paging.ioas.iopt.rules.unreserve(idev);
}
function undoAttach(hwpt: Hwpt, idev: IommufdDevice, pasid: number): void {
  const igroup = idev.igroup!;
  using _ = igroup.lock.hold();
  takeOut(igroup, idev, pasid, igroup.attachments.get(pasid)!);
  hwpt.users--;
}

/** Drop one attachment; an automatic hwpt goes with its last one. @kernel iommufd_hw_pagetable_put */
function putHwpt(hwpt: Hwpt): void {
  hwpt.users--;
  if (hwpt instanceof HwptPaging && hwpt.autoDomain && hwpt.users === 1) {
    hwpt.ctx.objects.remove(hwpt);
  }
}
