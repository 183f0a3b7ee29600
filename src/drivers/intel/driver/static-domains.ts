/** The driver's blocked and identity domains: one of each, never freed (core.md 3.1; formats.md 7; VT-d 3.9). */
import { newDomain } from '../../../core/map/domain-alloc.ts';
import {
  IOMMU_DOMAIN_BLOCKED,
  IOMMU_DOMAIN_IDENTITY,
  type Domain,
} from '../../../core/contract/domain.ts';
import type { IommuCore } from '../../../core/contract/iommu-core.ts';
import { attachDev, setDevPasid, testDev } from './attach.ts';
import { newIntelDomain } from './domain.ts';

const OPS = { attachDev, setDevPasid, testDev };

export function newBlockedDomain(core: IommuCore): Domain {
  const domain = newDomain(core, { kind: 'blocked', type: IOMMU_DOMAIN_BLOCKED, ops: OPS });
  newIntelDomain({ domain, kind: 'blocked' });
  return domain;
}

export function newIdentityDomain(core: IommuCore): Domain {
  const domain = newDomain(core, { kind: 'identity', type: IOMMU_DOMAIN_IDENTITY, ops: OPS });
  newIntelDomain({ domain, kind: 'identity' });
  return domain;
}
