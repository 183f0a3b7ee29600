/** Paging domains of the mock driver: AMDv1 with a 2 KiB granule in RAM, or a list of pages (iommufd.md 5.2). */
import { EOPNOTSUPP, EINVAL, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { fromGranules, toGranules } from '../../base/u64.ts';
import type { Device } from '../../core/contract/device.ts';
import {
  newDomain,
  newPtDomain,
  ptDirtyOps,
  reducePageSizes,
} from '../../core/map/domain-alloc.ts';
import {
  IOMMU_DOMAIN_UNMANAGED,
  type Domain,
  type DomainOps,
  type UserData,
} from '../../core/contract/domain.ts';
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
} from '../../core/contract/driver.ts';
import { granuleLg2 } from '../../core/contract/granule.ts';
import { gatherPage } from '../../core/map/iotlb.ts';
import { copyStructFromUser } from '../../core/contract/user-data.ts';
import { amdv1mock, createPageTable } from '../../pt/index.ts';
import { IOMMU_HWPT_DATA_SELFTEST, iommu_hwpt_selftest } from '../../uapi/iommufd-test.ts';
import type { MockDomainKnobs } from './knobs.ts';
import { PageList } from './page-list.ts';
import { mockDeviceOf } from './device.ts';

/** Values of pagetable_type. */
const MOCK_IOMMUPT_DEFAULT = 0;
const MOCK_IOMMUPT_HUGE = 1;
/** The aperture of the default table type. */
const APERTURE = { start: 0x100_0000n, end: 0x7fff_ffffn };
/** CPU page and 1 MiB: the page sizes of the huge table type. */
const HUGE_SIZES = 0x10_1000n;
/** Page sizes of a domain without a page table: 4 KiB, 2 MiB, 1 GiB. */
const LIST_SIZES = 0x4020_1000n;
const VA_LG2 = 38;
const OA_LG2 = 51;
const TOP_LEVEL = 2;

const KNOWN_FLAGS =
  IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_PASID;

/** What the mock driver keeps of a paging domain. */
export class MockPaging {
  readonly pages: PageList | undefined;
  readonly nestParent: boolean;
  dirtyTracking = false;
  /** iotlb_sync calls so far. */
  syncs = 0;
  constructor(pages: PageList | undefined, nestParent: boolean) {
    this.pages = pages;
    this.nestParent = nestParent;
  }
}

export interface PagingDomainParts {
  readonly dev: Device;
  readonly flags: number;
  readonly data: UserData | undefined;
  readonly knobs: MockDomainKnobs;
  /** The attach callbacks, which are the driver's. */
  readonly attachOps: DomainOps;
}

/**
 * A paging domain.
 * Errnos: EOPNOTSUPP unknown flags, data or table type, or dirty tracking on a device without; EINVAL data of another
 * length; ENOMEM.
 */
export function allocPaging(request: PagingDomainParts): Result<Domain> {
  const { dev, flags, data } = request;
  if ((flags & ~KNOWN_FLAGS) !== 0) {
    return refuse(EOPNOTSUPP, 'a flag of the allocation is unknown to the mock driver', { flags });
  }
  const wantsDirty = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
  if (wantsDirty && mockDeviceOf(dev).knobs.noDirty) {
    return refuse(EOPNOTSUPP, 'the device cannot track dirty pages', { device: dev.name });
  }
  const tableType = readTableType(data);
  if (isErrno(tableType)) return tableType;
  const domain =
    request.knobs.backing === 'pt' ? ptDomain(request, tableType) : listDomain(request);
  if (isErrno(domain)) return domain;
  if (wantsDirty) {
    domain.dirtyOps = ptDirtyOps((on, enable) => {
      mockPagingOf(on).dirtyTracking = enable;
      return undefined;
    });
  }
  return domain;
}

/** The record of a paging domain of a mock driver. */
export function mockPagingOf(domain: Domain): MockPaging {
  // cast: the core brings a driver its own domains only
  return domain.priv as MockPaging;
}

