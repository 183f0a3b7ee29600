/**
 * Making and freeing domains (core.md 3.3, 10.2).
 *
 * Drivers build theirs with newDomain() or newPtDomain(); everybody else asks for one by device. Static domains
 * have no owner and are never freed.
 */
import { Bug, bugOn } from '../../base/bug.ts';
import { EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, isErrno, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { U64_MAX } from '../../base/u64.ts';
import type { PageTable } from '../../pt/page-table.ts';
import { devHasIommu, type Device } from '../contract/device.ts';
import {
  IOMMU_DOMAIN_F_PAGING,
  IOMMU_DOMAIN_NESTED,
  IOMMU_DOMAIN_SVA,
  IOMMU_DOMAIN_UNMANAGED,
  type DirtyOps,
  type Domain,
  type DomainOps,
  type DomainGeometry,
  type UserData,
} from '../contract/domain.ts';
import { callAlloc, callFree } from '../contract/driver-call.ts';
import type { IommuOps, SvaMm } from '../contract/driver.ts';
import type { IommuCore } from '../contract/iommu-core.ts';
import { domainBorn, domainGone } from '../contract/refs.ts';

/** What a driver knows of a domain it makes. */
export interface DomainInit {
  /** First half of its name in traces: 'paging', 'identity', 'blocked'. */
  readonly kind: string;
  readonly type: number;
  readonly ops: DomainOps;
  /** Filled in by the core for domains that are allocated; absent for static ones. */
  readonly owner?: IommuOps;
  readonly pgsizeBitmap?: bigint;
  readonly geometry?: DomainGeometry;
  readonly dirtyOps?: DirtyOps;
  readonly priv?: unknown;
}

/** A domain of any type, with no cookie and open to every address unless told otherwise. */
export function newDomain(core: IommuCore, init: DomainInit): Domain {
  return {
    core,
    name: core.nameDomain(init.kind),
    type: init.type,
    ops: init.ops,
    owner: init.owner,
    pt: undefined,
    pgsizeBitmap: init.pgsizeBitmap ?? 0n,
    geometry: init.geometry ?? { apertureStart: 0n, apertureEnd: U64_MAX, forceAperture: false },
    dirtyOps: init.dirtyOps,
    iopfHandler: undefined,
    cookie: { kind: 'none' },
    priv: init.priv,
  };
}

/** What a driver knows of a domain that stands on a page table. */
export interface PtDomainInit extends Omit<DomainInit, 'type' | 'pgsizeBitmap'> {
  readonly pt: PageTable;
}

/** A paging domain backed by the generic page table; page sizes and aperture are the table's. */
export function newPtDomain(core: IommuCore, init: PtDomainInit): Domain {
  const { pt } = init;
  const geometry = {
    apertureStart: pt.apertureStart,
    apertureEnd: pt.apertureLast,
    forceAperture: true,
  };
  const domain = newDomain(core, { geometry, ...init, type: IOMMU_DOMAIN_UNMANAGED });
  domain.pt = pt;
  domain.pgsizeBitmap = pt.pgsizeBitmap;
  return domain;
}

/** A driver may leave out page sizes of its format; the table then uses the rest only. */
export function reducePageSizes(domain: Domain, pgsizeBitmap: bigint): void {
  bugOn((domain.pgsizeBitmap & pgsizeBitmap) !== pgsizeBitmap, 'page sizes can only be taken away');
  domain.pgsizeBitmap = pgsizeBitmap;
  if (domain.pt) domain.pt.pgsizeBitmap = pgsizeBitmap;
}

/** Dirty tracking that is read from the domain's page table; switching it on and off is the driver's. */
export function ptDirtyOps(setDirtyTracking: DirtyOps['setDirtyTracking']): DirtyOps {
  return {
    setDirtyTracking,
    readAndClearDirty(domain, ...range) {
      if (!domain.pt) throw new Bug(`${domain.name}: dirty bits are read without a page table`);
      return domain.pt.readDirty(...range);
    },
  };
}

/**
 * A paging domain for a device, made by its driver.
 * Errnos: ENODEV no IOMMU; EOPNOTSUPP the driver has none; ENOMEM; driver's.
 * @kernel iommu_paging_domain_alloc
 */
export function pagingDomainAlloc(dev: Device): Result<Domain> {
  return pagingDomainAllocFlags(dev, 0);
}

/**
 * The same with flags of IOMMU_HWPT_ALLOC and, for iommufd, data of the driver's own kind from the user.
 * Errnos: ENODEV no IOMMU; EOPNOTSUPP the driver has none, or does not know the flags; ENOMEM; driver's.
 * @kernel iommu_paging_domain_alloc_flags
 */
export function pagingDomainAllocFlags(
  dev: Device,
  flags: number,
  data?: UserData,
): Result<Domain> {
  if (!devHasIommu(dev)) return refuse(ENODEV, 'the device has no IOMMU', { device: dev.name });
  const { ops } = dev.iommu.iommuDev;
  const domain = callPagingAlloc(dev, ops, flags, data);
  if (isErrno(domain)) return domain;
  return adopt(domain, ops, IOMMU_DOMAIN_UNMANAGED);
}

function callPagingAlloc(
  dev: Device,
  ops: IommuOps,
  flags: number,
  data: UserData | undefined,
): Result<Domain> {
  if (flags === 0 && data === undefined && ops.domainAllocPaging) {
    const about = { op: 'domain_alloc_paging', driver: ops.name };
    return orNoMemory(callAlloc(dev, about, () => ops.domainAllocPaging!(dev)));
  }
  if (ops.domainAllocPagingFlags) {
    const about = { op: 'domain_alloc_paging_flags', driver: ops.name };
    return orNoMemory(callAlloc(dev, about, () => ops.domainAllocPagingFlags!(dev, flags, data)));
  }
  return refuse(EOPNOTSUPP, 'the IOMMU driver makes no such paging domains', {
    driver: ops.name,
    flags,
  });
}

/**
 * A stage-1 domain described by the user, on a nest parent of the same driver.
 * Errnos: ENODEV no IOMMU; EOPNOTSUPP the driver has none; EINVAL the parent is another driver's or no paging domain;
 * driver's.
 * @kernel domain_alloc_nested
 */
export function nestedDomainAlloc(
  dev: Device,
  parent: Domain,
  flags: number,
  data: UserData,
): Result<Domain> {
  if (!devHasIommu(dev)) return refuse(ENODEV, 'the device has no IOMMU', { device: dev.name });
  const { ops } = dev.iommu.iommuDev;
  if (!ops.domainAllocNested) {
    return refuse(EOPNOTSUPP, 'the IOMMU driver makes no nested domains', { driver: ops.name });
  }
  if ((parent.type & IOMMU_DOMAIN_F_PAGING) === 0 || parent.owner !== ops) {
    return refuse(EINVAL, 'the parent is not a paging domain of the same IOMMU driver', {
      parent: parent.name,
    });
  }
  const about = { op: 'domain_alloc_nested', driver: ops.name, domain: parent };
  const domain = orNoMemory(
    callAlloc(dev, about, () => ops.domainAllocNested!(dev, parent, flags, data)),
  );
  if (isErrno(domain)) return domain;
  return adopt(domain, ops, IOMMU_DOMAIN_NESTED);
}

/**
 * A domain that follows an address space.
 * Errnos: ENODEV no IOMMU; EOPNOTSUPP the driver has none; ENOMEM; driver's.
 * @kernel iommu_sva_domain_alloc
 */
export function svaDomainAlloc(dev: Device, mm: SvaMm): Result<Domain> {
  if (!devHasIommu(dev)) return refuse(ENODEV, 'the device has no IOMMU', { device: dev.name });
  const { ops } = dev.iommu.iommuDev;
  if (!ops.domainAllocSva) {
    return refuse(EOPNOTSUPP, 'the IOMMU driver cannot share address spaces', { driver: ops.name });
  }
  const about = { op: 'domain_alloc_sva', driver: ops.name };
  const domain = orNoMemory(callAlloc(dev, about, () => ops.domainAllocSva!(dev, mm)));
  if (isErrno(domain)) return domain;
  return adopt(domain, ops, IOMMU_DOMAIN_SVA);
}

function orNoMemory(domain: Result<Domain> | undefined): Result<Domain> {
  return domain ?? refuse(ENOMEM, 'the IOMMU driver answered with no domain');
}

function adopt(domain: Domain, ops: IommuOps, type: number): Domain {
  domain.type = type;
  domain.owner = ops;
  domain.core.domains.add(domain);
  domainBorn(domain);
  return domain;
}

/**
 * Free a domain nobody is attached to. Nothing to do for static domains.
 * @kernel iommu_domain_free
 */
export function domainFree(domain: Domain): void {
  assertUnused(domain);
  if ('release' in domain.cookie) domain.cookie.release();
  domain.cookie = { kind: 'none' };
  domain.core.domains.delete(domain);
  domainGone(domain);
  callFree(domain);
}

/** A group without devices may still name its domains while it is taken apart. */
function assertUnused(domain: Domain): void {
  // A static domain is shared by groups and freed by none.
  if (!domain.owner) return;
  for (const [id, group] of domain.core.groups.entries()) {
    if (group.devices.length === 0) continue;
    bugOn(
      group.domain === domain || group.blockingDomain === domain,
      `${domain.name} is freed while group ${String(id)} is attached to it`,
    );
    bugOn(
      group.defaultDomain === domain,
      `${domain.name} is freed while it is the default domain of group ${String(id)}`,
    );
    for (const entry of group.pasidArray.values()) {
      bugOn(entry.domain === domain, `${domain.name} is freed while a PASID is attached to it`);
    }
  }
}
