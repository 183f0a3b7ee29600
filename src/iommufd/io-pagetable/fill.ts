/**
 * Areas in page tables: map an area's pages into domains and take them out again (iommufd.md 3.5, 3.6).
 *
 * The data path: granules and frame numbers only.
 */
import { Bug } from '../../base/bug.ts';
import type { Status } from '../../base/errno.ts';
import { pow2 } from '../../base/u64.ts';
import { granuleOf } from '../../base/word-pair.ts';
import { IOMMU_CACHE, IOMMU_MMIO } from '../../pt/page-table.ts';
import type { Domain } from '../../core/contract/domain.ts';
import { granuleLg2 } from '../../core/contract/granule.ts';
import { mapGranules, unmapGranules } from '../../core/map/map.ts';
import type { Area } from './area.ts';

/** Pin an area's pages and map them into every domain; the first one becomes its storage. */
export function fillArea(area: Area, domains: readonly Domain[], singlePages: boolean): Status {
  const { pages } = area;
  const first = area.firstIndex;
  const last = area.lastIndex;
  const held = pages.hold(first, last);
  if (held) return held;
  for (let n = 0; n < domains.length; n++) {
    const rc = mapArea(area, domains[n]!, singlePages);
    if (!rc) continue;
    for (let undo = 0; undo < n; undo++) unmapArea(area, domains[undo]!);
    pages.release(first, last);
    return rc;
  }
  area.storageDomain = domains[0];
  return undefined;
}

/** Take an area out of every domain and let its pages go. */
export function unfillArea(area: Area, domains: readonly Domain[]): void {
  if (!area.storageDomain) return;
  for (const domain of domains) unmapArea(area, domain);
  area.storageDomain = undefined;
  area.pages.release(area.firstIndex, area.lastIndex);
}

/** Map an area whose pages are held into one domain; nothing stays mapped on an error. */
export function mapArea(area: Area, domain: Domain, singlePages: boolean): Status {
  const { pages } = area;
  if (pages.revoked) return undefined;
  const lg2 = granuleLg2(domain);
  const perPage = pow2(12 - lg2);
  const startG = granuleOf(area.startHi, area.startLo, lg2);
  const endG = startG + area.length / pow2(lg2);
  const prot = area.isDmabuf ? (area.prot & ~IOMMU_CACHE) | IOMMU_MMIO : area.prot;
  const lastIndex = area.lastIndex;

  let iovaG = startG;
  let skipG = area.pageOffset / pow2(lg2);
  for (let index = area.firstIndex; index <= lastIndex;) {
    const count = singlePages ? 1 : pages.runFrom(index, lastIndex);
    const lengthG = Math.min(count * perPage - skipG, endG - iovaG);
    const paG = pages.pfn(index) * perPage + skipG;
    const rc = mapGranules(domain, { iovaG, paG, lengthG, prot });
    if (rc) {
      if (iovaG > startG) unmapRange(domain, startG, iovaG - startG);
      return rc;
    }
    iovaG += lengthG;
    skipG = 0;
    index += count;
  }
  return undefined;
}

export function unmapArea(area: Area, domain: Domain): void {
  if (area.pages.revoked) return;
  const lg2 = granuleLg2(domain);
  unmapRange(domain, granuleOf(area.startHi, area.startLo, lg2), area.length / pow2(lg2));
}

function unmapRange(domain: Domain, startG: number, lengthG: number): void {
  const removed = unmapGranules(domain, startG, lengthG);
  if (removed === lengthG) return;
  throw new Bug(`${domain.name}: ${removed} of ${lengthG} granules were unmapped`);
}
