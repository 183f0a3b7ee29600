/**
 * Map, unmap and look up in a paging domain (core.md 3.4, 3.8).
 *
 * Two forms: at the door addresses are bytes as bigint (iommuMap, iommuUnmap, iovaToPhys); on the data path they are
 * granule numbers of 2^granuleLg2(domain) bytes (mapGranules, unmapGranules, lookupGranule). A domain is served by the
 * generic page table when it has one, else by its driver's mapPages and unmapPages.
 */
import {
  EINVAL,
  ENODEV,
  ENXIO,
  EOVERFLOW,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { bugOn } from '../../base/bug.ts';
import { refuse } from '../../base/refuse.ts';
import { fromGranules, isAligned, pow2, toGranules, U64_MAX } from '../../base/u64.ts';
import { gatherRange, newGather, type Gather } from '../../pt/gather.ts';
import { pickPageCount, pickPageSize } from '../../pt/page-size.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';
import {
  IOMMU_DOMAIN_BLOCKED,
  IOMMU_DOMAIN_F_PAGING,
  IOMMU_DOMAIN_IDENTITY,
  type Domain,
  type MapPages,
  type MapProgress,
} from '../contract/domain.ts';
import { callDomain, callDomainStatus } from '../contract/driver-call.ts';
import { domainPageSizes, granuleLg2, smallestPageLg2 } from '../contract/granule.ts';
import { iotlbSync, syncMap } from './iotlb.ts';
import { domainRef } from '../contract/refs.ts';

/** Can the domain be mapped at all? Otherwise warns once, as the kernel does. */
function isMappable(domain: Domain): boolean {
  return (domain.type & IOMMU_DOMAIN_F_PAGING) !== 0 && domain.pgsizeBitmap !== 0n;
}

/** What is to be mapped where, in granules: the form of the data path. */
export interface MapRun {
  readonly iovaG: number;
  readonly paG: number;
  readonly lengthG: number;
  readonly prot: number;
}

/** The same in bytes. */
interface ByteRun {
  readonly iova: bigint;
  readonly paddr: bigint;
  readonly size: bigint;
  readonly prot: number;
}

/**
 * Map a range, all of it or nothing.
 * Errnos: EINVAL no paging domain, misaligned, or no access; ENODEV the driver cannot map; for domains with the
 * generic page table ERANGE, EOVERFLOW, ENXIO, EADDRINUSE, ENOMEM; driver's.
 * @kernel iommu_map
 */
export function iommuMap(
  domain: Domain,
  iova: bigint,
  paddr: bigint,
  size: bigint,
  prot: number,
): Status {
  const run = checkedRun(domain, { iova, paddr, size, prot });
  return isErrno(run) ? run : mapGranules(domain, run);
}

/**
 * Map granules, all or none, and tell the IOMMU.
 * Errnos: those of iommuMap.
 * @kernel iommu_map
 */
export function mapGranules(domain: Domain, run: MapRun): Status {
  const rc = mapGranulesNosync(domain, run);
  if (rc) return rc;
  const { iovaG, lengthG } = run;
  const failed = syncMap(domain, iovaG, lengthG);
  if (failed) unmapGranules(domain, iovaG, lengthG);
  return failed;
}

/** The same without the sync: the caller calls syncMap() over all it mapped. @kernel iommu_map_nosync */
function mapGranulesNosync(domain: Domain, run: MapRun): Status {
  const rc = checkDomain(domain);
  if (rc) return rc;
  const failed = domain.pt ? mapTable(domain, run) : mapPages(domain, run);
  if (!failed && domain.core.env.trace.hears.map) traceMap(domain, run);
  return failed;
}

function mapTable(domain: Domain, { iovaG, paG, lengthG, prot }: MapRun): Status {
  const pt = domain.pt!;
  if ((prot & (IOMMU_READ | IOMMU_WRITE)) === 0) return refuseNoAccess(domain);
  const rc = pt.map(iovaG, paG, lengthG, prot);
  if (rc && pt.mapped > 0) unmapGranules(domain, iovaG, pt.mapped);
  return rc;
}

function mapPages(domain: Domain, run: MapRun): Status {
  const progress: MapProgress = { mapped: 0 };
  let done = 0;
  while (done < run.lengthG) {
    progress.mapped = 0;
    const rc = callMapPages(domain, nextPages(domain, run, done), progress);
    done += progress.mapped;
    if (rc) {
      if (done > 0) unmapGranules(domain, run.iovaG, done);
      return rc;
    }
  }
  return undefined;
}

/** Of what is left of a run, the pages that come next: of one size, as many in a row as fit (core.md 3.4). */
function nextPages(domain: Domain, run: MapRun, done: number): MapPages {
  const sizes = domainPageSizes(domain);
  const iovaG = run.iovaG + done;
  const paG = run.paG + done;
  const left = run.lengthG - done;
  const sizeLg2 = pickPageSize(sizes, iovaG, paG, left);
  const count = pickPageCount(sizes, sizeLg2, iovaG, paG, left);
  return { iovaG, paG, pageG: pow2(sizeLg2), count, prot: run.prot };
}

function callMapPages(domain: Domain, pages: MapPages, progress: MapProgress): Status {
  const rc = callDomainStatus(domain, 'map_pages', () =>
    domain.ops.mapPages!(domain, pages, progress),
  );
  const { mapped } = progress;
  const asked = pages.pageG * pages.count;
  bugOn(!rc && mapped <= 0, `${domain.name}: map_pages succeeded without mapping`);
  bugOn(
    !Number.isInteger(mapped) || mapped < 0 || mapped > asked,
    `${domain.name}: map_pages says it mapped ${String(mapped)} of ${String(asked)} granules`,
  );
  return rc;
}

function traceMap(domain: Domain, { iovaG, paG, lengthG, prot }: MapRun): void {
  const lg2 = granuleLg2(domain);
  domain.core.env.trace.emit({
    kind: 'map',
    domain: domainRef(domain),
    iova: fromGranules(iovaG, lg2),
    pa: fromGranules(paG, lg2),
    length: fromGranules(lengthG, lg2),
    prot,
  });
}

/**
 * Unmap and invalidate. The result is what was removed: less at a hole, more when a leaf reached beyond the range.
 * 0 for a domain that cannot be mapped and for a misaligned range.
 * @kernel iommu_unmap
 */
export function iommuUnmap(domain: Domain, iova: bigint, size: bigint): bigint {
  const gather = newGather();
  const removed = iommuUnmapFast(domain, iova, size, gather);
  iotlbSync(domain, gather);
  return removed;
}

/**
 * The same without invalidating: the caller syncs the gather.
 * @kernel iommu_unmap_fast
 */
export function iommuUnmapFast(domain: Domain, iova: bigint, size: bigint, gather: Gather): bigint {
  if (checkUnmappable(domain)) return 0n;
  const lg2 = granuleLg2(domain);
  const smallest = smallestPageLg2(domain);
  if (!isAligned(iova | size, domain.pt ? lg2 : smallest)) {
    domain.core.env.log('err', `${domain.name}: unaligned unmap of ${String(size)} bytes`);
    return 0n;
  }
  const removed = unmapGranulesFast(domain, toGranules(iova, lg2), toGranules(size, lg2), gather);
  return fromGranules(removed, lg2);
}

/**
 * Unmap granules and invalidate; the result is the number removed.
 * @kernel iommu_unmap
 */
export function unmapGranules(domain: Domain, iovaG: number, lengthG: number): number {
  // One gather serves unmap after unmap; a driver that unmaps from its sync gets another.
  const gather = spareGather ?? newGather();
  spareGather = undefined;
  const removed = unmapGranulesFast(domain, iovaG, lengthG, gather);
  iotlbSync(domain, gather);
  spareGather = gather;
  return removed;
}
let spareGather: Gather | undefined;

/**
 * Unmap granules into a gather.
 * @kernel iommu_unmap_fast
 */
export function unmapGranulesFast(
  domain: Domain,
  iovaG: number,
  lengthG: number,
  gather: Gather,
): number {
  if (checkUnmappable(domain)) return 0;
  const removed = domain.pt
    ? domain.pt.unmap(iovaG, lengthG, gather)
    : unmapPages(domain, iovaG, lengthG, gather);
  if (removed > 0 && domain.core.env.trace.hears.unmap) {
    const lg2 = granuleLg2(domain);
    domain.core.env.trace.emit({
      kind: 'unmap',
      domain: domainRef(domain),
      iova: fromGranules(iovaG, lg2),
      length: fromGranules(removed, lg2),
      ...(removed !== lengthG && { asked: fromGranules(lengthG, lg2) }),
    });
  }
  return removed;
}

function unmapPages(domain: Domain, iovaG: number, lengthG: number, gather: Gather): number {
  // Page sizes are chosen as if the address were its own target.
  const run: MapRun = { iovaG, paG: iovaG, lengthG, prot: 0 };
  let done = 0;
  while (done < lengthG) {
    const { iovaG: at, pageG, count } = nextPages(domain, run, done);
    const removed = callDomain(domain, 'unmap_pages', () =>
      domain.ops.unmapPages!(domain, at, pageG, count, gather),
    );
    bugOn(
      !Number.isInteger(removed) || removed < 0,
      `${domain.name}: unmap_pages answered with ${String(removed)}`,
    );
    if (removed === 0) break;
    done += removed;
  }
  // A driver that gathers nothing still gets its sync.
  if (done > 0 && !gather.queued && gather.start > gather.end) gatherRange(gather, iovaG, done);
  return done;
}

/** One piece of memory to be mapped at an IOVA of its own choosing; a bus address stays as it is and maps nothing. */
export interface SgEntry {
  readonly pa: bigint;
  readonly length: bigint;
  /** Peer-to-peer: the entry carries the address the device must use. */
  readonly busAddress?: bigint;
}

/**
 * Map a scatter list in one row. The result is the bytes mapped.
 * Errnos: those of iommuMap; nothing stays mapped after one.
 * @kernel iommu_map_sg
 */
export function iommuMapSg(
  domain: Domain,
  iova: bigint,
  sg: readonly SgEntry[],
  prot: number,
): Result<bigint> {
  let mapped = 0n;
  for (const { pa, length } of mergedRuns(sg)) {
    const run = checkedRun(domain, { iova: iova + mapped, paddr: pa, size: length, prot });
    const rc = isErrno(run) ? run : mapGranulesNosync(domain, run);
    if (rc) {
      if (mapped > 0n) iommuUnmap(domain, iova, mapped);
      return rc;
    }
    mapped += length;
  }
  if (mapped === 0n) return 0n;
  const lg2 = granuleLg2(domain);
  const failed = syncMap(domain, toGranules(iova, lg2), toGranules(mapped, lg2));
  if (failed) {
    iommuUnmap(domain, iova, mapped);
    return failed;
  }
  return mapped;
}

/** Neighbours in physical memory become one run. */
function* mergedRuns(sg: readonly SgEntry[]): Generator<{ pa: bigint; length: bigint }> {
  let run: { pa: bigint; length: bigint } | undefined;
  for (const { pa, length, busAddress } of sg) {
    if (busAddress !== undefined) continue;
    if (run && run.pa + run.length === pa) {
      run.length += length;
      continue;
    }
    if (run) yield run;
    run = { pa, length };
  }
  if (run) yield run;
}

/**
 * Where a byte is mapped to; 0 for nowhere, and for the first byte of memory.
 * @kernel iommu_iova_to_phys
 */
export function iovaToPhys(domain: Domain, iova: bigint): bigint {
  if (domain.type === IOMMU_DOMAIN_IDENTITY) return iova;
  if (domain.type === IOMMU_DOMAIN_BLOCKED) return 0n;
  if (domain.pt) return domain.pt.iovaToPhys(iova);
  if (!domain.ops.iovaToPhys) return 0n;
  return callDomain(domain, 'iova_to_phys', () => domain.ops.iovaToPhys!(domain, iova));
}

/** Where a granule is mapped to, or -1: not ambiguous for a mapping to physical address 0. */
export function lookupGranule(domain: Domain, iovaG: number): number {
  if (domain.pt) return domain.pt.lookup(iovaG);
  const lg2 = granuleLg2(domain);
  // Byte 1 of the granule: its address is never 0 when it is mapped.
  const pa = iovaToPhys(domain, fromGranules(iovaG, lg2) + 1n);
  return pa === 0n ? -1 : toGranules(pa - 1n, lg2);
}

function checkDomain(domain: Domain): Status {
  if (!isMappable(domain)) {
    domain.core.env.warnOnce('map-bad-args', `${domain.name}: map on a domain without page sizes`);
    return refuse(EINVAL, 'the domain has no mappings of its own', { domain: domain.name });
  }
  if (!domain.pt && !domain.ops.mapPages) {
    domain.core.env.warn('map-bad-args', `${domain.name}: its driver cannot map`);
    return refuse(ENODEV, 'the IOMMU driver has no map operation', { domain: domain.name });
  }
  return undefined;
}

function checkUnmappable(domain: Domain): boolean {
  if (isMappable(domain) && (domain.pt ?? domain.ops.unmapPages)) return false;
  domain.core.env.warn('map-bad-args', `${domain.name}: unmap on a domain without mappings`);
  return true;
}

/** A run at the door in granules; it is said here what those cannot: what is wrong with the domain or below a granule. */
function checkedRun(domain: Domain, bytes: ByteRun): Result<MapRun> {
  const rc = checkDomain(domain) ?? checkRange(domain, bytes);
  if (rc) return rc;
  const lg2 = granuleLg2(domain);
  return {
    iovaG: toGranules(bytes.iova, lg2),
    paG: toGranules(bytes.paddr, lg2),
    lengthG: toGranules(bytes.size, lg2),
    prot: bytes.prot,
  };
}

/** The part of the range checks that granule numbers cannot express: the bytes below a granule. */
function checkRange(domain: Domain, { iova, paddr, size, prot }: ByteRun): Status {
  const facts = { iova, paddr, size };
  if (!domain.pt) {
    if (isAligned(iova | paddr | size, smallestPageLg2(domain))) return undefined;
    domain.core.env.log('err', `${domain.name}: unaligned map of ${String(size)} bytes`);
    return refuse(
      EINVAL,
      'iova, physical address and size must be multiples of the smallest page',
      facts,
    );
  }
  if (isAligned(iova | paddr | size, domain.pt.granuleLg2)) return undefined;
  if ((prot & (IOMMU_READ | IOMMU_WRITE)) === 0) return refuseNoAccess(domain);
  // The page table's own checks of the address and the access come before alignment; an empty map asks for those.
  if (size === 0n) return refuse(EINVAL, 'nothing to map', facts);
  const early = domain.pt.map(0, toGranules(paddr, domain.pt.granuleLg2), 0, prot);
  if (isErrno(early) && early !== EINVAL) return early;
  if (size > 0n && iova + size - 1n > U64_MAX) {
    return refuse(EOVERFLOW, 'the range wraps around', facts);
  }
  return refuse(ENXIO, 'no page size fits iova, physical address and size', facts);
}

function refuseNoAccess(domain: Domain): Status {
  domain.core.env.warn('map-no-access', `${domain.name}: map with neither READ nor WRITE`);
  return refuse(EINVAL, 'a mapping must allow reading or writing', { domain: domain.name });
}
