/**
 * A small computer for tests of iommufd: programs with pages of their own, physical memory that counts pins, and mock
 * IOMMU hardware. Every page has a frame number, and every pin is counted, so that a leak shows.
 */
import { Bug } from '../../src/base/bug.ts';
import {
  EBADF,
  EFAULT,
  EINVAL,
  EMFILE,
  isErrno,
  type Errno,
  type Result,
  type Status,
} from '../../src/base/errno.ts';
import { ForeignFile, OpenFile, type SharedPages } from '../../src/base/file.ts';
import { KernelEnv } from '../../src/base/kernel-env.ts';
import type { KernelTrait } from '../../src/base/kernel-traits.ts';
import type { PhysicalMemory } from '../../src/base/physical-memory.ts';
import { UserAccounts, type Eventfd, type Mm, type Task } from '../../src/base/task.ts';
import { U64_MAX } from '../../src/base/u64.ts';
import { WaitQueue } from '../../src/base/wait-queue.ts';
import { IommuCore } from '../../src/core/contract/iommu-core.ts';
import { MachineSelftest } from '../../src/machine/kernel/selftest-hardware.ts';
import { openIommufd } from '../../src/iommufd/main.ts';
import { IommufdSubsystem } from '../../src/iommufd/subsystem.ts';
import { Device } from '../../src/core/contract/device.ts';
import { Ram } from '../../src/pt/ram.ts';
import type { Fields, Struct, View } from '../../src/base/struct.ts';

const FIRST_PFN = 0x10_0000;

export class Frames implements PhysicalMemory {
  /** Of frames that were touched; the others are zero. */
  readonly #bytes = new Map<number, Uint8Array>();
  /** Frames with a pin. */
  readonly count = new Map<number, number>();
  readonly compound = new Set<number>();
  readonly #holes = new Set<number>();
  #next = FIRST_PFN;
  totalPins = 0;

