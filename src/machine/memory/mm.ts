/**
 * Address spaces and files as sources of pinned pages (core.md 10, vfio.md 7.2): an Mm over a ProcessMemory.
 *
 * Private memory is named by (address space, page), shared memory and files by (object, page): two programs that
 * map one memfd pin the same frames.
 */
import { EFAULT, EINVAL, ENOMEM, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse, silently } from '../../base/refuse.ts';
import { Shortage } from '../../base/shortage.ts';
import type { Mm, PageSource, UserMemory } from '../../base/task.ts';
import { PAGE_SIZE } from '../../base/u64.ts';
import { PinnedRemoval, PageCopies, placeOf } from './pin-copies.ts';
import { type PinnedPage } from './pin-region.ts';
import { newPageOwner, type MachineMemory, type PageOwner } from './physical-memory.ts';
import type { Backing } from './pin-region.ts';
import type { HeldPages, ObjectMemory, ProcessMemory, Vma } from './process-memory.ts';

/** The objects several address spaces and files may show, by their identity. */
export class MappedObjects {
  readonly #owners = new Map<string, PageOwner>();
  /** Is a page of an object pinned that the object still has? */
  isPinned(frames: MachineMemory, object: string): boolean {
    const owner = this.#owners.get(object);
    const everything = { index: 0, count: Infinity };
    return owner !== undefined && frames.somePinned(owner, everything, () => true);
  }
  /** For a call that takes pages out of an object: truncation, a punched hole. Undefined: none of them is pinned. */
  removal(
    frames: MachineMemory,
    object: string,
    span: { index: number; count: number },
    goes: (index: number) => boolean = () => true,
  ): PinnedRemoval | undefined {
    const owner = this.#owners.get(object);
    const pages: PinnedPage[] = [];
    if (owner) {
      frames.somePinned(owner, span, (page) => {
        if (goes(page.index)) pages.push(page);
        return false;
      });
    }
    return pages.length === 0 ? undefined : new PinnedRemoval(frames, pages, () => true);
  }
  owner(object: string): PageOwner {
    let owner = this.#owners.get(object);
    if (!owner) this.#owners.set(object, (owner = newPageOwner(`object ${object}`, false)));
    return owner;
  }
}

/** The address space of one process as the kernel layers pin it. @kernel mm_struct */
export class MachineMm implements Mm {
  readonly id: number;
  readonly mem: UserMemory;
  pinnedVm = 0;
  lockedVm = 0;
  readonly #memory: ProcessMemory;
  readonly #frames: MachineMemory;
  readonly #objects: MappedObjects;
  readonly #private: PageOwner;
  readonly #writesAnyFile: boolean;
  #exited = false;
  /** The way to all private pages that have not been moved. */
  readonly #direct: Backing;
  /** Frames of pages that mremap has moved; some may be unpinned already. */
  readonly #moved = new Set<number>();
  /** Taken when the address space was about to end. */
  #reserve: PageCopies | undefined;

