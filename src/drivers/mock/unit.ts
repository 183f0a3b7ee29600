/**
 * The translating side of the mock IOMMU: it asks the domains the driver put a device on. It exists so that devices behind
 * the mock driver can do DMA.
 */
import { isErrno } from '../../base/errno.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { fromGranules } from '../../base/u64.ts';
import type { Device } from '../../core/contract/device.ts';
import {
  IOMMU_DOMAIN_F_PAGING,
  IOMMU_DOMAIN_IDENTITY,
  type Domain,
} from '../../core/contract/domain.ts';
import { granuleLg2 } from '../../core/contract/granule.ts';
import type { GranuleSpan } from '../../core/contract/remapping-unit.ts';
import { FIRST_MESSAGE_PFN, LAST_MESSAGE_PFN } from '../../pci/messages.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';
import { PlainUnit, type Blocked } from '../unit/plain-unit.ts';
import { mockDeviceOf } from './device.ts';
import { mockNestedOf } from './nested.ts';
import { mockPagingOf } from './paging.ts';

export const MOCK_FAULT_BLOCKED = 1;
export const MOCK_FAULT_UNMAPPED = 2;
export const MOCK_FAULT_DENIED = 3;

/** The MiB of interrupt messages, in granules of 2 KiB. */
const PASSED: GranuleSpan = { firstG: FIRST_MESSAGE_PFN * 2, lastG: LAST_MESSAGE_PFN * 2 + 1 };

/** `messages`: interrupt messages pass beside the tables, or go through them as every write. */
export function createMockUnit(
  env: KernelEnv,
  name: string,
  messages: 'pass' | 'translated' = 'pass',
): PlainUnit {
  return new PlainUnit({
    env,
    name,
    granuleLg2: 11,
    messages: messages === 'pass' ? PASSED : undefined,
    lookup(dev, { pasid, iovaG, write }) {
      const attached = domainOf(dev, pasid);
      if (!attached) return blocked('the device, or its PASID, is on no domain');
      if (attached.type === IOMMU_DOMAIN_IDENTITY) return iovaG;
      const domain = translating(attached);
      if (!domain) return blocked('the domain blocks everything');
      return domain.pt ? throughTable(domain, iovaG, write) : throughList(domain, iovaG, write);
    },
    walk(dev, pasid, iova) {
      const domain = domainOf(dev, pasid);
      const steps = domain && translating(domain)?.pt?.walk(iova);
      return steps === undefined || isErrno(steps) ? [] : steps;
    },
  });
}

function domainOf(dev: Device | undefined, pasid: number): Domain | undefined {
  if (!dev?.iommu?.iommuDev) return undefined;
  const record = mockDeviceOf(dev);
  return pasid < 0 ? record.domain : record.pasids.get(pasid);
}

/** A nested mock domain has no stage of its own: its parent translates. */
function translating(domain: Domain): Domain | undefined {
  const parent = mockNestedOf(domain)?.parent;
  if (parent) return parent;
  return (domain.type & IOMMU_DOMAIN_F_PAGING) !== 0 ? domain : undefined;
}

function blocked(reason: string): Blocked {
  return { code: MOCK_FAULT_BLOCKED, reason };
}
const UNMAPPED: Blocked = { code: MOCK_FAULT_UNMAPPED, reason: 'nothing is mapped' };
const DENIED: Blocked = {
  code: MOCK_FAULT_DENIED,
  reason: 'the mapping does not allow this access',
};

function throughTable(domain: Domain, iovaG: number, write: boolean): number | Blocked {
  const { pt } = domain;
  const paG = pt ? pt.lookup(iovaG) : -1;
  if (!pt || paG < 0) return UNMAPPED;
  const steps = pt.walk(fromGranules(iovaG, pt.granuleLg2));
  const prot = isErrno(steps) ? 0 : (steps.at(-1)?.prot ?? 0);
  return (prot & (write ? IOMMU_WRITE : IOMMU_READ)) !== 0 ? paG : DENIED;
}

/** The page list counts in granules of its own. */
function throughList(domain: Domain, iovaG: number, write: boolean): number | Blocked {
  const { pages } = mockPagingOf(domain);
  const scale = 2 ** (granuleLg2(domain) - 11);
  const listG = Math.floor(iovaG / scale);
  const paG = pages ? pages.lookup(listG) : -1;
  if (!pages || paG < 0) return UNMAPPED;
  return pages.allows(listG, write) ? paG * scale + (iovaG % scale) : DENIED;
}