  fresh(pages: number, alignPages = 1): number {
    const first = Math.ceil(this.#next / alignPages) * alignPages;
    this.#leaveHole(first - this.#next);
    this.#next = first + pages;
    return first;
  }
  /** Leave a hole in the frame numbers. */
  skip(): void {
    this.#leaveHole(7);
  }
  read(pfn: number, offset: number, into: Uint8Array): Status<'EFAULT'> {
    if (!this.#exists(pfn)) return EFAULT;
    const page = this.#bytes.get(pfn);
    if (page) into.set(page.subarray(offset, offset + into.length));
    else into.fill(0);
    return undefined;
  }
  write(pfn: number, offset: number, from: Uint8Array): Status<'EFAULT'> {
    if (!this.#exists(pfn)) return EFAULT;
    let page = this.#bytes.get(pfn);
    if (!page) this.#bytes.set(pfn, (page = new Uint8Array(4096)));
    page.set(from, offset);
    return undefined;
  }
  /** What a page is when it was made of another one. */
  copy(from: number, to: number): void {
    const page = this.#bytes.get(from);
    if (page) this.#bytes.set(to, page.slice());
  }
  #leaveHole(pages: number): void {
    for (let n = 0; n < pages; n++) this.#holes.add(this.#next + n);
    this.#next += pages;
  }
  #exists(pfn: number): boolean {
    return pfn >= FIRST_PFN && pfn < this.#next && !this.#holes.has(pfn);
  }
  addPin(pfn: number, count: number): void {
    for (let n = 0; n < count; n++) this.count.set(pfn + n, this.pins(pfn + n) + 1);
    this.totalPins += count;
  }
  unpin(pfn: number, count: number): void {
    for (let n = 0; n < count; n++) {
      const pins = this.pins(pfn + n);
      if (pins === 0) throw new Bug(`frame ${pfn + n} unpinned too often`);
      if (pins === 1) this.count.delete(pfn + n);
      else this.count.set(pfn + n, pins - 1);
    }
    this.totalPins -= count;
  }
  pins(pfn: number): number {
    return this.count.get(pfn) ?? 0;
  }
  isCompound(pfn: number): boolean {
    return this.compound.has(pfn);
  }
}

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
  failing: ((point: string) => boolean) | undefined;
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
  shouldFail(point: string): boolean {
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

/** How the caller gives its struct, where not as it should. */
export interface CallFlaws {
  /** The size it claims. */
  readonly size?: number;
  /** One bit turned over, before `size` is set. */
  readonly flip?: { readonly word: number; readonly bit: number };
  /** At the end of its page, over that end, nowhere, or where it cannot be written. */
  readonly place?: 'edge' | 'torn' | 'nowhere' | 'read-only';
  /** What lies behind the struct. */
  readonly tail?: number;
}

const TRAITS: readonly KernelTrait[] = ['iommufd-noiommu', 'iommufd-selftest', 'test-dev'];

export class World {
  readonly env: KernelEnv;
  readonly ram: Ram;
  readonly core: IommuCore;
  readonly frames = new Frames();
  readonly accounts = new UserAccounts();
  readonly subsystem: IommufdSubsystem;
  sharedPagesMade = 0;
  sharedPagesFreed = 0;
  #devices = 0;
  #inodes = 0;

  constructor(
    given: {
      readonly ramBytes?: number;
      readonly traits?: readonly KernelTrait[];
      readonly env?: KernelEnv;
    } = {},
  ) {
    this.env = given.env ?? new KernelEnv([...TRAITS, ...(given.traits ?? [])]);
    this.ram = new Ram(given.ramBytes ?? 1 << 26);
    this.core = new IommuCore(this.env, this.ram);
    this.subsystem = new IommufdSubsystem({
      core: this.core,
      memory: this.frames,
      accounts: this.accounts,
      newSharedPages: (length) => this.#newSharedPages(length),
      selftest: new MachineSelftest(this.core),
    });
  }
  task(): TestTask {
    return new TestTask(this.mm());
  }
  /** The memory of a program that has just started. */
  mm(): TestMm {
    const mm = new TestMm(this.frames);
    mm.map(ARG, 1);
    mm.mapReadOnly(ARG_READ_ONLY, ARG, 1);
    mm.map(ARRAY, 4);
    mm.mapReadOnly(ARRAY_READ_ONLY, ARRAY, 1);
    mm.map(BUFFER, BUFFER_PAGES, { alignPages: 512 });
    mm.map(SHARED, SHARED_PAGES);
    return mm;
  }
  /** A memfd of so many pages. */
  memfd(pages: number): ForeignFile {
    const first = this.frames.fresh(pages);
    const { frames } = this;
    return new ForeignFile(`memfd:${++this.#inodes}`, () => BigInt(pages) << 12n, {
      pin(index, count, _write, pfns, at) {
        if (index + count > pages) return EINVAL;
        for (let n = 0; n < count; n++) pfns[at + n] = first + index + n;
        frames.addPin(first + index, count);
        return undefined;
      },
    });
  }
  open(task: TestTask = this.task()): Iommufd {
    return new Iommufd(this, task, openIommufd(this.subsystem));
  }
  /** A device no IOMMU driver serves. */
  noiommuDevice(): Device {
    return new Device(this.core, { name: `noiommu${++this.#devices}`, bus: 'platform' });
  }
  #newSharedPages(length: number): SharedPages {
    this.sharedPagesMade++;
    const bytes = new Uint8Array(length);
    return {
      length,
      read: (offset, into) => into.set(bytes.subarray(offset, offset + into.length)),
      write: (offset, from) => bytes.set(from, offset),
      free: () => this.sharedPagesFreed++,
    };
  }
}

type Values<F extends Fields> = { [K in keyof F]?: View<F>[K & keyof View<F>] };

/** One open of /dev/iommu by one task. */
export class Iommufd {
  readonly world: World;
  task: TestTask;
  readonly file: OpenFile;
  /** How the next struct is given. */
  flaws: CallFlaws = {};
  constructor(world: World, task: TestTask, file: OpenFile) {
    this.world = world;
    this.task = task;
    this.file = file;
  }
  /** Raw ioctl. */
  ioctl(cmd: number, arg: bigint): Result<number> {
    const result = this.file.ops.ioctl!(this.file, this.task, cmd, arg);
    if (result instanceof WaitQueue) throw new Bug('an iommufd ioctl never sleeps');
    return result;
  }
  /** A command with its struct: the errno, or the struct after the call. */
  call<F extends Fields>(cmd: number, layout: Struct<F>, values: Values<F>): View<F> | Errno {
    const view = layout.view(new Uint8Array(layout.size));
    const fields = view as unknown as Record<string, unknown>;
    // The first field says how long the struct is.
    for (const name of ['size', 'argsz'])
      if (layout.offsets[name] === 0) fields[name] = layout.size;
    for (const [name, value] of Object.entries(values)) fields[name] = value;
    spoil(view.bytes, this.flaws);
    const arg = this.#put(view.bytes);
    const rc = this.ioctl(cmd, arg);
    void this.task.mem.read(arg, view.bytes);
    return isErrno(rc) ? rc : view;
  }
  /** Write the struct where the call finds it. */
  #put(bytes: Uint8Array): bigint {
    const { place, tail } = this.flaws;
    const end = ARG + 4096n;
    if (place === 'nowhere') return end;
    let arg = ARG;
    if (place === 'edge') arg = end - BigInt(bytes.length);
    if (place === 'torn') arg = end - BigInt(bytes.length) + 4n;
    const fits = place === 'torn' ? bytes.subarray(0, bytes.length - 4) : bytes;
    void this.task.mem.write(arg, fits);
    if (tail !== undefined)
      void this.task.mem.write(arg + BigInt(bytes.length), Uint8Array.of(tail));
    return place === 'read-only' ? ARG_READ_ONLY : arg;
  }
  /** The same, for calls that must work. */
  must<F extends Fields>(cmd: number, layout: Struct<F>, values: Values<F>): View<F> {
    const result = this.call(cmd, layout, values);
    if (isErrno(result)) throw new Error(`${layout.cName}: ${result.name}`);
    return result;
  }
  close(): void {
    this.file.put();
  }
}

function spoil(bytes: Uint8Array, { size, flip }: CallFlaws): void {
  const words = new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
  if (flip) words[flip.word % words.length]! ^= 1 << flip.bit;
  if (size !== undefined) words[0] = size;
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
