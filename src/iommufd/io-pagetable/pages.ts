/**
 * Pages objects: where the memory of areas comes from, and its pins (iommufd.md 3.1, 3.4).
 *
 * A pages object is made by one MAP and shared by COPY and by cutting. Its pages are pinned when the first domain or
 * access needs them.
 */
import { EFAULT, EINVAL, ENODEV, ENOMEM, type Errno, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Mm } from '../../base/task.ts';
import type { Payer } from './accounting.ts';
import type { PageBacking, PageOrigin, PageWorld } from './page-backing.ts';
import { DmabufUse } from './dmabuf-use.ts';
import { PinRuns, type PinRun } from './pin-runs.ts';

/** Which part of its origin a MAP wants. */
export interface PagesInit {
  /** Page number in the origin. */
  readonly firstPage: number;
  readonly npages: number;
}

const NO_RUNS = new PinRuns();

export class Pages {
  readonly firstPage: number;
  readonly npages: number;
  /** IOAS_CHANGE_PROCESS makes another payer of it. */
  #backing: PageBacking;
  /** Of a dma-buf. */
  readonly #dmabuf: DmabufUse | undefined;
  /** Pages charged now. */
  npinned = 0;
  #runs = NO_RUNS;

  constructor(backing: PageBacking, { firstPage, npages }: PagesInit) {
    this.firstPage = firstPage;
    this.npages = npages;
    this.#backing = backing;
    const { origin } = backing;
    if (origin.kind === 'dmabuf') this.#dmabuf = new DmabufUse(origin.dmabuf);
  }
  get world(): PageWorld {
    return this.#backing.world;
  }
  get origin(): PageOrigin {
    return this.#backing.origin;
  }
  get writable(): boolean {
    return this.#backing.writable;
  }
  get payer(): Payer {
    return this.#backing.payer;
  }

  /** An area of this memory is in a table now. */
  join(area: object, unmap: () => void): void {
    this.#dmabuf?.join(area, unmap);
  }
  leave(area: object): void {
    this.#dmabuf?.leave(area);
  }
  /** Permanently dead: the dma-buf was revoked while mapped. */
  get revoked(): boolean {
    return this.#dmabuf?.isRevoked === true;
  }
  get isDmabuf(): boolean {
    return this.#dmabuf !== undefined;
  }

