/**
 * Attaching domains to devices and PASIDs (core.md 4, 5, 7; formats.md 7; VT-d 4.5 for ATS).
 *
 * Compatibility is a question of its own (test_dev); attaching then only fails for want of memory or domain ids, and
 * before anything changed: all that can fail is done first.
 */
import { EINVAL, EOPNOTSUPP, type Status } from '../../../base/errno.ts';
import { refuse } from '../../../base/refuse.ts';
import { IOMMU_NO_PASID } from '../../../core/attach/attach.ts';
import type { Device } from '../../../core/contract/device.ts';
import type { Domain } from '../../../core/contract/domain.ts';
import {
  toIntelDevice,
  toIntelDomain,
  type IntelAttachment,
  type IntelDevice,
  type IntelDomain,
} from './domain.ts';
import { clearEntry, didOfKind, prepareEntry, writeEntry } from './entries.ts';
import type { IntelHardware } from '../hardware.ts';
import { disableIopf, enableIopf } from './prq.ts';

/** Does this domain fit this device? EINVAL: another domain may; EOPNOTSUPP: no PASID here. */
export function testDev(domain: Domain, dev: Device, pasid: number): Status {
  const device = toIntelDevice(dev);
  const record = toIntelDomain(domain);
  if (pasid !== IOMMU_NO_PASID) {
    const status = testPasid(record, device);
    if (status) return status;
  }
  return compatible(record, device);
}

function testPasid(record: IntelDomain, device: IntelDevice): Status<'EOPNOTSUPP' | 'EINVAL'> {
  if (device.pasidTable === undefined || !device.pasidEnabled) {
    return refuse(EOPNOTSUPP, 'the device or its unit has no PASIDs', { device: device.dev.name });
  }
  if (record.domain.dirtyOps !== undefined) {
    return refuse(EINVAL, 'a domain with dirty tracking cannot serve a PASID', {
      domain: record.domain.name,
    });
  }
  return undefined;
}

/** @kernel paging_domain_compatible */
function compatible(record: IntelDomain, device: IntelDevice): Status<'EINVAL'> {
  const { hw } = device.iommu;
  switch (record.kind) {
    case 'blocked':
      return undefined;
    case 'identity':
      return hw.passThrough ? undefined : unfit('the unit has no pass-through', record);
    case 'second':
      return secondStageFits(record, hw);
    case 'first':
      return firstStageFits(record, hw);
    case 'nested':
      return nestedFits(record, hw);
    case 'sva':
      return svaFits(record, hw);
  }
}

function unfit(rule: string, record: IntelDomain): Status<'EINVAL'> {
  return refuse(EINVAL, rule, { domain: record.domain.name });
}

function secondStageFits(record: IntelDomain, hw: IntelHardware): Status<'EINVAL'> {
  if (!hw.secondStage) return unfit('the unit has no second stage', record);
  if (!hw.widths.includes(record.width)) {
    return unfit('the unit cannot walk a table of that many levels', record);
  }
  if (record.domain.geometry.apertureEnd >> BigInt(hw.mgaw) !== 0n) {
    return unfit('the domain is wider than the addresses of the unit', record);
  }
  const sizes = record.domain.pgsizeBitmap;
  const tooLarge =
    (!hw.superpage2m && (sizes & (1n << 21n)) !== 0n) ||
    (!hw.superpage1g && (sizes & (1n << 30n)) !== 0n);
  if (tooLarge) return unfit('the domain uses super pages the unit does not know', record);
  if (record.domain.dirtyOps !== undefined && !hw.ssade) {
    return unfit('the unit does not track dirty pages', record);
  }
  return sharedFits(record, hw);
}

function firstStageFits(record: IntelDomain, hw: IntelHardware): Status<'EINVAL'> {
  if (!hw.firstStage) return unfit('the unit has no first stage', record);
  if (record.width === 57 && !hw.firstStage5) {
    return unfit('the unit walks four levels in the first stage', record);
  }
  if (!hw.firstStage1g && (record.domain.pgsizeBitmap & (1n << 30n)) !== 0n) {
    return unfit('the unit knows no 1 GiB pages in the first stage', record);
  }
  return sharedFits(record, hw);
}

