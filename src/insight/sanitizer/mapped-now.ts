/** What is mapped at some addresses now, as the page tables of all domains say. */
import type { MapEvent } from '../../base/events.ts';
import { fromGranules, toGranules } from '../../base/u64.ts';
import { IOMMU_DOMAIN_F_PAGING, type Domain } from '../../core/contract/domain.ts';
import { granuleLg2 } from '../../core/contract/granule.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import { domainRef } from '../../core/contract/refs.ts';
import { lookupGranule } from '../../core/map/map.ts';
import type { MappedRange } from './mapping-call.ts';

/** A part of a range that is mapped in a domain, to memory in a row. */
type Mapped = Pick<MapEvent, 'domain' | 'iova' | 'length'> & Required<Pick<MapEvent, 'pa'>>;

/** Each granule is looked up: by the figure of a walk (docs/performance.md) 4 ms a GiB. */
export function* mappedNow(core: IommuCore, ranges: Iterable<MappedRange>): Generator<Mapped> {
  const domains = [...core.domains].filter(({ type }) => (type & IOMMU_DOMAIN_F_PAGING) !== 0);
  for (const range of ranges) for (const domain of domains) yield* mappedIn(domain, range);
}
function* mappedIn(domain: Domain, { iova, length }: MappedRange): Generator<Mapped> {
  const lg2 = granuleLg2(domain);
  const end = toGranules(iova + length, lg2);
  for (let at = toGranules(iova, lg2); at < end;) {
    const to = lookupGranule(domain, at);
    let count = 1;
    if (to < 0) {
      at++;
      continue;
    }
    while (at + count < end && lookupGranule(domain, at + count) === to + count) count++;
    const [from, pa, bytes] = [at, to, count].map((granules) => fromGranules(granules, lg2));
    yield { domain: domainRef(domain), iova: from!, pa: pa!, length: bytes! };
    at += count;
  }
}