  /** Pin what of [first, last] is not pinned, charge it, and hold all of it. All or nothing. */
  hold(first: number, last: number): Status {
    if (this.origin.kind === 'dmabuf') return this.revoked ? this.#refuseRevoked() : undefined;
    if (this.#runs.runs.length === 0) return this.#holdFirst(first, last);
    const fresh: PinRun[] = [];
    for (const gap of this.#runs.gaps(first, last)) {
      const rc = this.#pin(gap.first, gap.last, fresh);
      if (rc) return this.#abandon(fresh, rc);
    }
    let npages = 0;
    for (const run of fresh) npages += run.count;
    const rc = npages > 0 ? this.#charge(npages) : undefined;
    if (rc) return this.#abandon(fresh, rc);
    this.#runs.add(fresh);
    this.#runs.hold(first, last);
    return undefined;
  }
  /** The same while nothing is pinned: what is pinned now is what is held. */
  #holdFirst(first: number, last: number): Status {
    const fresh: PinRun[] = [];
    const rc = this.#pin(first, last, fresh) ?? this.#charge(last - first + 1);
    if (rc) return this.#abandon(fresh, rc);
    for (const run of fresh) run.holders = 1;
    this.#runs = new PinRuns(fresh);
    return undefined;
  }
  release(first: number, last: number): void {
    if (this.origin.kind === 'dmabuf') return;
    const only = this.#runs.only(first, last);
    if (only) {
      this.#runs = NO_RUNS;
      this.world.memory.unpin(only.pfn, only.count, this.writable);
      this.uncharge(only.count);
      return;
    }
    let npages = 0;
    this.#runs.release(first, last, (run) => {
      this.world.memory.unpin(run.pfn, run.count, this.writable);
      npages += run.count;
    });
    this.uncharge(npages);
  }

  /** Frame of a page that is held, or -1. */
  pfn(index: number): number {
    if (this.origin.kind === 'dmabuf') {
      return this.revoked ? -1 : this.origin.dmabuf.pfn + this.firstPage + index;
    }
    return this.#runs.pfn(index);
  }
  /** Pages in consecutive frames from `index` on, not beyond `last`; at most a batch. Index must be held. */
  runFrom(index: number, last: number): number {
    const limit = Math.min(last - index + 1, this.world.chunkPages);
    if (this.origin.kind === 'dmabuf') return last - index + 1;
    return this.#runs.consecutive(index, limit);
  }
  /** Frame of one page for a moment: pinned for this use, and not charged, when nobody holds it. */
  borrow(index: number, use: (pfn: number) => Status): Status {
    const held = this.pfn(index);
    if (held >= 0) return use(held);
    if (this.origin.kind === 'dmabuf') return this.#refuseRevoked();
    const rc = this.#pinFromOrigin(index, 1);
    if (rc) return rc;
    const pfn = this.world.pinBuffer[0]!;
    const used = use(pfn);
    this.world.memory.unpin(pfn, 1, this.writable);
    return used;
  }

  #pin(first: number, last: number, into: PinRun[]): Status {
    const { world } = this;
    const chunk = world.chunkPages;
    for (let index = first; index <= last;) {
      if (world.env.fails('pin-batch')) {
        return refuse(ENOMEM, 'the batch allocation was made to fail', { index, last });
      }
      const count = Math.min(chunk, last - index + 1);
      const rc = this.#pinFromOrigin(index, count);
      if (rc) return rc;
      appendRuns(into, index, count, world.pinBuffer);
      index += count;
    }
    return undefined;
  }
  #pinFromOrigin(index: number, count: number): Status {
    const { origin, world } = this;
    if (world.env.fails('pin')) return refuse(EFAULT, 'the pin was made to fail', { index, count });
    const at = this.firstPage + index;
    if (origin.kind === 'user') {
      if (!origin.mm.alive) {
        return refuse(EFAULT, 'the address space the memory was mapped from is gone', { page: at });
      }
      return origin.mm.pin(at, count, this.writable, world.pinBuffer, 0);
    }
    if (origin.kind === 'file') {
      if (!origin.file.pages) {
        return refuse(EINVAL, 'only shmem, memfd and hugetlbfs files can be pinned', {
          file: origin.file.inode,
        });
      }
      return origin.file.pages.pin(at, count, this.writable, world.pinBuffer, 0);
    }
    return undefined;
  }
  #abandon(fresh: readonly PinRun[], rc: Status): Status {
    for (const run of fresh) this.world.memory.unpin(run.pfn, run.count, false);
    return rc;
  }

  #charge(npages: number): Status<'ENOMEM'> {
    const { counted, payer, world } = this.#backing;
    if (world.env.fails('charge')) {
      return refuse(ENOMEM, 'the charge was made to fail', { npages });
    }
    const rc = world.accounting.charge(payer, npages);
    if (rc) return rc;
    counted.pinnedVm += npages;
    this.npinned += npages;
    return undefined;
  }
  /** Give back the charge of pages that are pinned no more. */
  uncharge(npages: number): void {
    if (npages === 0) return;
    const { counted, payer, world } = this.#backing;
    world.accounting.uncharge(payer, npages);
    counted.pinnedVm -= npages;
    this.npinned -= npages;
  }
  /** The charge moves to another payer, who was charged before; VmPin follows to the address space it names. */
  moveTo(payer: Payer, counted: Mm): void {
    const before = this.#backing;
    before.world.accounting.uncharge(before.payer, this.npinned);
    before.counted.pinnedVm -= this.npinned;
    counted.pinnedVm += this.npinned;
    this.#backing = { ...before, payer, counted };
  }
  get counted(): Mm {
    return this.#backing.counted;
  }
  #refuseRevoked(): Errno<'ENODEV'> {
    const { firstPage, npages } = this;
    return refuse(ENODEV, 'the dma-buf was revoked', { page: firstPage, npages });
  }
}

/** Frame numbers as runs, joined to the last run where they go on. */
function appendRuns(into: PinRun[], index: number, count: number, pfns: Float64Array): void {
  let last = into[into.length - 1];
  for (let n = 0; n < count; n++) {
    const pfn = pfns[n]!;
    if (last && last.index + last.count === index + n && last.pfn + last.count === pfn) {
      last.count++;
      continue;
    }
    last = { index: index + n, count: 1, pfn, holders: 0 };
    into.push(last);
  }
}
