/**
 * Page tables for devices without an IOMMU: a software table in AMDv1 format that nothing walks but GET_PA
 * (iommufd.md 4.7, 2.21).
 */
import { EOPNOTSUPP, isErrno, type Result } from '../base/errno.ts';
import { Bug } from '../base/bug.ts';
import { refuse } from '../base/refuse.ts';
import { newPtDomain } from '../core/map/domain-alloc.ts';
import type { Domain, DomainOps, UserData } from '../core/contract/domain.ts';
import type { IommuOps } from '../core/contract/driver.ts';
import { createPageTable } from '../pt/create.ts';
import { amdv1 } from '../pt/formats/amdv1.ts';
import type { PageTable } from '../pt/page-table.ts';
import type { IommufdSubsystem } from './subsystem.ts';

const domainOps: DomainOps = {
  free(domain) {
    domain.pt?.destroy();
  },
};

/** Stands where a driver's ops stand: owner of these domains, refused by every real device. */
export const noiommuOps: IommuOps = {
  name: 'iommufd-noiommu',
  probeDevice() {
    throw new Bug('nothing is probed by the noiommu operations: they are never registered');
  },
  deviceGroup: () => undefined,
  defaultDomainOps: domainOps,
};

/**
 * Errnos: EOPNOTSUPP any flag or data; ENOMEM.
 * @kernel noiommu_alloc_paging_flags
 */
export function noiommuAllocPaging(
  subsystem: IommufdSubsystem,
  flags: number,
  data: UserData | undefined,
): Result<Domain> {
  if (flags !== 0 || data) {
    return refuse(EOPNOTSUPP, 'a page table without an IOMMU has no flags and no data', { flags });
  }
  const pt = createNoiommuTable(subsystem);
  if (isErrno(pt)) return pt;
  const domain = newPtDomain(subsystem.core, { kind: 'noiommu', ops: domainOps, pt });
  domain.owner = noiommuOps;
  return domain;
}

function createNoiommuTable(subsystem: IommufdSubsystem): Result<PageTable> {
  return createPageTable(amdv1, subsystem.core.ram, {
    vaLg2: 64,
    oaLg2: 52,
    topLevel: 2,
    features: ['dynamic-top', 'force-coherent'],
    // No hardware walks it, so nobody has to hear of a new top.
    hooks: { changeTop: () => undefined },
  });
}
