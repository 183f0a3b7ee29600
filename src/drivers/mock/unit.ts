/**
 * The translating side of the mock IOMMU: it asks the domains the driver put a device on.
 *
 * Other than a real unit it shares objects with its driver, caches nothing and needs no invalidation: it exists so
 * that devices behind the mock driver can do DMA.
 */
import type { KernelEnv } from '../../base/kernel-env.ts';
import { fromGranules, toGranules } from '../../base/u64.ts';
import {
  IOMMU_DOMAIN_F_PAGING,
  IOMMU_DOMAIN_IDENTITY,
  type Domain,
} from '../../core/contract/domain.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import {
  unanswered,
  type BusMessage,
  type Explanation,
  type GranuleSpan,
  type RemappingUnit,
  type UnitAnswer,
  type UnitRequest,
} from '../../core/contract/remapping-unit.ts';
import { isErrno } from '../../base/errno.ts';
import { IOMMU_READ, IOMMU_WRITE, type WalkStep } from '../../pt/page-table.ts';
import { granuleLg2 } from '../../core/contract/granule.ts';
import { FIRST_MESSAGE_PFN, LAST_MESSAGE_PFN } from '../../pci/messages.ts';
import { reportFault } from '../unit/report-fault.ts';
import { Requesters } from '../unit/requesters.ts';
import { plainAnswer, translatedMessage } from '../unit/requests.ts';
import { mockDeviceOf } from './device.ts';
import { mockNestedOf } from './nested.ts';
import { mockPagingOf } from './paging.ts';

export const MOCK_FAULT_BLOCKED = 1;
export const MOCK_FAULT_UNMAPPED = 2;
export const MOCK_FAULT_DENIED = 3;

/** The MiB of interrupt messages, in granules of 2 KiB. */
const PASSED: GranuleSpan = { firstG: FIRST_MESSAGE_PFN * 2, lastG: LAST_MESSAGE_PFN * 2 + 1 };

interface Outcome {
  /** Output granule, or -1. */
  readonly paG: number;
  readonly code: number;
  readonly reason: string;
}

/** The mock hardware: it translates by the attached domain. */
export class MockUnit implements RemappingUnit {
  readonly name: string;
  readonly granuleLg2 = 11;
  readonly env: KernelEnv;
  readonly requesters = new Requesters();
  readonly messages: GranuleSpan | undefined;

  /** `messages`: interrupt messages pass beside the tables, or go through them as every write. */
  constructor(core: IommuCore, name: string, messages: 'pass' | 'translated' = 'pass') {
    this.env = core.env;
    this.name = name;
    this.messages = messages === 'pass' ? PASSED : undefined;
  }
  translate(requesterId: number, pasid: number, iovaG: number, write: boolean): number {
    const { paG, code, reason } = this.#resolve(requesterId, pasid, iovaG, write);
    if (paG < 0) {
      const iova = fromGranules(iovaG, this.granuleLg2);
      reportFault(this, { requesterId, pasid, write, iova, code, reason });
    }
    return paG;
  }

  request(request: UnitRequest): UnitAnswer {
    return request.access === 'ats' ? this.#locate(request) : plainAnswer(this, request);
  }