function sharedFits(record: IntelDomain, hw: IntelHardware): Status<'EINVAL'> {
  if (record.coherent && !hw.coherentWalks) {
    return unfit('the table is kept for walks that snoop, and the unit does not', record);
  }
  if (record.forceSnooping && !hw.snoopControl) {
    return unfit('the domain enforces coherency, and the unit cannot', record);
  }
  return undefined;
}

function nestedFits(record: IntelDomain, hw: IntelHardware): Status<'EINVAL'> {
  const { parent, addrWidth, flags } = record.guest!;
  if (!hw.nested) return unfit('the unit cannot nest', record);
  if (addrWidth !== 48 && !(addrWidth === 57 && hw.firstStage5)) {
    return unfit('the unit cannot walk a first stage of that width', record);
  }
  if ((flags & 1) !== 0 && !hw.supervisor) {
    return unfit('the unit takes no supervisor requests', record);
  }
  if ((flags & 2) !== 0 && !hw.extendedAccess) {
    return unfit('the unit has no extended accessed flag', record);
  }
  return secondStageFits(parent, hw);
}

function svaFits(record: IntelDomain, hw: IntelHardware): Status<'EINVAL'> {
  if (!hw.firstStage) return unfit('the unit has no first stage', record);
  if (record.shared?.topLevel === 4 && !hw.firstStage5) {
    return unfit('the processor walks five levels, the first stage of the unit four', record);
  }
  return undefined;
}

/**
 * Attach to the RID.
 * EINVAL: incompatible; ENOMEM, ENODEV: no table; ENOSPC: no domain id. The device then keeps its old domain.
 * @kernel intel_iommu_attach_device
 */
export function attachDev(domain: Domain, dev: Device): Status {
  return attach(toIntelDomain(domain), toIntelDevice(dev), IOMMU_NO_PASID);
}

/** @kernel intel_iommu_set_dev_pasid */
export function setDevPasid(domain: Domain, dev: Device, pasid: number): Status {
  return attach(toIntelDomain(domain), toIntelDevice(dev), pasid);
}

function attach(record: IntelDomain, device: IntelDevice, pasid: number): Status {
  const unfitting = testDev(record.domain, device.dev, pasid);
  if (unfitting) return unfitting;
  if (record.kind === 'blocked') {
    detach(device, pasid);
    return undefined;
  }
  const iopf = record.domain.iopfHandler !== undefined;
  const noPri = iopf ? enableIopf(device) : undefined;
  if (noPri) return noPri;
  const undo = (): void => {
    if (iopf) disableIopf(device);
  };
  const holder = didHolder(record);
  const noDid = holder && device.iommu.domainIds.take(holder);
  if (noDid) {
    undo();
    return noDid;
  }
  const noTable = prepareEntry(device, pasid);
  if (noTable) {
    if (holder) device.iommu.domainIds.release(holder);
    undo();
    return noTable;
  }
  detach(device, pasid);
  const did = didOfKind(record, device);
  const attachment: IntelAttachment = { device, pasid, domain: record, did, iopf };
  const status = writeEntry(attachment);
  if (status) {
    if (holder) device.iommu.domainIds.release(holder);
    undo();
    return status;
  }
  record.attachments.add(attachment);
  device.attached.set(pasid, attachment);
  return undefined;
}

/** The domain whose id stands in the entry; none for those that use the default id. */
function didHolder({ kind, domain, guest }: IntelDomain): Domain | undefined {
  if (kind === 'nested') return guest!.parent.domain;
  return kind === 'first' || kind === 'second' ? domain : undefined;
}

/** Block a RID or PASID. Cannot fail. */
export function detach(device: IntelDevice, pasid: number): void {
  const attachment = device.attached.get(pasid);
  if (attachment === undefined) return;
  clearEntry(attachment);
  device.attached.delete(pasid);
  attachment.domain.attachments.delete(attachment);
  if (attachment.iopf) disableIopf(device);
  const holder = didHolder(attachment.domain);
  if (holder) device.iommu.domainIds.release(holder);
}
