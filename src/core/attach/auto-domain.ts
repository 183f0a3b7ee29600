/**
 * Find a domain for a device among those there are (core.md 7.2).
 *
 * Two policies: by the errno of the attach (as iommufd does), and the one of VFIO type1, which compares drivers and
 * coherency and does not look at the code.
 */
import { isErrno, type Result, type Status } from '../../base/errno.ts';
import { isSoft } from '../contract/errno-contract.ts';
import type { Domain } from '../contract/domain.ts';

/** What a search works on: the candidates, and how to try, make and drop one. */
export interface DomainSearch<T> {
  /** In the order to try. */
  readonly candidates: Iterable<T>;
  /** Try one; undefined is success. */
  attach(candidate: T): Status;
  /** Make a new one when none fits. */
  alloc(): Result<T>;
  /** Undo alloc after its attach failed. */
  free(fresh: T): void;
}

/** The domain that was attached, and whether it was made for this. */
export interface FoundDomain<T> {
  readonly domain: T;
  readonly isNew: boolean;
}

/**
 * Attach the first candidate that fits, or a new one. EINVAL of a candidate means the next; any other errno ends the
 * search. EINVAL of a new domain is final.
 */
export function attachBySearch<T>(search: DomainSearch<T>): Result<FoundDomain<T>> {
  const found = attachFirstFitting(search.candidates, (candidate) => search.attach(candidate));
  if (isErrno(found)) return found;
  if (found) return { domain: found.fits, isNew: false };
  const fresh = search.alloc();
  if (isErrno(fresh)) return fresh;
  const rc = search.attach(fresh);
  if (!rc) return { domain: fresh, isNew: true };
  search.free(fresh);
  return rc;
}

/** Only the search: undefined when every candidate answered EINVAL. */
export function attachFirstFitting<T>(
  candidates: Iterable<T>,
  attach: (candidate: T) => Status,
): Result<{ readonly fits: T } | undefined> {
  for (const candidate of candidates) {
    const rc = attach(candidate);
    if (!rc) return { fits: candidate };
    if (!isSoft(rc)) return rc;
  }
  return undefined;
}

/** A domain of a type1 container, with whether it enforces coherency. */
export interface Type1Domain {
  readonly domain: Domain;
  readonly enforceCacheCoherency: boolean;
}

/** A search by the rules of VFIO type1. */
export interface Type1Search<T extends Type1Domain> {
  /** Attached to the group already. */
  readonly fresh: T;
  readonly existing: Iterable<T>;
  /** Attach the group to this one as well. */
  attach(candidate: T): Status;
  /** Take the group off this one. */
  detach(candidate: T): void;
}

/** Made by the same driver for the same coherency: the only pairs type1 tries to merge. */
export function isType1Match(a: Type1Domain, b: Type1Domain): boolean {
  return a.domain.ops === b.domain.ops && a.enforceCacheCoherency === b.enforceCacheCoherency;
}

/**
 * With the new domain attached, try to use an existing one in its place. Any errno of a candidate brings the new one
 * back; only the failure of that is an error. The result is what the group is on.
 */
export function reuseType1Domain<T extends Type1Domain>(search: Type1Search<T>): Result<T> {
  const { fresh } = search;
  for (const candidate of search.existing) {
    if (!isType1Match(candidate, fresh)) continue;
    search.detach(fresh);
    if (!search.attach(candidate)) return candidate;
    const rc = search.attach(fresh);
    if (rc) return rc;
  }
  return fresh;
}
