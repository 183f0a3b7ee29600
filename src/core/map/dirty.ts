/**
 * Which pages devices wrote to (core.md 3.7): asking a domain's dirty bits, and a bitmap to write the answer into.
 */
import { EOPNOTSUPP, type Status } from '../../base/errno.ts';
import { bugOn } from '../../base/bug.ts';
import { refuse } from '../../base/refuse.ts';
import { alignUp, fromGranules, toGranules } from '../../base/u64.ts';
import { newGather } from '../../pt/gather.ts';
import type { DirtySink } from '../../pt/page-table.ts';
import type { Domain } from '../contract/domain.ts';
import { callDomainStatus } from '../contract/driver-call.ts';
import { granuleLg2 } from '../contract/granule.ts';
import { iotlbSync } from './iotlb.ts';

/** Read without cleaning. */
export const IOMMU_DIRTY_NO_CLEAR = 1;

/** Told of each dirty leaf, whole: bytes. */
export type DirtyRecorder = (iova: bigint, length: bigint) => void;

/**
 * Switch tracking on or off.
 * Errnos: EOPNOTSUPP the domain cannot track; driver's.
 */
export function setDirtyTracking(domain: Domain, on: boolean): Status {
  if (!domain.dirtyOps) return refuseDirty(domain);
  return callDomainStatus(domain, 'set_dirty_tracking', () =>
    domain.dirtyOps!.setDirtyTracking(domain, on),
  );
}

/**
 * Report and, unless told not to, clean the dirty pages of a range.
 * Errnos: EOPNOTSUPP the domain cannot track; those of its page table.
 * @kernel iommu_dirty_ops.read_and_clear_dirty
 */
export function readAndClearDirty(
  domain: Domain,
  range: { readonly iova: bigint; readonly length: bigint },
  flags: number,
  record: DirtyRecorder,
): Status {
  const lg2 = granuleLg2(domain);
  const startG = toGranules(range.iova, lg2);
  // A granule that is touched counts.
  const endG = toGranules(alignUp(range.iova + range.length, lg2), lg2);
  const lengthG = range.length === 0n ? 0 : endG - startG;
  const noClear = (flags & IOMMU_DIRTY_NO_CLEAR) !== 0;
  return readDirtyGranules(domain, { startG, lengthG }, noClear, (leafG, count) =>
    record(fromGranules(leafG, lg2), fromGranules(count, lg2)),
  );
}

/** The same in granules: the data path. What was cleaned is invalidated before it returns. */
export function readDirtyGranules(
  domain: Domain,
  { startG, lengthG }: { readonly startG: number; readonly lengthG: number },
  noClear: boolean,
  sink: DirtySink,
): Status {
  const ops = domain.dirtyOps;
  if (!ops) return refuseDirty(domain);
  const gather = noClear ? undefined : newGather();
  const rc = callDomainStatus(domain, 'read_and_clear_dirty', () =>
    ops.readAndClearDirty(domain, startG, lengthG, noClear, gather, sink),
  );
  if (gather) iotlbSync(domain, gather);
  return rc;
}

function refuseDirty(domain: Domain): Status<'EOPNOTSUPP'> {
  return refuse(EOPNOTSUPP, 'the domain cannot track dirty pages', { domain: domain.name });
}

/** One bit for each page of a range, lowest first; leaves that reach beyond it are cut. */
export class DirtyBitmap {
  readonly bytes: Uint8Array;
  readonly #start: bigint;
  readonly #pageLg2: bigint;
  readonly #pages: number;

  constructor(iova: bigint, length: bigint, pageLg2: number) {
    bugOn(length <= 0n, 'a bitmap of nothing');
    this.#pageLg2 = BigInt(pageLg2);
    this.#start = iova >> this.#pageLg2;
    this.#pages = Number(((iova + length - 1n) >> this.#pageLg2) - this.#start) + 1;
    this.bytes = new Uint8Array(Math.ceil(this.#pages / 8));
  }
  readonly record: DirtyRecorder = (iova, length) => {
    const first = Math.max(0, Number((iova >> this.#pageLg2) - this.#start));
    const last = Math.min(
      this.#pages - 1,
      Number(((iova + length - 1n) >> this.#pageLg2) - this.#start),
    );
    for (let page = first; page <= last; page++) this.bytes[page >>> 3]! |= 1 << (page & 7);
  };
  /** Is the page of this address marked? */
  has(iova: bigint): boolean {
    const page = Number((iova >> this.#pageLg2) - this.#start);
    return page >= 0 && page < this.#pages && (this.bytes[page >>> 3]! & (1 << (page & 7))) !== 0;
  }
}