  constructor(
    id: number,
    parts: {
      memory: ProcessMemory;
      frames: MachineMemory;
      objects: MappedObjects;
      /** Pages of any shared file can be pinned to be written. Default false. */
      writesAnyFile?: boolean;
    },
  ) {
    this.id = id;
    this.mem = parts.memory;
    this.#memory = parts.memory;
    this.#frames = parts.frames;
    this.#objects = parts.objects;
    this.#writesAnyFile = parts.writesAnyFile ?? false;
    this.#private = newPageOwner(`address space ${id}`, true);
    this.#direct = this.#through(0);
  }
  get alive(): boolean {
    return !this.#exited && this.#memory.alive;
  }
  /** The last task is gone: pinned frames stay, names of other pages go. */
  exit(): void {
    if (this.#exited) return;
    this.#exited = true;
    this.#frames.forget(this.#private);
  }

  /** For a call that takes pages away from this address space. Undefined: none of them is pinned. */
  removal(index: number, count: number): PinnedRemoval | undefined {
    const pages = this.#showing(index, count);
    if (pages.length === 0) return undefined;
    return new PinnedRemoval(this.#frames, pages, followsAddress);
  }
  /** Is a page at these addresses pinned? */
  shows(index: number, count: number): boolean {
    return this.#some(index, count, () => true);
  }
  /** mremap has put pages elsewhere: the pinned ones are the same, at another address. */
  move(index: number, count: number, to: number): void {
    const pages = this.#showing(index, count);
    const ways = new Map<number, Backing>();
    for (const page of pages) {
      const { delta } = page.backing;
      if (delta === undefined) {
        this.#frames.detach(page.pfn);
        continue;
      }
      const now = delta + to - index;
      if (!ways.has(now)) ways.set(now, this.#through(now));
      this.#frames.detach(page.pfn, ways.get(now));
      this.#moved.add(page.pfn);
    }
  }
  /** The process may be about to end or to become another program: pinned pages go on as they are now. */
  keepForEnd(): void {
    const pages = this.#showing(0, Infinity).filter(followsAddress);
    if (pages.length === 0) return;
    this.#reserve = new PageCopies();
    for (const page of pages) this.#reserve.take(placeOf(page), page);
  }
  /** It has gone on instead. */
  dropReserve(): void {
    this.#reserve = undefined;
  }
  /** Is anything pinned whose bytes end with the address space? */
  get hasPins(): boolean {
    return this.#some(0, Infinity, followsAddress);
  }

  /** The pinned private pages that are at these addresses now. */
  #showing(index: number, count: number): PinnedPage[] {
    const pages: PinnedPage[] = [];
    this.#some(index, count, (page) => {
      pages.push(page);
      return false;
    });
    return pages;
  }
  #some(index: number, count: number, found: (page: PinnedPage) => boolean): boolean {
    if (this.#frames.somePinned(this.#private, { index, count }, found)) return true;
    for (const pfn of this.#moved) {
      const page = this.#frames.pinned(pfn);
      if (page?.backing.delta === undefined || page.backing === this.#direct)
        this.#moved.delete(pfn);
      else if (placeOf(page) >= index && placeOf(page) < index + count && found(page)) return true;
    }
    return false;
  }

  pin(
    index: number,
    count: number,
    write: boolean,
    pfns: Float64Array,
    at: number,
  ): Status<'EFAULT' | 'ENOMEM' | 'EINVAL'> {
    for (let done = 0; done < count;) {
      const pinned = this.#pinNext({ index: index + done, count: count - done }, write, (span) =>
        this.#pinSpan(span, write, pfns, at + done),
      );
      if (isErrno(pinned)) {
        for (let n = 0; n < done; n++) this.#frames.unpin(pfns[at + n]!, 1);
        return pinned;
      }
      done += pinned;
    }
    return undefined;
  }
  /** How many. Whatever the host has too little for ends the pin as a refusal does, so that its callers undo what they did. */
  #pinNext(
    { index, count }: { readonly index: number; readonly count: number },
    write: boolean,
    pinSpan: (span: OwnedRun) => Status<'ENOMEM'>,
  ): Result<number, 'EFAULT' | 'ENOMEM'> {
    try {
      const span = this.#span(index, count, write);
      if (isErrno(span)) return span;
      return pinSpan(span) ?? span.count;
    } catch (error) {
      // eslint-disable-next-line no-restricted-syntax -- what was caught, for whoever can answer it
      if (!(error instanceof Shortage)) throw error;
      this.#memory.short?.(error);
      return refuse(ENOMEM, 'the host has too little to pin with', va(index));
    }
  }

  lookup(index: number): Result<number, 'EFAULT'> {
    const span = this.#span(index, 1, false);
    if (isErrno(span)) return span;
    const pfn = this.#frames.pfnOf(span.owner, span.ownerIndex);
    if (isErrno(pfn)) return refuse(EFAULT, 'the page has no frame number', { errno: ENOMEM.name });
    return pfn;
  }

  lookupIo(index: number): Result<number, 'EFAULT'> {
    const vma = this.#vma(index);
    if (!vma?.io) return refuse(EFAULT, 'no device registers are mapped here', va(index));
    const { window, offset } = vma.io;
    return window.pfn + Math.floor(offset / PAGE_SIZE) + (index - vma.start);
  }

  #vma(index: number): Vma | undefined {
    return this.alive ? this.#memory.vma(index) : undefined;
  }

  /** As many pages from `index` on as one mapping gives. */
  #span(index: number, count: number, write: boolean): Result<OwnedRun, 'EFAULT'> {
    if (!this.alive) return refuse(EFAULT, 'the address space is gone', { mm: this.id });
    const vma = this.#vma(index);
    if (!vma) return refuse(EFAULT, 'nothing is mapped at this address', va(index));
    const refused = this.#checkAccess(vma, index, write);
    if (refused) return refused;
    const run = Math.min(count, vma.end - index);
    if (this.#memory.isAbsent?.(index, run, write) === true) {
      return refuse(EFAULT, 'a program has yet to fill the pages', va(index));
    }
    // A file ends once: where its last page is, the others are.
    if (vma.object !== undefined && !this.#memory.hasPage(vma, index + run - 1)) {
      return refuse(EFAULT, 'the page is beyond the end of the file', va(index + run - 1));
    }
    const named = vma.shared && vma.object !== undefined;
    return {
      vma,
      count: run,
      index,
      owner: named ? this.#objects.owner(vma.object) : this.#private,
      ownerIndex: named ? vma.objectOffset + (index - vma.start) : index,
    };
  }
  #checkAccess(vma: Vma, index: number, write: boolean): Status<'EFAULT'> {
    if (vma.io) return refuse(EFAULT, 'device registers cannot be pinned', va(index));
    if (!vma.readable && !vma.writable) {
      return refuse(EFAULT, 'the mapping allows no access', va(index));
    }
    if (!write) return undefined;
    if (!vma.writable) return refuse(EFAULT, 'the mapping is read-only', va(index));
    if (!vma.shared || vma.writeback !== true || this.#writesAnyFile) return undefined;
    return refuse(
      EFAULT,
      'a device cannot write shared pages of a file system that keeps account of stores',
      va(index),
    );
  }

  #pinSpan(span: OwnedRun, write: boolean, pfns: Float64Array, at: number): Status<'ENOMEM'> {
    const delta = span.index - span.ownerIndex;
    return this.#frames.pin(
      span.owner,
      { index: span.ownerIndex, count: span.count, huge: span.vma.huge, write },
      (first, n) => {
        const held = this.#memory.hold?.(first + delta, n, write);
        if (held) return heldBacking(held, first, { count: n, write });
        return delta === 0 ? this.#direct : this.#through(delta);
      },
      pfns,
      at,
    );
  }

  /** To pages by their address: as long as they are shown there. */
  #through(delta: number): Backing {
    const memory = this.#memory;
    const many = memory.many && { memory: memory.many, base: delta * PAGE_SIZE };
    const isReserved = (): boolean => this.#reserve !== undefined;
    return {
      delta,
      read: (index, offset, into) => {
        const rc = whileAlive(memory, () => memory.read(byteAddress(index + delta, offset), into));
        if (rc !== 'dead') return rc;
        const reserve = this.#reserve;
        return reserve ? reserve.read(index + delta, offset, into) : this.#lost(index);
      },
      write: (index, offset, from) => {
        const place = index + delta;
        const reserve = this.#reserve?.has(place) === true ? this.#reserve : undefined;
        const kept = reserve?.write(place, offset, from);
        const rc = whileAlive(memory, () => memory.write(byteAddress(place, offset), from));
        if (rc !== 'dead') return rc;
        return reserve ? kept : this.#lost(index);
      },
      get many() {
        return isReserved() ? undefined : many;
      },
      drop: () => undefined,
    };
  }
  #lost(index: number): typeof EFAULT {
    this.#memory.lost?.();
    return refuse(
      EFAULT,
      'the process that had this page was killed, and with it went what a pinned page would still hold',
      { mm: this.id, ...va(index) },
    );
  }
}

