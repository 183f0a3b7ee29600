/**
 * Pages objects: where the memory of areas comes from, and its pins (iommufd.md 3.1, 3.4).
 *
 * A pages object is made by one MAP and shared by COPY and by cutting. Its pages are pinned when the first domain or
 * access needs them.
 */
import { EFAULT, EINVAL, ENODEV, ENOMEM, type Errno, type Status } from '../../base/errno.ts';
import type { ForeignFile } from '../../base/file.ts';
import type { PhysicalMemory } from '../../base/physical-memory.ts';
import type { FailPolicy } from '../../base/fail-points.ts';
import { refuse } from '../../base/refuse.ts';
import { CAP_IPC_LOCK, type Mm, type Task } from '../../base/task.ts';
import type { Accounting, AccountMode, Payer } from './accounting.ts';
import type { Dmabuf } from './dmabuf.ts';
import { PinRuns, type PinRun } from './pin-runs.ts';

export interface UserOrigin {
  readonly kind: 'user';
  readonly mm: Mm;
}
export type PageOrigin =
  | UserOrigin
  | { readonly kind: 'file'; readonly file: ForeignFile }
  | { readonly kind: 'dmabuf'; readonly dmabuf: Dmabuf };

/** What pages need of their machine. */
export interface PageWorld {
  readonly memory: PhysicalMemory;
  readonly accounting: Accounting;
  /** Frame numbers on their way from a pin to a table. */
  readonly pinBuffer: Float64Array;
  /** Pages pinned at a time, no more than the buffer has room for. */
  readonly chunkPages: number;
  /** Says which call fails where. */
  readonly env: FailPolicy;
}

/** Where a MAP got its memory from. */
export interface PagesInit {
  readonly origin: PageOrigin;
  /** Page number in the origin. */
  readonly firstPage: number;
  readonly npages: number;
  readonly writable: boolean;
  /** What a context asks for when the caller may not lock memory freely. */
  readonly accountMode: AccountMode;
}

const NO_RUNS = new PinRuns();

export class Pages {
  readonly world: PageWorld;
  readonly origin: PageOrigin;
  readonly firstPage: number;
  readonly npages: number;
  readonly writable: boolean;
  /** Who is charged; IOAS_CHANGE_PROCESS moves it. */
  source: Payer;
  /** Whose VmPin shows the pages. */
  counted: Mm;
  /** Areas of a dma-buf, each with what unmaps it when the memory is taken away. */
  readonly #mapped: Map<object, () => void> | undefined;
  #attachment: Disposable | undefined;
  /** Pages charged now. */
  npinned = 0;
  /** Permanently dead: the dma-buf was revoked while mapped. */
  revoked = false;
  #runs = NO_RUNS;

  constructor(world: PageWorld, task: Task, init: PagesInit) {
    this.world = world;
    this.origin = init.origin;
    this.firstPage = init.firstPage;
    this.npages = init.npages;
    this.writable = init.writable;
    const mode =
      init.origin.kind === 'dmabuf' || task.capable(CAP_IPC_LOCK) ? 'none' : init.accountMode;
    this.source = world.accounting.payerOf(task, mode);
    this.counted = this.source.mm;
    if (init.origin.kind === 'dmabuf') this.#mapped = new Map();
  }

  /** An area of this memory is in a table now. */
  join(area: object, unmap: () => void): void {
    if (!this.#mapped || this.origin.kind !== 'dmabuf') return;
    this.#attachment ??= this.origin.dmabuf.attach({ revoke: () => this.#revoke() });
    this.#mapped.set(area, unmap);
  }
  leave(area: object): void {
    if (!this.#mapped) return;
    this.#mapped.delete(area);
    if (this.#mapped.size > 0) return;
    this.#attachment?.[Symbol.dispose]();
    this.#attachment = undefined;
  }
  /** The exporter takes the memory away: the areas stay, with nothing behind them, for ever. */
  #revoke(): void {
    for (const unmap of this.#mapped?.values() ?? []) unmap();
    this.revoked = true;
  }
  get isDmabuf(): boolean {
    return this.#mapped !== undefined;
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
    if (this.world.env.fails('charge')) {
      return refuse(ENOMEM, 'the charge was made to fail', { npages });
    }
    const rc = this.world.accounting.charge(this.source, npages);
    if (rc) return rc;
    this.counted.pinnedVm += npages;
    this.npinned += npages;
    return undefined;
  }
  /** Give back the charge of pages that are pinned no more. */
  uncharge(npages: number): void {
    if (npages === 0) return;
    this.world.accounting.uncharge(this.source, npages);
    this.counted.pinnedVm -= npages;
    this.npinned -= npages;
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
