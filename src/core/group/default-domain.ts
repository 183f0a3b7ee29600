/** The domain of the kernel's own drivers: which type, and how it is put in place (core.md 2.5). */
import { EINVAL, EOPNOTSUPP, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { getDmaCookie } from '../dma/cookies.ts';
import { createDeviceDirectMappings } from './direct-map.ts';
import { devHasIommu, type Device } from '../contract/device.ts';
import {
  IOMMU_DOMAIN_DMA,
  IOMMU_DOMAIN_DMA_FQ,
  IOMMU_DOMAIN_F_DMA_API,
  IOMMU_DOMAIN_F_PAGING,
  IOMMU_DOMAIN_IDENTITY,
  type Domain,
} from '../contract/domain.ts';
import { domainFree, pagingDomainAllocFlags } from '../map/domain-alloc.ts';
import { callDefDomainType, callAlloc } from '../contract/driver-call.ts';
import { IOMMU_HWPT_ALLOC_PASID, type IommuOps } from '../contract/driver.ts';
import type { IommuGroup } from '../contract/group.ts';
import {
  groupSetDomain,
  groupSetDomainMustSucceed,
  groupSetDomainNofail,
} from '../attach/set-domain.ts';
import { maxPasidsOf } from '../attach/test-dev.ts';
import { domainBorn } from '../contract/refs.ts';

/**
 * Decide, allocate and attach the default domain of a group. Group mutex held. `target` is a type, or 0 to decide.
 * Errnos: EINVAL the type is impossible for a member; those of allocation, cookie, direct mappings and attach.
 * @kernel iommu_setup_default_domain
 */
export function setupDefaultDomain(group: IommuGroup, target: number): Status {
  group.mutex.assertHeld();
  const type = decideType(group, target);
  if (isErrno(type)) return type;
  const domain = allocDefaultDomain(group, type);
  if (isErrno(domain)) return domain;
  if (domain === group.defaultDomain) return undefined;

  if (isDmaType(domain)) {
    const rc = getDmaCookie(domain);
    if (rc) {
      domainFree(domain);
      return rc;
    }
  }
  return installDefaultDomain(group, domain);
}

function installDefaultDomain(group: IommuGroup, domain: Domain): Status {
  const directFailed = mapDirectRegions(group, domain);
  const old = { default: group.defaultDomain, domain: group.domain };
  group.defaultDomain = domain;
  if (group.domain === undefined) {
    const rc = groupSetDomainMustSucceed(group, domain);
    if (rc) {
      group.core.env.warn(
        'first-attach-failed',
        `group ${String(group.id)}: the first attach of its default domain failed with ${rc.name}`,
      );
      return rc;
    }
  } else {
    const rc = groupSetDomain(group, domain);
    if (rc) return restoreDefault(group, domain, old.default, rc);
  }
  if (directFailed) {
    const rc = retryDirectRegions(group, domain);
    if (rc) {
      if (!old.default) return rc;
      if (old.domain) void groupSetDomainNofail(group, old.domain);
      return restoreDefault(group, domain, old.default, rc);
    }
  }
  if (old.default) domainFree(old.default);
  return undefined;
}

/** Without an old default the new one stays recorded, so that the release of the group frees it. */
function restoreDefault(
  group: IommuGroup,
  failed: Domain,
  old: Domain | undefined,
  rc: Status,
): Status {
  if (!old) return rc;
  group.defaultDomain = old;
  domainFree(failed);
  return rc;
}

function mapDirectRegions(group: IommuGroup, domain: Domain): boolean {
  let failed = false;
  for (const member of group.devices) {
    if (!createDeviceDirectMappings(member.dev, domain)) continue;
    failed = true;
    group.core.env.warnOnce(
      'direct-map-failed',
      `${member.dev.name}: its direct mappings could not be made before the attach`,
    );
  }
  return failed;
}

function retryDirectRegions(group: IommuGroup, domain: Domain): Status {
  for (const member of group.devices) {
    const rc = createDeviceDirectMappings(member.dev, domain);
    if (rc) return rc;
  }
  return undefined;
}

/**
 * The type the members agree on, 0 for "no opinion"; EINVAL when there is none for all.
 * @kernel iommu_get_default_domain_type
 */
function decideType(group: IommuGroup, target: number): Result<number, 'EINVAL'> {
  let opinion = 0;
  let untrusted: Device | undefined;
  for (const { dev } of group.devices) {
    opinion = mergeOpinions(opinion, driverOpinion(dev), dev);
    if (dev.bus === 'pci' && dev.config.untrusted) untrusted = dev;
  }
  if (untrusted) {
    if (opinion !== 0 && opinion !== IOMMU_DOMAIN_DMA) {
      return refuse(EINVAL, 'an untrusted device must be translated, the driver says otherwise', {
        device: untrusted.name,
      });
    }
    opinion = IOMMU_DOMAIN_DMA;
  }
  if (target !== 0 && opinion !== 0 && target !== opinion) {
    return refuse(EINVAL, 'a device of the group needs another type of default domain', {
      target,
      needed: opinion,
    });
  }
  return target !== 0 ? target : opinion;
}

function driverOpinion(dev: Device): number {
  if (!devHasIommu(dev)) return 0;
  const { ops } = dev.iommu.iommuDev;
  return ops.defaultDomain ? ops.defaultDomain.type : callDefDomainType(ops, dev);
}

function mergeOpinions(sofar: number, newer: number, dev: Device): number {
  if (newer === 0 || newer === sofar) return sofar;
  if (sofar === 0) return newer;
  dev.core.env.log(
    'err',
    `${dev.name}: needs a default domain of type ${String(newer)}, the group has ${String(sofar)}`,
  );
  return newer === IOMMU_DOMAIN_IDENTITY ? newer : sofar;
}

/** The type of machines without an opinion: the boot parameters. */
export function globalDefaultType(env: KernelEnv): number {
  if (env.has('passthrough-default')) return IOMMU_DOMAIN_IDENTITY;
  return env.has('strict-default') ? IOMMU_DOMAIN_DMA : IOMMU_DOMAIN_DMA_FQ;
}

/** @kernel iommu_group_alloc_default_domain */
function allocDefaultDomain(group: IommuGroup, type: number): Result<Domain> {
  const dev = group.devices[0]?.dev;
  if (!dev || !devHasIommu(dev)) {
    return refuse(EINVAL, 'the group has no device with an IOMMU', { group: group.id });
  }
  const { ops } = dev.iommu.iommuDev;
  if (ops.defaultDomain) {
    if (type === ops.defaultDomain.type) return ops.defaultDomain;
    return refuse(EINVAL, 'the driver has one default domain, of another type', {
      asked: type,
      has: ops.defaultDomain.type,
    });
  }
  if (type !== 0) return reuseOrAlloc(group, dev, type);

  const wanted = globalDefaultType(group.core.env);
  const domain = reuseOrAlloc(group, dev, wanted);
  if (!isErrno(domain)) return domain;
  if (wanted === IOMMU_DOMAIN_DMA) {
    return refuse(EINVAL, 'no default domain of any type can be made', { group: group.id });
  }
  const fallback = reuseOrAlloc(group, dev, IOMMU_DOMAIN_DMA);
  if (isErrno(fallback)) return fallback;
  group.core.env.log(
    'warn',
    `group ${String(group.id)}: no default domain of type ${String(wanted)}, using DMA`,
  );
  return fallback;
}

function reuseOrAlloc(group: IommuGroup, dev: Device, type: number): Result<Domain> {
  if (group.defaultDomain?.type === type) return group.defaultDomain;
  return groupDomainAlloc(dev, type);
}

/** @kernel __iommu_group_domain_alloc */
function groupDomainAlloc(dev: Device, type: number): Result<Domain> {
  if (type === IOMMU_DOMAIN_IDENTITY) return identityDomainAlloc(dev);
  if ((type & IOMMU_DOMAIN_F_PAGING) === 0) {
    return refuse(EINVAL, 'a default domain is of a paging type or identity', { type });
  }
  const flags = maxPasidsOf(dev) > 0 ? IOMMU_HWPT_ALLOC_PASID : 0;
  let domain = pagingDomainAllocFlags(dev, flags);
  if (domain === EOPNOTSUPP && flags !== 0) domain = pagingDomainAllocFlags(dev, 0);
  if (isErrno(domain)) return domain;
  domain.type = type;
  return domain;
}

/**
 * The identity domain of a device's driver: the static one, else one made for it, which is the caller's to free.
 * Errnos: EOPNOTSUPP the driver has none; driver's.
 * @kernel __iommu_alloc_identity_domain
 */
export function identityDomainAlloc(dev: Device): Result<Domain> {
  const ops: IommuOps | undefined = dev.iommu?.iommuDev?.ops;
  if (ops?.identityDomain) return ops.identityDomain;
  if (!ops?.domainAllocIdentity) {
    return refuse(EOPNOTSUPP, 'the driver has no identity domain', { device: dev.name });
  }
  const about = { op: 'domain_alloc_identity', driver: ops.name };
  const domain = callAlloc(dev, about, () => ops.domainAllocIdentity!(dev));
  if (domain === undefined) {
    return refuse(EOPNOTSUPP, 'the driver made no identity domain', { device: dev.name });
  }
  if (isErrno(domain)) return domain;
  domain.type = IOMMU_DOMAIN_IDENTITY;
  domain.owner ??= ops;
  dev.core.domains.add(domain);
  domainBorn(domain);
  return domain;
}

/** The DMA API uses the domain: it needs an allocator of IOVAs. */
export function isDmaType(domain: Domain): boolean {
  return (domain.type & IOMMU_DOMAIN_F_DMA_API) !== 0;
}