function readTableType(data: UserData | undefined): Result<number> {
  if (!data) return MOCK_IOMMUPT_DEFAULT;
  if (data.type !== IOMMU_HWPT_DATA_SELFTEST) {
    return refuse(EOPNOTSUPP, 'the data is not for the mock driver', { type: data.type });
  }
  const view = copyStructFromUser(data, IOMMU_HWPT_DATA_SELFTEST, iommu_hwpt_selftest, 4);
  if (isErrno(view)) return view;
  const type = view.pagetable_type;
  if (type === MOCK_IOMMUPT_DEFAULT || type === MOCK_IOMMUPT_HUGE) return type;
  return refuse(EOPNOTSUPP, 'the mock driver has no such type of table', { type });
}

function ptDomain(request: PagingDomainParts, tableType: number): Result<Domain> {
  const { dev, knobs, attachOps } = request;
  const pt = createPageTable(amdv1mock, dev.core.ram, {
    vaLg2: VA_LG2,
    oaLg2: OA_LG2,
    topLevel: TOP_LEVEL,
  });
  if (isErrno(pt)) return pt;
  const ops: DomainOps = {
    ...attachOps,
    ...knobOps(knobs),
    iotlbSync(domain) {
      mockPagingOf(domain).syncs++;
    },
    free: () => pt.destroy(),
  };
  const nestParent = (request.flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0;
  const domain = newPtDomain(dev.core, {
    kind: 'paging',
    ops,
    pt,
    priv: new MockPaging(undefined, nestParent),
  });
  const isHuge = tableType === MOCK_IOMMUPT_HUGE;
  const sizes = knobs.pgsizeBitmap ?? (isHuge ? HUGE_SIZES : undefined);
  if (sizes !== undefined) reducePageSizes(domain, sizes);
  const aperture = knobs.aperture ?? (isHuge ? undefined : APERTURE);
  if (aperture) setAperture(domain, aperture);
  return domain;
}

function setAperture(domain: Domain, aperture: { start: bigint; end: bigint }): void {
  domain.geometry = {
    apertureStart: aperture.start,
    apertureEnd: aperture.end,
    forceAperture: true,
  };
}

function knobOps(knobs: MockDomainKnobs): DomainOps {
  const { syncMapFailure, enforceCoherency } = knobs;
  return {
    ...(syncMapFailure && {
      iotlbSyncMap: (): Status => refuse(syncMapFailure, 'sync_map was made to fail'),
    }),
    ...(enforceCoherency !== undefined && { enforceCacheCoherency: () => enforceCoherency }),
  };
}

function listDomain(request: PagingDomainParts): Result<Domain> {
  const { dev, knobs, attachOps } = request;
  if ((request.flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0) {
    return refuse(EOPNOTSUPP, 'a domain without a page table tracks no dirty pages');
  }
  const pages = new PageList(knobs);
  const ops: DomainOps = {
    ...attachOps,
    ...knobOps(knobs),
    mapPages: (_domain, wanted, progress) => pages.map(wanted, progress),
    unmapPages(domain, iovaG, pageG, count, gather) {
      const done = pages.unmap(iovaG, pageG, count);
      for (let at = 0; at < done; at += pageG) gatherPage(domain, gather, iovaG + at, pageG);
      return done;
    },
    iovaToPhys(domain, iova) {
      const lg2 = granuleLg2(domain);
      const paG = pages.lookup(toGranules(iova, lg2));
      return paG < 0 ? 0n : fromGranules(paG, lg2) | (iova & ((1n << BigInt(lg2)) - 1n));
    },
    iotlbSync(domain) {
      mockPagingOf(domain).syncs++;
    },
  };
  const domain = newDomain(dev.core, {
    kind: 'paging',
    type: IOMMU_DOMAIN_UNMANAGED,
    ops,
    pgsizeBitmap: knobs.pgsizeBitmap ?? LIST_SIZES,
    priv: new MockPaging(pages, (request.flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0),
  });
  if (knobs.aperture) setAperture(domain, knobs.aperture);
  return domain;
}

/** EINVAL for a domain nothing can be nested on. */
export function checkNestParent(parent: Domain): Status {
  if ((parent.type & IOMMU_DOMAIN_UNMANAGED) !== 0) return undefined;
  return refuse(EINVAL, 'only a paging domain can be a nest parent', { parent: parent.name });
}
