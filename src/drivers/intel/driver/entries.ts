/**
 * What the driver writes for each kind of domain: legacy context entries, scalable PASID entries (formats.md 7; VT-d
 * 9.3, 9.6).
 */
import { isErrno, type Status } from '../../../base/errno.ts';
import { IOMMU_NO_PASID } from '../../../core/attach/attach.ts';
import type { IntelAttachment, IntelDevice, IntelDomain } from './domain.ts';
import { flushAttachment } from './flush.ts';
import { awOfWidth, type IntelHardware } from '../hardware.ts';
import { FLPT_DEFAULT_DID } from './iommu.ts';
import type { PasidEntryFields } from './pasid-table.ts';
import {
  legacyContext,
  PGTT_FIRST,
  PGTT_NESTED,
  PGTT_PASS_THROUGH,
  PGTT_SECOND,
  scalableContext,
  T_PASS_THROUGH,
  T_SECOND_STAGE,
  T_SECOND_STAGE_ATS,
} from '../words.ts';

/** Flags of iommu_hwpt_vtd_s1. */
export const IOMMU_VTD_S1_SRE = 1;
export const IOMMU_VTD_S1_EAFE = 2;
export const IOMMU_VTD_S1_WPE = 4;

/** Allocate whatever tables an entry needs, so that writing it cannot fail. ENOMEM, ENODEV. */
export function prepareEntry(device: IntelDevice, pasid: number): Status<'ENOMEM' | 'ENODEV'> {
  if (device.pasidTable !== undefined) return device.pasidTable.prepare(pasid);
  for (const requesterId of device.aliases) {
    const at = device.iommu.contextOf(requesterId);
    if (isErrno(at)) return at;
  }
  return undefined;
}

/** Write the entry of an attachment; it was prepared, and nothing is present there. */
export function writeEntry(attachment: IntelAttachment): Status {
  const { device, pasid } = attachment;
  if (device.pasidTable !== undefined) {
    return device.pasidTable.write(pasid, pasidFields(attachment));
  }
  for (const requesterId of device.aliases) writeLegacy(attachment, requesterId);
  setAts(device, wantsLegacyAts(attachment));
  return undefined;
}

function wantsLegacyAts({ device, domain }: IntelAttachment): boolean {
  return device.atsSupported && domain.kind !== 'identity';
}

function writeLegacy(attachment: IntelAttachment, requesterId: number): void {
  const { device, did, domain } = attachment;
  const { iommu } = device;
  iommu.clearContext(requesterId);
  const { words } = iommu.core.ram;
  const at = iommu.findContext(requesterId)!;
  legacyContext.did.set(words, at, did);
  if (domain.kind === 'identity') {
    legacyContext.t.set(words, at, T_PASS_THROUGH);
    legacyContext.aw.set(words, at, awOfWidth(largestWidth(iommu.hw)));
  } else {
    const ats = wantsLegacyAts(attachment);
    legacyContext.t.set(words, at, ats ? T_SECOND_STAGE_ATS : T_SECOND_STAGE);
    legacyContext.aw.set(words, at, awOfWidth(domain.width));
    legacyContext.ssptptr.set(words, at, domain.domain.pt!.topPfn);
  }
  legacyContext.p.set(words, at, 1);
}

/** The device's ATS enable bit follows its entry; its TLB is emptied by the device when it is switched off. */
export function setAts(device: IntelDevice, on: boolean): void {
  if (device.atsEnabled === on) return;
  device.atsEnabled = on;
  device.iommu.config.ats.setAts(device.requesterId, on);
}

/** Clear the entry of an attachment and forget what is cached of it. */
export function clearEntry(attachment: IntelAttachment): void {
  const { device, pasid } = attachment;
  if (device.pasidTable !== undefined) {
    device.pasidTable.clear(pasid, () => flushAttachment(attachment));
    return;
  }
  setAts(device, false);
  for (const requesterId of device.aliases) device.iommu.clearContext(requesterId);
}

/** Clear an entry whose table goes away under it; requests are then blocked without a record (FPD). */
export function silenceEntry(attachment: IntelAttachment): void {
  attachment.device.pasidTable!.clear(attachment.pasid, () => flushAttachment(attachment), true);
}

/** Replace the fields of a present PASID entry, P off in between. */
export function rewriteEntry(attachment: IntelAttachment): Status {
  clearEntry(attachment);
  return writeEntry(attachment);
}

export function largestWidth(hw: IntelHardware): number {
  return hw.widths[hw.widths.length - 1]!;
}

function pasidFields(attachment: IntelAttachment): PasidEntryFields {
  const { device, did, domain } = attachment;
  const { hw } = device.iommu;
  const shared = { did, pwsnp: Number(hw.coherentWalks) };
  switch (domain.kind) {
    case 'second':
      return { ...shared, ...secondStage(domain), pgtt: PGTT_SECOND };
    case 'first':
    case 'sva':
      return {
        ...shared,
        pgtt: PGTT_FIRST,
        aw: awOfWidth(largestWidth(hw)),
        fsptptr: (domain.shared ?? domain.domain.pt!).topPfn,
        fspm: Number((domain.shared ?? domain.domain.pt!).topLevel === 4),
        pgsnp: Number(domain.forceSnooping),
      };
    case 'nested':
      return { ...shared, ...nestedFields(domain) };
    default:
      return { ...shared, pgtt: PGTT_PASS_THROUGH, aw: awOfWidth(largestWidth(hw)) };
  }
}

function secondStage(domain: IntelDomain): PasidEntryFields {
  return {
    ssptptr: domain.domain.pt!.topPfn,
    aw: awOfWidth(domain.width),
    ssade: Number(domain.dirtyTracking),
  };
}

function nestedFields(domain: IntelDomain): PasidEntryFields {
  const { parent, rootPfn, addrWidth, flags } = domain.guest!;
  const sre = (flags & IOMMU_VTD_S1_SRE) !== 0;
  return {
    ...secondStage(parent),
    pgtt: PGTT_NESTED,
    fsptptr: rootPfn,
    fspm: Number(addrWidth === 57),
    sre: Number(sre),
    wpe: Number(sre && (flags & IOMMU_VTD_S1_WPE) !== 0),
    eafe: Number((flags & IOMMU_VTD_S1_EAFE) !== 0),
    pgsnp: Number(parent.forceSnooping),
  };
}

/** Scalable mode: the context entry of a device, made at probe and kept until release. */
export function writeScalableContext(device: IntelDevice): Status<'ENOMEM'> {
  const { iommu, pasidTable } = device;
  for (const requesterId of device.aliases) {
    const at = iommu.contextOf(requesterId);
    if (isErrno(at)) return at;
    const { words } = iommu.core.ram;
    scalableContext.pasiddirptr.set(words, at, pasidTable!.directoryPfn);
    scalableContext.pdts.set(words, at, pasidTable!.pdts);
    scalableContext.rid_pasid.set(words, at, IOMMU_NO_PASID);
    scalableContext.dte.set(words, at, Number(device.atsSupported));
    scalableContext.pre.set(words, at, Number(device.priSupported));
    scalableContext.paside.set(words, at, Number(device.pasidEnabled));
    scalableContext.p.set(words, at, 1);
  }
  return undefined;
}

export function didOfKind(record: IntelDomain, device: IntelDevice): number {
  const holder = record.guest?.parent ?? record;
  return device.iommu.domainIds.of(holder.domain) ?? FLPT_DEFAULT_DID;
}
