/**
 * Which caches hold translations of a domain, and how they are told: the cache tags of the driver (core.md 3.5,
 * formats.md 7; VT-d 6.5.3.3).
 *
 * Second stage: IOTLB by domain id. First stage: by domain id and PASID. Devices with ATS: their own TLB, last.
 */
import type { Gather } from '../../../pt/gather.ts';
import { IOMMU_NO_PASID } from '../../../core/attach/attach.ts';
import type { Domain } from '../../../core/contract/domain.ts';
import { toIntelDomain, type IntelAttachment, type IntelDomain } from './domain.ts';
import { alignedRange, type AlignedRange } from './queue.ts';

/** Forget a range of a domain everywhere; undefined: all of it. */
export function flushDomain(record: IntelDomain, range: AlignedRange | undefined): void {
  const told = new Set<string>();
  for (const attachment of record.attachments) {
    once(told, iotlbKey(attachment), () => flushIotlb(attachment, range));
  }
  for (const attachment of record.attachments) flushDevTlb(attachment, range);
  for (const nested of record.nested) flushNestedOf(record, nested, told, range);
}

/** The parent changed under nested domains: its range says nothing about the addresses of the guest. */
function flushNestedOf(
  parent: IntelDomain,
  nested: IntelDomain,
  told: Set<string>,
  range: AlignedRange | undefined,
): void {
  for (const attachment of nested.attachments) {
    const { iommu } = attachment.device;
    const key = `${iommu.name}:${attachment.did}`;
    once(told, key, () => iommu.queue.iotlbPages(iommu.domainIds.of(parent.domain)!, range));
    flushDevTlb(attachment, undefined);
  }
}

function once(told: Set<string>, key: string, run: () => void): void {
  if (told.has(key)) return;
  told.add(key);
  run();
}

function isPasidTagged(record: IntelDomain): boolean {
  return record.kind === 'first' || record.kind === 'nested' || record.kind === 'sva';
}

function iotlbKey({ device, did, pasid, domain }: IntelAttachment): string {
  const key = `${device.iommu.name}:${did}`;
  return isPasidTagged(domain) ? `${key}:${pasid}` : key;
}

function flushIotlb(attachment: IntelAttachment, range: AlignedRange | undefined): void {
  const { device, did, pasid, domain } = attachment;
  const { queue } = device.iommu;
  if (isPasidTagged(domain)) queue.pasidIotlb(did, pasid, range);
  else queue.iotlbPages(did, range);
}

function flushDevTlb(attachment: IntelAttachment, range: AlignedRange | undefined): void {
  const { device, pasid } = attachment;
  if (!device.atsEnabled) return;
  for (const requesterId of device.aliases) {
    device.iommu.queue.devTlb(requesterId, pasid === IOMMU_NO_PASID ? -1 : pasid, range);
  }
}

/** After an entry was cleared: everything cached under it goes. */
export function flushAttachment(attachment: IntelAttachment): void {
  const { device, did, pasid } = attachment;
  const { queue } = device.iommu;
  queue.pasidCache(did, pasid);
  if (isPasidTagged(attachment.domain)) queue.pasidIotlb(did, pasid, undefined);
  else queue.iotlbDomain(did);
  flushDevTlb(attachment, undefined);
}

/** @kernel intel_iommu_tlb_sync */
export function iotlbSync(domain: Domain, gather: Gather): void {
  if (gather.start === Infinity) return;
  flushDomain(toIntelDomain(domain), alignedRange(gather.start, gather.end));
}

/** @kernel intel_flush_iotlb_all */
export function flushIotlbAll(domain: Domain): void {
  flushDomain(toIntelDomain(domain), undefined);
}
