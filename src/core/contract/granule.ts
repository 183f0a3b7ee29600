/**
 * The unit of a domain's data path: its page table's granule, or its smallest page size (core.md 3.2).
 * Compiled page-size choices are kept per domain, because every map asks for them.
 */
import { ffs } from '../../base/u64.ts';
import { pageSizes, type PageSizes } from '../../pt/page-size.ts';
import type { Domain } from './domain.ts';

const compiled = new WeakMap<Domain, PageSizes>();

/** The page-size bitmap of a domain that has one, ready for pickPageSize(). */
export function domainPageSizes(domain: Domain): PageSizes {
  const known = compiled.get(domain);
  if (known?.bitmap === domain.pgsizeBitmap) return known;
  const sizes = pageSizes(domain.pgsizeBitmap, domain.pt?.granuleLg2 ?? ffs(domain.pgsizeBitmap));
  compiled.set(domain, sizes);
  return sizes;
}

/** Exponent of the domain's granule; the domain must have page sizes. */
export function granuleLg2(domain: Domain): number {
  return domain.pt ? domain.pt.granuleLg2 : domainPageSizes(domain).granuleLg2;
}

/** Exponent of the smallest page that can be mapped: the granule, unless the driver took that size away. */
export function smallestPageLg2(domain: Domain): number {
  return ffs(domain.pgsizeBitmap);
}