  /** One granule at a time; a refusal is the device's own matter. */
  #locate({ requesterId, pasid, iovaG, noWrite }: UnitRequest): UnitAnswer {
    const { paG } = this.#resolve(requesterId, pasid, iovaG, false);
    const writable = noWrite !== true ? this.#resolve(requesterId, pasid, iovaG, true).paG : -1;
    const outG = Math.max(paG, writable);
    if (outG < 0) return unanswered('empty');
    const prot = (paG >= 0 ? IOMMU_READ : 0) | (writable >= 0 ? IOMMU_WRITE : 0);
    return { outcome: 'translated', outG, prot, sizeLg2: 0 };
  }

  message(requesterId: number, message: BusMessage): BusMessage | undefined {
    return this.messages && isIn(this.messages, message)
      ? message
      : translatedMessage(this, requesterId, message);
  }

  /** The mock has no page requests: its faults are made by hand. */
  requestPage(): boolean {
    return false;
  }

  explain(requesterId: number, pasid: number, iova: bigint, write: boolean): Explanation {
    const { paG, reason } = this.#resolve(
      requesterId,
      pasid,
      toGranules(iova, this.granuleLg2),
      write,
    );
    const domain = this.#domainOf(requesterId, pasid);
    const steps = domain && translating(domain)?.pt?.walk(iova);
    const walk: WalkStep[] = steps === undefined || isErrno(steps) ? [] : steps;
    const low = iova & ((1n << BigInt(this.granuleLg2)) - 1n);
    return paG < 0
      ? { tables: [], walk, refused: reason }
      : { tables: [], walk, pa: fromGranules(paG, this.granuleLg2) | low };
  }

  #domainOf(requesterId: number, pasid: number): Domain | undefined {
    const dev = this.requesters.deviceOf(requesterId);
    if (!dev?.iommu?.iommuDev) return undefined;
    const record = mockDeviceOf(dev);
    return pasid < 0 ? record.domain : record.pasids.get(pasid);
  }

  #resolve(requesterId: number, pasid: number, iovaG: number, write: boolean): Outcome {
    const attached = this.#domainOf(requesterId, pasid);
    if (!attached) return blocked('the device, or its PASID, is on no domain');
    if (attached.type === IOMMU_DOMAIN_IDENTITY) return { paG: iovaG, code: 0, reason: '' };
    const domain = translating(attached);
    if (!domain) return blocked('the domain blocks everything');
    return domain.pt ? throughTable(domain, iovaG, write) : throughList(domain, iovaG, write);
  }
}

function isIn({ firstG, lastG }: GranuleSpan, { addressHi, addressLo }: BusMessage): boolean {
  const iovaG = addressLo >>> 11;
  return addressHi === 0 && iovaG >= firstG && iovaG <= lastG;
}

/** A nested mock domain has no stage of its own: its parent translates. */
function translating(domain: Domain): Domain | undefined {
  const parent = mockNestedOf(domain)?.parent;
  if (parent) return parent;
  return (domain.type & IOMMU_DOMAIN_F_PAGING) !== 0 ? domain : undefined;
}

function blocked(reason: string): Outcome {
  return { paG: -1, code: MOCK_FAULT_BLOCKED, reason };
}

function throughTable(domain: Domain, iovaG: number, write: boolean): Outcome {
  const { pt } = domain;
  const paG = pt ? pt.lookup(iovaG) : -1;
  if (!pt || paG < 0) return { paG: -1, code: MOCK_FAULT_UNMAPPED, reason: 'nothing is mapped' };
  const steps = pt.walk(fromGranules(iovaG, pt.granuleLg2));
  const prot = isErrno(steps) ? 0 : (steps.at(-1)?.prot ?? 0);
  return permit(paG, (prot & (write ? IOMMU_WRITE : IOMMU_READ)) !== 0);
}

/** The page list counts in granules of its own. */
function throughList(domain: Domain, iovaG: number, write: boolean): Outcome {
  const { pages } = mockPagingOf(domain);
  const scale = 2 ** (granuleLg2(domain) - 11);
  const listG = Math.floor(iovaG / scale);
  const paG = pages ? pages.lookup(listG) : -1;
  if (!pages || paG < 0) return { paG: -1, code: MOCK_FAULT_UNMAPPED, reason: 'nothing is mapped' };
  return permit(paG * scale + (iovaG % scale), pages.allows(listG, write));
}

function permit(paG: number, allowed: boolean): Outcome {
  if (allowed) return { paG, code: 0, reason: '' };
  return { paG: -1, code: MOCK_FAULT_DENIED, reason: 'the mapping does not allow this access' };
}