/** A file's pages (memfd, hugetlbfs, shmem): the same frames as mappings of it. */
export class FilePages implements PageSource {
  readonly #memory: ObjectMemory;
  readonly #frames: MachineMemory;
  readonly #owner: PageOwner;

  constructor(parts: { memory: ObjectMemory; frames: MachineMemory; objects: MappedObjects }) {
    this.#memory = parts.memory;
    this.#frames = parts.frames;
    this.#owner = parts.objects.owner(parts.memory.object);
  }
  pin(
    index: number,
    count: number,
    write: boolean,
    pfns: Float64Array,
    at: number,
  ): Status<'EFAULT' | 'ENOMEM' | 'EINVAL'> {
    const pages = Math.ceil(Number(this.#memory.size()) / PAGE_SIZE);
    if (index + count > pages) {
      return refuse(EINVAL, 'the file is shorter than the range', { pages, wanted: index + count });
    }
    const span = { index, count, huge: this.#memory.huge ?? false, write };
    return this.#frames.pin(this.#owner, span, () => objectBacking(this.#memory, write), pfns, at);
  }
}

interface OwnedRun {
  readonly vma: Vma;
  readonly index: number;
  readonly count: number;
  readonly owner: PageOwner;
  readonly ownerIndex: number;
}

/** That it is alive is asked when something is wrong, for to ask costs as much as a copy; a refusal is heard then. */
function whileAlive(
  memory: ProcessMemory,
  move: () => Status<'EFAULT'>,
): Status<'EFAULT'> | 'dead' {
  if (!silently(move)) return undefined;
  return memory.alive ? move() : 'dead';
}

function va(index: number): { va: string } {
  return { va: '0x' + (BigInt(index) << 12n).toString(16) };
}

function byteAddress(index: number, offset: number): bigint {
  return (BigInt(index) << 12n) + BigInt(offset);
}

function followsAddress({ backing }: PinnedPage): boolean {
  return backing.delta !== undefined;
}

function objectBacking(memory: ObjectMemory, write: boolean): Backing {
  return {
    read: (index, offset, into) => memory.read(byteAddress(index, offset), into),
    ...(write && {
      write: (index, offset, from) => memory.write(byteAddress(index, offset), from),
    }),
    many: memory.many && { memory: memory.many, base: 0 },
    drop: () => undefined,
  };
}

function heldBacking(
  held: HeldPages,
  first: number,
  { count, write }: { count: number; write: boolean },
): Backing {
  let live = count;
  return {
    read: (index, offset, into) => held.read(index - first, offset, into),
    ...(write && { write: (index, offset, from) => held.write(index - first, offset, from) }),
    many: held.many && { ...held.many, base: held.many.base - first * PAGE_SIZE },
    drop: () => {
      if (--live === 0) held.release();
    },
  };
}
