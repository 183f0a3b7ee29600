/** Programs of a test's computer: an address space of pages, a task with its files, and where its memory lies. */
import { EBADF, EFAULT, EINVAL, EMFILE, type Result, type Status } from '../../base/errno.ts';
import type { FailPoint } from '../../base/fail-points.ts';
import { ForeignFile, OpenFile } from '../../base/file.ts';
import type { Eventfd, Mm, Task } from '../../base/task.ts';
import { U64_MAX } from '../../base/u64.ts';
import type { Frames } from './frames.ts';

let mmIds = 0;

/** An address space: a table of pages. */
export class TestMm implements Mm {
  readonly id = ++mmIds;
  alive = true;
  pinnedVm = 0;
  lockedVm = 0;
  readonly pages = new Map<number, { pfn: number; writable: boolean }>();
  readonly #frames: Frames;
  constructor(frames: Frames) {
    this.#frames = frames;
  }
  /** Map fresh pages at a page-aligned address. */
  map(
    va: bigint,
    pages: number,
    options: { writable?: boolean; alignPages?: number } = {},
  ): bigint {
    const first = this.#frames.fresh(pages, options.alignPages);
    const index = Number(va >> 12n);
    for (let n = 0; n < pages; n++) {
      this.pages.set(index + n, { pfn: first + n, writable: options.writable ?? true });
    }
    return va;
  }
  unmap(va: bigint, pages: number): void {
    for (let n = 0; n < pages; n++) this.pages.delete(Number(va >> 12n) + n);
  }
  /** The pages at one address read-only at another, shared with children as both. */
  mapReadOnly(va: bigint, of: bigint, pages: number): void {
    for (let n = 0; n < pages; n++) {
      const { pfn } = this.pages.get(Number(of >> 12n) + n)!;
      this.pages.set(Number(va >> 12n) + n, { pfn, writable: false });
    }
  }
  /** A copy, page by page; of `shared` indexes the same pages. */
  fork(isShared: (index: number) => boolean): TestMm {
    const child = new TestMm(this.#frames);
    const copies = new Map<number, number>();
    for (const [index, { pfn, writable }] of this.pages) {
      let own = isShared(index) ? pfn : copies.get(pfn);
      if (own === undefined) {
        own = this.#frames.fresh(1);
        this.#frames.copy(pfn, own);
        copies.set(pfn, own);
      }
      child.pages.set(index, { pfn: own, writable });
    }
    return child;
  }
  pfnAt(va: bigint): number {
    return this.pages.get(Number(va >> 12n))!.pfn;
  }
  lookup(index: number): Result<number, 'EFAULT'> {
    return this.pages.get(index)?.pfn ?? EFAULT;
  }
  lookupIo(): Result<number, 'EFAULT'> {
    return EFAULT;
  }
  pin(index: number, count: number, write: boolean, pfns: Float64Array, at: number) {
    for (let n = 0; n < count; n++) {
      const page = this.pages.get(index + n);
      if (!page || (write && !page.writable)) return EFAULT;
    }
    for (let n = 0; n < count; n++) {
      const { pfn } = this.pages.get(index + n)!;
      this.#frames.addPin(pfn, 1);
      pfns[at + n] = pfn;
    }
    return undefined;
  }
  readonly mem = {
    read: (addr: bigint, into: Uint8Array) => this.#copy(addr, into, false),
    write: (addr: bigint, from: Uint8Array) => this.#copy(addr, from, true),
  };
  #copy(addr: bigint, bytes: Uint8Array, write: boolean): Status<'EFAULT'> {
    for (let done = 0; done < bytes.length;) {
      const at = addr + BigInt(done);
      const page = this.pages.get(Number(at >> 12n));
      if (!page || (write && !page.writable)) return EFAULT;
      const offset = Number(at & 0xfffn);
      const part = bytes.subarray(done, done + Math.min(bytes.length - done, 4096 - offset));
      if (write) void this.#frames.write(page.pfn, offset, part);
      else void this.#frames.read(page.pfn, offset, part);
      done += part.length;
    }
    return undefined;
  }
}

