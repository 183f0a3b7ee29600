/**
 * Attach, replace and detach on a PASID (core.md 5). Only members that have PASIDs take part.
 *
 * There is no singleton rule and no ownership rule here. Removing goes through the driver's blocked domain and
 * must not fail.
 */
import { EBUSY, EINVAL, ENODEV, EOPNOTSUPP, isErrno, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { devHasIommu, type Device } from '../contract/device.ts';
import type { AttachHandle, Domain } from '../contract/domain.ts';
import { callSetDevPasid } from '../contract/driver-call.ts';
import type { IommuGroup } from '../contract/group.ts';
import type { IommuCore } from '../contract/iommu-core.ts';
import {
  canSetPasid,
  checkCompatible,
  checkPasidRange,
  isOwnerCompatible,
  maxPasidsOf,
  pasidMembers,
  refusePasids,
  testDevice,
} from './test-dev.ts';

/** No PASID: what allocGlobalPasid answers when there is none to give. */
export const IOMMU_PASID_INVALID = 0xffff_ffff;

/**
 * Attach a domain to a PASID of every member that has PASIDs.
 * Errnos: ENODEV no group; EOPNOTSUPP the domain or driver cannot; EINVAL other driver, PASID 0 or out of range;
 * EBUSY a reset, or the PASID is in use; driver's.
 * @kernel iommu_attach_device_pasid
 */
export function attachDevicePasid(
  domain: Domain,
  dev: Device,
  pasid: number,
  handle?: AttachHandle,
): Status {
  const group = dev.iommuGroup;
  if (!group) return refuse(ENODEV, 'the device is in no group', { device: dev.name });
  const early = checkPasidPair(domain, dev, pasid, true);
  if (early) return early;

  using _ = group.mutex.hold();
  const rc = checkRecovery(group) ?? checkAttach(group, domain, dev, pasid);
  if (rc) return rc;
  if (handle) handle.domain = domain;
  if (group.pasidArray.has(pasid)) return refuseSlot(pasid);

  const failed = setGroupPasid(group, domain, pasid, undefined);
  if (failed) return failed;
  group.pasidArray.set(pasid, { domain, handle });
  return undefined;
}

/**
 * Swap the domain of a PASID; the old one stays on an error.
 * Errnos: ENODEV no group; EOPNOTSUPP; EINVAL other driver, PASID 0, no handle, nothing attached, or the same handle
 * again; EBUSY a reset; driver's.
 * @kernel iommu_replace_device_pasid
 */
export function replaceDevicePasid(
  domain: Domain,
  dev: Device,
  pasid: number,
  handle: AttachHandle | undefined,
): Status {
  const group = dev.iommuGroup;
  if (!group) return refuse(ENODEV, 'the device is in no group', { device: dev.name });
  const early = checkPasidPair(domain, dev, pasid, false);
  if (early) return early;
  if (!handle) return refuse(EINVAL, 'an attach handle is required', { pasid });

  using _ = group.mutex.hold();
  const busy = checkRecovery(group);
  if (busy) return busy;
  handle.domain = domain;
  const entry = group.pasidArray.get(pasid);
  if (!entry) return refuseNoEntry(pasid);
  if (entry.handle === handle) {
    dev.core.env.warn('pasid-handle-reuse', `${dev.name}: replaced with the very same handle`);
    return refuse(EINVAL, 'the new handle is the old one', { pasid });
  }
  if (entry.domain !== domain) {
    const rc =
      checkReplace(group, domain, { dev, pasid, old: entry.domain }) ??
      setGroupPasid(group, domain, pasid, entry.domain);
    if (rc) return rc;
  }
  group.pasidArray.set(pasid, { domain, handle });
  return undefined;
}

/**
 * Take the domain off a PASID. The domain is trusted to be the one attached.
 * @kernel iommu_detach_device_pasid
 */
export function detachDevicePasid(domain: Domain, dev: Device, pasid: number): void {
  const group = dev.iommuGroup;
  if (!group) return;
  using _ = group.mutex.hold();
  for (const member of group.devices) {
    if (member.blocked || maxPasidsOf(member.dev) === 0) continue;
    removeDevPasid(member.dev, pasid, domain);
  }
  group.pasidArray.delete(pasid);
}

/**
 * The lowest free PASID of the machine below the device's limit, or IOMMU_PASID_INVALID.
 * @kernel iommu_alloc_global_pasid
 */
export function allocGlobalPasid(dev: Device): number {
  const maxPasids = maxPasidsOf(dev);
  if (maxPasids === 0) return IOMMU_PASID_INVALID;
  const { globalPasids } = dev.core;
  const pasid = globalPasids.reserve();
  if (isErrno(pasid)) return IOMMU_PASID_INVALID;
  if (pasid < maxPasids) return pasid;
  globalPasids.abort(pasid);
  return IOMMU_PASID_INVALID;
}

/** @kernel iommu_free_global_pasid */
export function freeGlobalPasid(core: IommuCore, pasid: number): void {
  if (pasid === IOMMU_PASID_INVALID) {
    core.env.warn('pasid-free-invalid', 'the invalid PASID was freed');
    return;
  }
  core.globalPasids.abort(pasid);
}

/** Take a PASID off one device through its driver's blocked domain; a failure is warned. */
export function removeDevPasid(dev: Device, pasid: number, old: Domain | undefined): void {
  const blocked = devHasIommu(dev) ? dev.iommu.iommuDev.ops.blockedDomain : undefined;
  const rc = blocked?.ops.setDevPasid
    ? callSetDevPasid(blocked, dev, pasid, old)
    : refuse(EOPNOTSUPP, 'the driver has no blocked domain for PASIDs', { device: dev.name });
  if (!rc) return;
  dev.core.env.warn(
    'pasid-remove-failed',
    `${dev.name}: PASID ${String(pasid)} stayed: ${rc.name}`,
  );
}

/**
 * Set a PASID on every member that has PASIDs, or on none of them.
 * @kernel __iommu_set_group_pasid
 */
function setGroupPasid(
  group: IommuGroup,
  domain: Domain,
  pasid: number,
  old: Domain | undefined,
): Status {
  const members = pasidMembers(group);
  for (const [index, dev] of members.entries()) {
    const rc = callSetDevPasid(domain, dev, pasid, old);
    if (!rc) continue;
    for (const done of members.slice(0, index)) undoSet(done, pasid, { from: domain, to: old });
    return rc;
  }
  return undefined;
}

function undoSet(
  dev: Device,
  pasid: number,
  undo: { readonly from: Domain; readonly to: Domain | undefined },
): void {
  if (!undo.to?.ops.setDevPasid) {
    removeDevPasid(dev, pasid, undo.from);
    return;
  }
  const rc = callSetDevPasid(undo.to, dev, pasid, undo.from);
  if (!rc) return;
  dev.core.env.warn(
    'rollback-failed',
    `${dev.name}: PASID ${String(pasid)} could not go back to ${undo.to.name}: ${rc.name}`,
  );
  removeDevPasid(dev, pasid, undo.from);
}

/** The checks made before the lock. With test-dev, owner and support belong to the test. */
function checkPasidPair(domain: Domain, dev: Device, pasid: number, attach: boolean): Status {
  if (!devHasIommu(dev)) {
    return refuse(EINVAL, 'the device has no IOMMU', { device: dev.name });
  }
  if (!dev.core.env.has('test-dev')) {
    const { ops } = dev.iommu.iommuDev;
    const can = attach ? canSetPasid(ops, domain) : domain.ops.setDevPasid !== undefined;
    if (!can) return refusePasids(domain, dev);
    if (!isOwnerCompatible(dev, domain)) {
      const facts = { domain: domain.name, device: dev.name };
      return refuse(EINVAL, 'the domain was made by another IOMMU driver', facts);
    }
  }
  if (pasid === 0) return refuse(EINVAL, 'PASID 0 stands for requests without a PASID');
  return undefined;
}

function checkRecovery(group: IommuGroup): Status {
  if (group.recoveryCnt === 0) return undefined;
  return refuse(EBUSY, 'a member of the group is being reset', { group: group.id });
}

function checkAttach(group: IommuGroup, domain: Domain, dev: Device, pasid: number): Status {
  if (!group.core.env.has('test-dev')) return checkPasidRange(group, pasid);
  return testPasidMembers(group, domain, { dev, pasid, old: undefined });
}

interface PasidTest {
  readonly dev: Device;
  readonly pasid: number;
  readonly old: Domain | undefined;
}

function checkReplace(group: IommuGroup, domain: Domain, test: PasidTest): Status {
  return group.core.env.has('test-dev') ? testPasidMembers(group, domain, test) : undefined;
}

/** Every member that has PASIDs is tested, and the device asked for even if it has none. */
function testPasidMembers(group: IommuGroup, domain: Domain, test: PasidTest): Status {
  const unfit = checkCompatible(domain, test.dev, test.pasid);
  if (unfit) return unfit.rc;
  for (const dev of pasidMembers(group)) {
    const rc = testDevice(domain, dev, test.pasid, test.old);
    if (rc) return rc;
  }
  return undefined;
}

function refuseSlot(pasid: number): Status {
  return refuse(EBUSY, 'something is attached to this PASID', { pasid });
}

function refuseNoEntry(pasid: number): Status {
  return refuse(EINVAL, 'nothing is attached to this PASID', { pasid });
}
