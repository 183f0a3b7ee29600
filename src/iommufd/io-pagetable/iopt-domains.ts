/** Domains and accesses of an io_pagetable: adding, removing, and the alignment they ask for (iommufd.md 3.2, 3.6). */
import { EINVAL, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { PAGE_SIZE, U64_MAX } from '../../base/u64.ts';
import { smallestPageLg2 } from '../../core/contract/granule.ts';
import type { Domain } from '../../core/contract/domain.ts';
import type { Area } from './area.ts';
import { fillArea, mapArea, unfillArea, unmapArea } from './fill.ts';
import type { IoPagetable, IopagetableUser } from './io-pagetable.ts';

function pageSizeOf(domain: Domain): number {
  return 2 ** smallestPageLg2(domain);
}

/** What domains, accesses and the large-pages switch ask for now. */
function wantedAlignment(iopt: IoPagetable): number {
  let alignment = iopt.largePages ? 1 : PAGE_SIZE;
  for (const domain of iopt.domains) alignment = Math.max(alignment, pageSizeOf(domain));
  for (const access of iopt.accesses) alignment = Math.max(alignment, access.alignment);
  return alignment;
}

/**
 * Mirror every area in one more domain.
 * Errnos: EINVAL its pages are too large; EADDRINUSE alignment or aperture meet areas; those of filling.
 * @kernel iopt_table_add_domain
 */
export function addDomain(iopt: IoPagetable, domain: Domain): Status {
  const pageSize = pageSizeOf(domain);
  if (pageSize > PAGE_SIZE) {
    return refuse(EINVAL, 'the smallest page of the domain is larger than the page of the CPU', {
      pageSize,
    });
  }
  const old = iopt.alignment;
  const rc = iopt.setAlignment(Math.max(old, pageSize)) ?? reserveAperture(iopt, domain);
  if (rc) {
    iopt.rules.unreserve(domain);
    iopt.alignment = old;
    return rc;
  }
  const failed = fillDomain(iopt, domain);
  if (failed) {
    iopt.rules.unreserve(domain);
    iopt.alignment = old;
    return failed;
  }
  iopt.domains.push(domain);
  return undefined;
}

function reserveAperture(iopt: IoPagetable, domain: Domain): Status {
  const { apertureStart, apertureEnd } = domain.geometry;
  if (apertureStart !== 0n) {
    const rc = iopt.reserveIova({ start: 0n, last: apertureStart - 1n }, domain);
    if (rc) return rc;
  }
  if (apertureEnd === U64_MAX) return undefined;
  return iopt.reserveIova({ start: apertureEnd + 1n, last: U64_MAX }, domain);
}

function fillDomain(iopt: IoPagetable, domain: Domain): Status {
  const done: Area[] = [];
  for (const area of iopt.areas.values()) {
    const rc = area.storageDomain
      ? mapArea(area, domain, !iopt.largePages)
      : fillArea(area, [domain], !iopt.largePages);
    if (rc) {
      for (const area of done) emptyArea(area, domain);
      return rc;
    }
    done.push(area);
  }
  return undefined;
}
function emptyArea(area: Area, domain: Domain): void {
  if (area.storageDomain === domain) unfillArea(area, [domain]);
  else unmapArea(area, domain);
}

/** @kernel iopt_table_remove_domain */
export function removeDomain(iopt: IoPagetable, domain: Domain): void {
  const at = iopt.domains.indexOf(domain);
  if (at < 0) return;
  const moved = iopt.domains.pop()!;
  if (moved !== domain) iopt.domains[at] = moved;
  const next = iopt.domains[0];
  for (const area of iopt.areas.values()) {
    if (!area.storageDomain) continue;
    if (!next) {
      unfillArea(area, [domain]);
      continue;
    }
    if (area.storageDomain === domain) area.storageDomain = next;
    unmapArea(area, domain);
  }
  iopt.rules.unreserve(domain);
  iopt.alignment = wantedAlignment(iopt);
}

/** Errnos: EADDRINUSE an area does not fit its alignment. @kernel iopt_add_access */
export function addAccess(iopt: IoPagetable, access: IopagetableUser): Status {
  const rc = iopt.setAlignment(Math.max(iopt.alignment, access.alignment));
  if (rc) return rc;
  iopt.accesses.add(access);
  return undefined;
}
/** @kernel iopt_remove_access */
export function removeAccess(iopt: IoPagetable, access: IopagetableUser): void {
  iopt.accesses.delete(access);
  iopt.alignment = wantedAlignment(iopt);
}

/**
 * IOMMU_OPTION_HUGE_PAGES.
 * Errnos: EINVAL there are domains and areas; EADDRINUSE an area is not page aligned.
 * @kernel iopt_disable_large_pages
 */
export function disableLargePages(iopt: IoPagetable): Status {
  if (!iopt.largePages) return undefined;
  if (iopt.domains.length > 0 && iopt.areas.size > 0) {
    return refuse(EINVAL, 'large pages cannot be switched off under existing mappings', {
      mappings: iopt.areas.size,
    });
  }
  const rc = iopt.setAlignment(Math.max(iopt.alignment, PAGE_SIZE));
  if (rc) return rc;
  iopt.largePages = false;
  return undefined;
}
/** @kernel iopt_enable_large_pages */
export function enableLargePages(iopt: IoPagetable): void {
  iopt.largePages = true;
  iopt.alignment = wantedAlignment(iopt);
}
