/**
 * Nested domains: a first stage owned by a guest on a second stage of ours (core.md 10.2; iommufd.md 2.11, 2.15; VT-d
 * 3.8).
 */
import { EINVAL, EOPNOTSUPP, isErrno, type Result, type Status } from '../../../base/errno.ts';
import { refuse } from '../../../base/refuse.ts';
import type { Device } from '../../../core/contract/device.ts';
import {
  IOMMU_DOMAIN_NESTED,
  type Domain,
  type DomainOps,
  type UserArray,
  type UserData,
} from '../../../core/contract/domain.ts';
import { newDomain } from '../../../core/map/domain-alloc.ts';
import { IOMMU_HWPT_ALLOC_PASID } from '../../../core/contract/driver.ts';
import { copyStructFromUser } from '../../../core/contract/user-data.ts';
import {
  iommu_hwpt_vtd_s1,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
} from '../../../uapi/iommufd.ts';
import { attachDev, setDevPasid, testDev } from './attach.ts';
import { newIntelDomain, toIntelDevice, toIntelDomain } from './domain.ts';
import { IOMMU_VTD_S1_EAFE, IOMMU_VTD_S1_SRE, IOMMU_VTD_S1_WPE } from './entries.ts';
import { flushDomain } from './flush.ts';
import { alignedRange } from './queue.ts';

const STRUCT_SIZE = 24;
/** iommu_hwpt_vtd_s1_invalidate: only leaves changed. */
const IOMMU_VTD_INV_FLAGS_LEAF = 1;
const ALL_PAGES = 0xffff_ffff_ffff_ffffn;

/**
 * EOPNOTSUPP: a flag, or the unit cannot nest; EINVAL: the parent is no nest parent, or the data is malformed.
 * @kernel intel_iommu_domain_alloc_nested
 */
export function domainAllocNested(
  dev: Device,
  parent: Domain,
  flags: number,
  data: UserData,
): Result<Domain> {
  const { iommu } = toIntelDevice(dev);
  if ((flags & ~IOMMU_HWPT_ALLOC_PASID) !== 0 || !iommu.hw.nested) {
    return refuse(EOPNOTSUPP, 'an unknown flag, or the unit cannot nest', { flags });
  }
  const record = toIntelDomain(parent);
  if (record.kind !== 'second' || !record.nestParent) {
    return refuse(EINVAL, 'the parent was not allocated as a nest parent', {
      parent: parent.name,
    });
  }
  const guest = decodeS1(data);
  if (isErrno(guest)) return guest;
  const domain = newDomain(iommu.core, {
    kind: 'nested',
    type: IOMMU_DOMAIN_NESTED,
    ops: NESTED_OPS,
  });
  record.nested.add(
    newIntelDomain({ domain, kind: 'nested', guest: { parent: record, ...guest } }),
  );
  return domain;
}

/** struct iommu_hwpt_vtd_s1 { flags; pgtbl_addr; addr_width; __reserved }. */
function decodeS1(data: UserData) {
  const s1 = copyStructFromUser(
    data,
    IOMMU_HWPT_DATA_VTD_S1,
    iommu_hwpt_vtd_s1,
    iommu_hwpt_vtd_s1.size,
  );
  if (isErrno(s1)) return s1;
  const { flags, pgtbl_addr: pgtblAddr } = s1;
  const known = BigInt(IOMMU_VTD_S1_SRE | IOMMU_VTD_S1_EAFE | IOMMU_VTD_S1_WPE);
  if ((flags & ~known) !== 0n || s1.__reserved !== 0) {
    return refuse(EOPNOTSUPP, 'an unknown flag or a reserved field of iommu_hwpt_vtd_s1', {
      flags,
    });
  }
  return {
    rootPfn: Number(pgtblAddr >> 12n),
    addrWidth: s1.addr_width,
    flags: Number(flags),
  };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @kernel intel_nested_cache_invalidate_user */
function cacheInvalidateUser(domain: Domain, array: UserArray): { done: number; status: Status } {
  if (array.type !== IOMMU_HWPT_INVALIDATE_DATA_VTD_S1) {
    const status = refuse(EINVAL, 'the invalidation is not of type VTD_S1', { type: array.type });
    return { done: 0, status };
  }
  for (let index = 0; index < array.entryCount; index++) {
    const bytes = array.entry(index, STRUCT_SIZE, STRUCT_SIZE);
    const status = isErrno(bytes) ? bytes : invalidateEntry(domain, viewOf(bytes));
    if (status) return { done: index, status };
  }
  return { done: array.entryCount, status: undefined };
}

/** struct iommu_hwpt_vtd_s1_invalidate { addr; npages; flags; __reserved }. */
function invalidateEntry(domain: Domain, view: DataView): Status<'EINVAL' | 'EOPNOTSUPP'> {
  const addr = view.getBigUint64(0, true);
  const npages = view.getBigUint64(8, true);
  const flags = view.getUint32(16, true);
  if ((flags & ~IOMMU_VTD_INV_FLAGS_LEAF) !== 0 || view.getUint32(20, true) !== 0) {
    return refuse(EOPNOTSUPP, 'an unknown flag or a reserved field of the entry', { flags });
  }
  if ((addr & 0xfffn) !== 0n || (npages === ALL_PAGES && addr !== 0n)) {
    return refuse(EINVAL, 'the address is not a page, or not 0 for everything', { addr });
  }
  const record = toIntelDomain(domain);
  if (npages === ALL_PAGES || npages >> 52n !== 0n) flushDomain(record, undefined);
  else if (npages > 0n) {
    const startG = Number(addr >> 12n);
    flushDomain(record, alignedRange(startG, startG + Number(npages) - 1));
  }
  return undefined;
}

function free(domain: Domain): void {
  const record = toIntelDomain(domain);
  record.guest!.parent.nested.delete(record);
}

const NESTED_OPS: DomainOps = { attachDev, setDevPasid, testDev, cacheInvalidateUser, free };
