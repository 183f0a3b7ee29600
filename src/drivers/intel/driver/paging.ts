/**
 * Paging domains of the intel driver: first or second stage, dirty tracking, enforced coherency
 * (core.md 3.3, 3.7; formats.md 3, 4; VT-d 3.6, 3.7, 3.10).
 */
import { bugOn } from '../../../base/bug.ts';
import { EOPNOTSUPP, isErrno, type Result, type Status } from '../../../base/errno.ts';
import { refuse } from '../../../base/refuse.ts';
import { fls } from '../../../base/u64.ts';
import type { Device } from '../../../core/contract/device.ts';
import type { Domain, DomainOps, UserData } from '../../../core/contract/domain.ts';
import { newPtDomain, ptDirtyOps, reducePageSizes } from '../../../core/map/domain-alloc.ts';
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
} from '../../../core/contract/driver.ts';
import type { IommuCore } from '../../../core/contract/iommu-core.ts';
import { createPageTable } from '../../../pt/create.ts';
import type { PtConfig, PtFeature, PtFormat } from '../../../pt/format.ts';
import { vtdss } from '../../../pt/formats/vtdss.ts';
import { x86_64 } from '../../../pt/formats/x86-64.ts';
import type { PageTable } from '../../../pt/page-table.ts';
import { FRAME_WORDS, type Ram } from '../../../pt/ram.ts';
import { attachDev, setDevPasid, testDev } from './attach.ts';
import { newIntelDomain, toIntelDevice, toIntelDomain, type IntelDomain } from './domain.ts';
import { largestWidth, rewriteEntry } from './entries.ts';
import { flushDomain, flushIotlbAll, iotlbSync } from './flush.ts';
import type { IntelHardware } from '../hardware.ts';
import type { IntelIommu } from './iommu.ts';

const SIZE_2M = 1n << 21n;
const SIZE_1G = 1n << 30n;
const OUTPUT_WIDTH = 52;

/**
 * A paging domain for a device: a first-stage table where the unit has one and no flag asks for the second.
 * EOPNOTSUPP: flags or data the unit cannot serve; ENOMEM.
 * @kernel intel_iommu_domain_alloc_paging_flags
 */