let pids = 100;

/** A process. */
export class TestTask implements Task {
  readonly pid = ++pids;
  readonly tid = this.pid;
  uid = 1000;
  mm: TestMm;
  readonly caps = new Set<number>([14, 17, 21, 24]);
  rlimitMemlock = U64_MAX;
  readonly fds = new Map<number, OpenFile | ForeignFile>();
  /** Which points fail in its calls; 'fd': it has no free descriptor. */
  failing: ((point: FailPoint | 'fd') => boolean) | undefined;
  constructor(mm: TestMm) {
    this.mm = mm;
  }
  get mem() {
    return this.mm.mem;
  }
  capable(cap: number): boolean {
    return this.caps.has(cap);
  }
  getFile(fd: number): Result<OpenFile | ForeignFile, 'EBADF'> {
    return this.fds.get(fd) ?? EBADF;
  }
  installFile(file: OpenFile | ForeignFile): number;
  installFile(file: OpenFile | ForeignFile, cloexec: boolean): Result<number, 'EMFILE'>;
  installFile(file: OpenFile | ForeignFile, cloexec?: boolean): Result<number, 'EMFILE'> {
    // The calls of a kernel, unlike those of a test, can fail.
    if (cloexec !== undefined && this.shouldFail('fd')) return EMFILE;
    let fd = 3;
    while (this.fds.has(fd)) fd++;
    this.fds.set(fd, file);
    return fd;
  }
  close(fd: number): void {
    const file = this.fds.get(fd);
    this.fds.delete(fd);
    if (file instanceof OpenFile) file.put();
  }
  getEventfd(): Result<Eventfd, 'EBADF' | 'EINVAL'> {
    return EINVAL;
  }
  /** A child with its own memory and the same open files. */
  fork(): TestTask {
    const child = new TestTask(this.mm.fork(isSharedPage));
    child.uid = this.uid;
    child.rlimitMemlock = this.rlimitMemlock;
    child.caps.clear();
    for (const cap of this.caps) child.caps.add(cap);
    for (const [fd, file] of this.fds) {
      if (file instanceof OpenFile) file.get();
      child.fds.set(fd, file);
    }
    child.failing = this.failing;
    return child;
  }
  /** Another program in the same process: new memory, the same files. */
  exec(mm: TestMm): void {
    this.mm.alive = false;
    this.mm = mm;
  }
  exit(): void {
    this.mm.alive = false;
    for (const fd of [...this.fds.keys()]) this.close(fd);
  }
  shouldFail(point: FailPoint | 'fd'): boolean {
    return this.failing?.(point) ?? false;
  }
}

/** Where every test process has its struct, its arrays and its buffer. */
export const ARG = 0x10_0000n;
/** The page of the struct again, read-only: answers cannot be written. */
export const ARG_READ_ONLY = 0x18_0000n;
export const ARRAY = 0x20_0000n;
export const ARRAY_READ_ONLY = 0x28_0000n;
export const BUFFER = 0x4000_0000n;
export const BUFFER_PAGES = 16;
/** Memory that a child shares with its parent. */
export const SHARED = 0x5000_0000n;
export const SHARED_PAGES = 4;

function isSharedPage(index: number): boolean {
  const first = Number(SHARED >> 12n);
  return index >= first && index < first + SHARED_PAGES;
}

/** Bytes at an address of a task. */
export function peek(task: TestTask, addr: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const rc = task.mem.read(addr, bytes);
  if (rc) throw new Error(`peek: ${rc.name}`);
  return bytes;
}
export function poke(task: TestTask, addr: bigint, bytes: Uint8Array): void {
  const rc = task.mem.write(addr, bytes);
  if (rc) throw new Error(`poke: ${rc.name}`);
}
