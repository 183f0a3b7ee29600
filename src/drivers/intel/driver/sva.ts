/**
 * Shared address spaces: the first stage of a PASID is the page table of a process (core.md 10.1; formats.md 7; VT-d
 * 3.6).
 *
 * The driver writes no page table of its own. It forgets what units cached when the process changes its mappings, and
 * silences the PASID entries when the process ends before its users unbind.
 */
import { EINVAL, EOPNOTSUPP, type Result } from '../../../base/errno.ts';
import { refuse } from '../../../base/refuse.ts';
import type { Device } from '../../../core/contract/device.ts';
import { newDomain } from '../../../core/map/domain-alloc.ts';
import { IOMMU_DOMAIN_SVA, type Domain } from '../../../core/contract/domain.ts';
import type { SvaMm } from '../../../core/contract/driver.ts';
import { setDevPasid, testDev } from './attach.ts';
import { newIntelDomain, toIntelDevice, type IntelDomain } from './domain.ts';
import { silenceEntry } from './entries.ts';
import { flushDomain } from './flush.ts';
import { alignedRange } from './queue.ts';

/**
 * Errnos: EINVAL the device or its unit cannot share a page table; EOPNOTSUPP the address space has none in RAM.
 * @kernel intel_svm_domain_alloc
 */
export function domainAllocSva(dev: Device, mm: SvaMm): Result<Domain> {
  const device = toIntelDevice(dev);
  if (!device.iommu.hw.firstStage || !device.pasidEnabled || !device.atsSupported) {
    return refuse(EINVAL, 'sharing an address space needs a first stage, PASIDs and ATS', {
      device: dev.name,
    });
  }
  if (!mm.pageTable || !mm.watch) {
    return refuse(EOPNOTSUPP, 'the address space has no page table a unit could walk', {
      mm: mm.id,
    });
  }
  const domain = newDomain(dev.core, { kind: 'sva', type: IOMMU_DOMAIN_SVA, ops: {} });
  const record = newIntelDomain({ domain, kind: 'sva', shared: mm.pageTable });
  const unwatch = mm.watch({
    invalidate: (startG, lastG) => {
      flushDomain(record, alignedRange(startG, lastG));
    },
    release: () => {
      silence(record);
    },
  });
  domain.ops = { setDevPasid, testDev, free: unwatch };
  return domain;
}

/** @kernel intel_mm_release */
function silence(record: IntelDomain): void {
  for (const attachment of record.attachments) silenceEntry(attachment);
}