export function domainAllocPagingFlags(
  dev: Device,
  flags: number,
  data: UserData | undefined,
): Result<Domain> {
  const { iommu } = toIntelDevice(dev);
  const { hw } = iommu;
  const known =
    IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_PASID;
  if ((flags & ~known) !== 0 || data !== undefined) {
    return refuse(EOPNOTSUPP, 'a flag or data the driver does not know', { flags });
  }
  if ((flags & ~IOMMU_HWPT_ALLOC_PASID) === 0 && hw.firstStage) return allocFirst(iommu);
  if (!hw.secondStage) {
    return refuse(EOPNOTSUPP, 'the unit has no second stage', { unit: iommu.name });
  }
  if ((flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0 && !hw.nested) {
    return refuse(EOPNOTSUPP, 'the unit cannot nest', { unit: iommu.name });
  }
  if ((flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0 && !hw.ssade) {
    return refuse(EOPNOTSUPP, 'the unit does not track dirty pages', { unit: iommu.name });
  }
  return allocSecond(iommu, flags);
}

function allocFirst(iommu: IntelIommu): Result<Domain> {
  const { hw } = iommu;
  const width = hw.firstStage5 ? 57 : 48;
  const features: PtFeature[] = ['sign-extend', 'flush-range'];
  if (!hw.coherentWalks) features.push('dma-incoherent');
  const owner = makeTable(iommu.core, x86_64, { vaLg2: width, features });
  if (isErrno(owner.pt)) return owner.pt;
  const { pt } = owner;
  const domain = newPtDomain(iommu.core, { kind: 'paging', ops: FIRST_STAGE_OPS, pt });
  if (!hw.firstStage1g) reducePageSizes(domain, domain.pgsizeBitmap & ~SIZE_1G);
  owner.domain = domain;
  newIntelDomain({ domain, kind: 'first', width, coherent: hw.coherentWalks });
  return domain;
}

function allocSecond(iommu: IntelIommu, flags: number): Result<Domain> {
  const { hw } = iommu;
  const nestParent = (flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0;
  const width = tableWidth(hw);
  const how = { width, coherent: hw.coherentWalks, nestParent, forceSnooping: false };
  const owner = makeSecondTable(iommu.core, { ...how, vaLg2: Math.min(width, hw.mgaw) });
  if (isErrno(owner.pt)) return owner.pt;
  const dirty = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
  const domain = newPtDomain(iommu.core, {
    kind: 'paging',
    ops: SECOND_STAGE_OPS,
    pt: owner.pt,
    ...(dirty && { dirtyOps: DIRTY_OPS }),
  });
  reducePageSizes(domain, domain.pgsizeBitmap & superPages(hw));
  owner.domain = domain;
  newIntelDomain({ domain, kind: 'second', ...how });
  return domain;
}

/** The smallest table that covers the unit's addresses, else its largest. */
function tableWidth(hw: IntelHardware): number {
  return hw.widths.find((width) => width >= hw.mgaw) ?? largestWidth(hw);
}

function superPages(hw: IntelHardware): bigint {
  let sizes = -1n;
  if (!hw.superpage2m) sizes &= ~SIZE_2M;
  if (!hw.superpage1g) sizes &= ~SIZE_1G;
  return sizes;
}

interface SecondStage {
  readonly width: number;
  /** The widest input address: the table's width or less. */
  readonly vaLg2: number;
  readonly coherent: boolean;
  readonly nestParent: boolean;
  readonly forceSnooping: boolean;
}

function makeSecondTable(core: IommuCore, how: SecondStage): TableOwner {
  const features: PtFeature[] = ['flush-range'];
  if (!how.coherent) features.push('dma-incoherent');
  if (how.nestParent) features.push('force-writable');
  if (how.forceSnooping) features.push('force-coherent');
  const topLevel = (how.width - 12) / 9 - 1;
  return makeTable(core, vtdss, { vaLg2: how.vaLg2, topLevel, features });
}

/** The table flushes through its domain, which does not exist yet when the table is made. */
interface TableOwner {
  readonly pt: Result<PageTable>;
  domain: Domain | undefined;
}

function makeTable(
  core: IommuCore,
  format: PtFormat,
  wanted: Pick<PtConfig, 'vaLg2' | 'topLevel' | 'features'>,
): TableOwner {
  const owner: { pt: Result<PageTable>; domain: Domain | undefined } = {
    domain: undefined,
    pt: createPageTable(format, core.ram, {
      ...wanted,
      oaLg2: OUTPUT_WIDTH,
      device: core,
      iotlbSync: (gather) => {
        if (owner.domain) iotlbSync(owner.domain, gather);
      },
    }),
  };
  return owner;
}

/** @kernel intel_iommu_set_dirty_tracking */
function setDirtyTracking(domain: Domain, on: boolean): Status {
  const record = toIntelDomain(domain);
  if (record.dirtyTracking === on) return undefined;
  record.dirtyTracking = on;
  const holders = [...record.attachments];
  for (const nested of record.nested) holders.push(...nested.attachments);
  for (const { device, pasid, did } of holders) {
    device.pasidTable!.set(pasid, 'ssade', Number(on));
    device.iommu.queue.pasidCache(did, pasid);
  }
  // What is cached as writable would not come back to set D.
  flushDomain(record, undefined);
  return undefined;
}

const DIRTY_OPS = ptDirtyOps(setDirtyTracking);

/**
 * Make every access coherent; false when a unit cannot, or when mappings exist that were made without.
 * Sticky. @kernel intel_iommu_enforce_cache_coherency_ss
 */
function enforceSecond(domain: Domain): boolean {
  const record = toIntelDomain(domain);
  if (record.forceSnooping) return true;
  if (!attachedUnitsSnoop(record) || !isEmpty(domain.pt!, domain.core.ram)) return false;
  if (!replaceTable(record)) return false;
  record.forceSnooping = true;
  return true;
}

function replaceTable(record: IntelDomain): boolean {
  const { domain } = record;
  const old = domain.pt!;
  const owner = makeSecondTable(domain.core, {
    ...record,
    vaLg2: fls(old.apertureLast) + 1,
    forceSnooping: true,
  });
  if (isErrno(owner.pt)) return false;
  owner.domain = domain;
  owner.pt.pgsizeBitmap = domain.pgsizeBitmap;
  domain.pt = owner.pt;
  for (const attachment of record.attachments) {
    const status = rewriteEntry(attachment);
    bugOn(status !== undefined, 'an entry that was just cleared cannot be written');
  }
  old.destroy();
  return true;
}

function isEmpty(pt: PageTable, ram: Ram): boolean {
  const top = pt.topPfn * FRAME_WORDS;
  return pt.frames === 1 && ram.words.subarray(top, top + FRAME_WORDS).every((word) => word === 0);
}

/** @kernel intel_iommu_enforce_cache_coherency_fs */
function enforceFirst(domain: Domain): boolean {
  const record = toIntelDomain(domain);
  if (record.forceSnooping) return true;
  if (!attachedUnitsSnoop(record)) return false;
  record.forceSnooping = true;
  for (const { device, pasid, did } of record.attachments) {
    device.pasidTable!.set(pasid, 'pgsnp', 1);
    device.iommu.queue.pasidCache(did, pasid);
  }
  return true;
}

function attachedUnitsSnoop(record: IntelDomain): boolean {
  return [...record.attachments].every(({ device }) => device.iommu.hw.snoopControl);
}

function free(domain: Domain): void {
  domain.pt!.destroy();
}

const SHARED_OPS: DomainOps = {
  attachDev,
  setDevPasid,
  testDev,
  iotlbSync,
  flushIotlbAll,
  free,
};
export const FIRST_STAGE_OPS: DomainOps = { ...SHARED_OPS, enforceCacheCoherency: enforceFirst };
export const SECOND_STAGE_OPS: DomainOps = { ...SHARED_OPS, enforceCacheCoherency: enforceSecond };
