/**
 * Pinned pages that an address space or a file is about to show no longer: munmap, a mapping over them, mremap,
 * MADV_DONTNEED, a truncated memfd.
 *
 * A device with a pin goes on using the old page on Linux. Nobody else does, or it would still be shown, so its bytes
 * can be kept here: they are read before the call, and become the page when the call has succeeded.
 */
import { EFAULT, type Status } from '../../base/errno.ts';
import type { PagesLostEvent, PhysicalRange } from '../../base/events.ts';
import { refuse } from '../../base/refuse.ts';
import { PAGE_SIZE } from '../../base/u64.ts';
import type { Trace } from '../../base/trace.ts';
import type { MachineMemory } from './physical-memory.ts';
import type { PinnedPage, Backing } from './pin-region.ts';

/** Bytes of pages, by place: a page index of the address space or of the object they were taken from. */
export class PageCopies {
  readonly #pages = new Map<number, Uint8Array>();

  /** A page that cannot be read has no copy. */
  take(place: number, { index, backing }: PinnedPage): void {
    if (this.#pages.has(place)) return;
    const bytes = new Uint8Array(PAGE_SIZE);
    if (!backing.read(index, 0, bytes)) this.#pages.set(place, bytes);
  }
  has(place: number): boolean {
    return this.#pages.has(place);
  }
  read(place: number, offset: number, into: Uint8Array): Status<'EFAULT'> {
    return this.#each(place, offset, into, (page, part) => part.set(page));
  }
  write(place: number, offset: number, from: Uint8Array): Status<'EFAULT'> {
    return this.#each(place, offset, from, (page, part) => page.set(part));
  }
  #each(
    place: number,
    offset: number,
    bytes: Uint8Array,
    move: (page: Uint8Array, part: Uint8Array) => void,
  ): Status<'EFAULT'> {
    for (let done = 0; done < bytes.length;) {
      const at = (offset + done) % PAGE_SIZE;
      const page = this.#pages.get(place + Math.floor((offset + done) / PAGE_SIZE));
      if (!page) return refuse(EFAULT, 'the page could not be read when its mapping went');
      const n = Math.min(bytes.length - done, PAGE_SIZE - at);
      move(page.subarray(at, at + n), bytes.subarray(done, done + n));
      done += n;
    }
    return undefined;
  }
}

/** Pinned pages that a call removes: made before the call, with their bytes; nothing has changed until it is done(). */
export class PinnedRemoval {
  readonly #frames: MachineMemory;
  readonly #pages: readonly PinnedPage[];
  readonly #copies = new PageCopies();
  readonly #isCopied: (page: PinnedPage) => boolean;

  /** What is not copied is held by the host: it stays reachable the way it is. */
  constructor(
    frames: MachineMemory,
    pages: readonly PinnedPage[],
    isCopied: (page: PinnedPage) => boolean,
  ) {
    this.#frames = frames;
    this.#pages = pages;
    this.#isCopied = isCopied;
    for (const page of pages) if (isCopied(page)) this.#copies.take(placeOf(page), page);
  }

  /** Which memory they are. */
  get ranges(): readonly PhysicalRange[] {
    const ranges: { pa: bigint; length: bigint }[] = [];
    for (const { pfn } of [...this.#pages].sort((a, b) => a.pfn - b.pfn)) {
      const pa = BigInt(pfn) * BigInt(PAGE_SIZE);
      const last = ranges.at(-1);
      if (last && last.pa + last.length === pa) last.length += BigInt(PAGE_SIZE);
      else ranges.push({ pa, length: BigInt(PAGE_SIZE) });
    }
    return ranges;
  }
  /** The call has succeeded: what is pinned goes on as the copies. */
  done(): void {
    const kept = new Map<number, Backing>();
    for (const page of this.#pages) {
      const delta = page.backing.delta ?? 0;
      if (!kept.has(delta)) kept.set(delta, this.#keptBacking(delta));
      this.#frames.detach(page.pfn, this.#isCopied(page) ? kept.get(delta) : undefined);
    }
  }
  #keptBacking(delta: number): Backing {
    const copies = this.#copies;
    return {
      read: (index, offset, into) => copies.read(index + delta, offset, into),
      write: (index, offset, from) => copies.write(index + delta, offset, from),
      drop: () => undefined,
    };
  }
}

/** The call has succeeded: all of these pages are gone from what its program sees. */
export function removePinned(
  trace: Trace,
  removals: readonly PinnedRemoval[],
  whose: Pick<PagesLostEvent, 'by' | 'pid'>,
): void {
  for (const removal of removals) removal.done();
  if (trace.hears['pages-lost'] && removals.length > 0) {
    trace.emit({ kind: 'pages-lost', ...whose, ranges: removals.flatMap(({ ranges }) => ranges) });
  }
}

/** The index at which a page is in its owner now, which mremap may have moved. */
export function placeOf({ index, backing }: PinnedPage): number {
  return index + (backing.delta ?? 0);
}
