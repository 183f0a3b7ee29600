/**
 * Address spaces and files as sources of pinned pages (core.md 10, vfio.md 7.2): an Mm over a ProcessMemory.
 *
 * Private memory is named by (address space, page), shared memory and files by (object, page): two programs that
 * map one memfd pin the same frames.
 */
import { EFAULT, EINVAL, ENOMEM, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Mm, PageSource, UserMemory } from '../base/task.ts';
import { PAGE_SIZE } from '../base/u64.ts';
import { newPageOwner, type MachineMemory, type PageOwner } from './physical-memory.ts';
import type { Reach } from './pin-region.ts';
import type { HeldPages, ObjectMemory, ProcessMemory, Vma } from './process.ts';

/** The objects several address spaces and files may show, by their identity. */
export class ObjectTable {
  readonly #owners = new Map<string, PageOwner>();
  owner(object: string): PageOwner {
    let owner = this.#owners.get(object);
    if (!owner) this.#owners.set(object, (owner = newPageOwner(`object ${object}`, false)));
    return owner;
  }
}

export class MachineMm implements Mm {
  readonly id: number;
  readonly mem: UserMemory;
  pinnedVm = 0;
  lockedVm = 0;
  readonly #memory: ProcessMemory;
  readonly #frames: MachineMemory;
  readonly #objects: ObjectTable;
  readonly #private: PageOwner;
  #exited = false;
  /** The way through the address space used last: one serves all private pages. */
  #reach: { readonly delta: number; readonly reach: Reach } | undefined;

  constructor(
    id: number,
    parts: { memory: ProcessMemory; frames: MachineMemory; objects: ObjectTable },
  ) {
    this.id = id;
    this.mem = parts.memory;
    this.#memory = parts.memory;
    this.#frames = parts.frames;
    this.#objects = parts.objects;
    this.#private = newPageOwner(`address space ${id}`, true);
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

  pin(
    index: number,
    count: number,
    write: boolean,
    pfns: Float64Array,
    at: number,
  ): Status<'EFAULT' | 'ENOMEM' | 'EINVAL'> {
    for (let done = 0; done < count;) {
      const span = this.#span(index + done, count - done, write);
      const rc = isErrno(span) ? span : this.#pinSpan(span, write, pfns, at + done);
      if (rc) {
        for (let n = 0; n < done; n++) this.#frames.unpin(pfns[at + n]!, 1);
        return rc;
      }
      done += (span as Span).count;
    }
    return undefined;
  }

  lookup(index: number): Result<number, 'EFAULT'> {
    const span = this.#span(index, 1, false);
    if (isErrno(span)) return span;
    const pfn = this.#frames.nameOf(span.owner, span.ownerIndex);
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
  #span(index: number, count: number, write: boolean): Result<Span, 'EFAULT'> {
    if (!this.alive) return refuse(EFAULT, 'the address space is gone', { mm: this.id });
    const vma = this.#vma(index);
    if (!vma) return refuse(EFAULT, 'nothing is mapped at this address', va(index));
    if (vma.io) return refuse(EFAULT, 'device registers cannot be pinned', va(index));
    if (!vma.readable && !vma.writable) {
      return refuse(EFAULT, 'the mapping allows no access', va(index));
    }
    if (write && !vma.writable) return refuse(EFAULT, 'the mapping is read-only', va(index));
    const inObject = vma.objectOffset + (index - vma.start);
    const backed = this.#pagesOfFile(vma) - inObject;
    if (backed <= 0) return refuse(EFAULT, 'the page is beyond the end of the file', va(index));
    const named = vma.shared && vma.object !== undefined;
    return {
      vma,
      count: Math.min(count, vma.end - index, backed),
      index,
      owner: named ? this.#objects.owner(vma.object) : this.#private,
      ownerIndex: named ? inObject : index,
    };
  }

  #pagesOfFile(vma: Vma): number {
    if (vma.object === undefined || !this.#memory.objectSize) return Infinity;
    return Math.ceil(Number(this.#memory.objectSize(vma.object)) / PAGE_SIZE);
  }

  #pinSpan(span: Span, write: boolean, pfns: Float64Array, at: number): Status<'ENOMEM'> {
    const delta = span.index - span.ownerIndex;
    return this.#frames.pin(
      span.owner,
      { index: span.ownerIndex, count: span.count, huge: span.vma.huge },
      (first, n) => {
        const held = this.#memory.hold?.(first + delta, n, write);
        return held ? heldReach(held, first, n) : this.#throughSpace(delta);
      },
      pfns,
      at,
    );
  }
  #throughSpace(delta: number): Reach {
    if (this.#reach?.delta !== delta) {
      this.#reach = { delta, reach: addressSpaceReach(this.#memory, delta) };
    }
    return this.#reach.reach;
  }
}

/** A file's pages (memfd, hugetlbfs, shmem): the same frames as mappings of it. */
export class FilePages implements PageSource {
  readonly #memory: ObjectMemory;
  readonly #frames: MachineMemory;
  readonly #owner: PageOwner;

  constructor(parts: { memory: ObjectMemory; frames: MachineMemory; objects: ObjectTable }) {
    this.#memory = parts.memory;
    this.#frames = parts.frames;
    this.#owner = parts.objects.owner(parts.memory.object);
  }
  pin(
    index: number,
    count: number,
    _write: boolean,
    pfns: Float64Array,
    at: number,
  ): Status<'EFAULT' | 'ENOMEM' | 'EINVAL'> {
    const pages = Math.ceil(Number(this.#memory.size()) / PAGE_SIZE);
    if (index + count > pages) {
      return refuse(EINVAL, 'the file is shorter than the range', { pages, wanted: index + count });
    }
    const span = { index, count, huge: this.#memory.huge ?? false };
    return this.#frames.pin(this.#owner, span, () => fileReach(this.#memory), pfns, at);
  }
}

interface Span {
  readonly vma: Vma;
  readonly index: number;
  readonly count: number;
  readonly owner: PageOwner;
  readonly ownerIndex: number;
}

function va(index: number): { va: string } {
  return { va: '0x' + (BigInt(index) << 12n).toString(16) };
}

function byteAddress(index: number, offset: number): bigint {
  return (BigInt(index) << 12n) + BigInt(offset);
}

function addressSpaceReach(memory: ProcessMemory, delta: number): Reach {
  return {
    read: (index, offset, into) =>
      memory.alive && memory.read(byteAddress(index + delta, offset), into) === undefined,
    write: (index, offset, from) =>
      memory.alive && memory.write(byteAddress(index + delta, offset), from) === undefined,
    drop: () => undefined,
  };
}

function fileReach(memory: ObjectMemory): Reach {
  return {
    read: (index, offset, into) => memory.read(byteAddress(index, offset), into) === undefined,
    write: (index, offset, from) => memory.write(byteAddress(index, offset), from) === undefined,
    drop: () => undefined,
  };
}

function heldReach(held: HeldPages, first: number, count: number): Reach {
  let live = count;
  return {
    read: (index, offset, into) => held.read(index - first, offset, into),
    write: (index, offset, from) => held.write(index - first, offset, from),
    drop: () => {
      if (--live === 0) held.release();
    },
  };
}
