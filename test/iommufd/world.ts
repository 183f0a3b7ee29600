/**
 * A small computer for tests of iommufd: programs with pages of their own, physical memory that counts pins, and mock
 * IOMMU hardware. Every page has a frame number, and every pin is counted, so that a leak shows.
 */
import { Bug } from '../../src/base/bug.ts';
import {
  EBADF,
  EFAULT,
  EINVAL,
  isErrno,
  type Errno,
  type Result,
  type Status,
} from '../../src/base/errno.ts';
import { ForeignFile, OpenFile, type SharedPages } from '../../src/base/file.ts';
import { KernelEnv } from '../../src/base/kernel-env.ts';
import type { PhysicalMemory } from '../../src/base/physical-memory.ts';
import { UserAccounts, type Eventfd, type Mm, type Task } from '../../src/base/task.ts';
import { U64_MAX } from '../../src/base/u64.ts';
import { WaitQueue } from '../../src/base/wait-queue.ts';
import { IommuCore } from '../../src/core/iommu-core.ts';
import { MachineSelftest } from '../../src/machine/selftest-hardware.ts';
import { openIommufd } from '../../src/iommufd/main.ts';
import { IommufdSubsystem } from '../../src/iommufd/subsystem.ts';
import { Device } from '../../src/core/device.ts';
import { Ram } from '../../src/pt/ram.ts';
import type { Fields, Struct, View } from '../../src/base/struct.ts';

const FIRST_PFN = 0x10_0000;

export class Frames implements PhysicalMemory {
  readonly bytes = new Map<number, Uint8Array>();
  readonly count = new Map<number, number>();
  readonly compound = new Set<number>();
  #next = FIRST_PFN;

  fresh(pages: number, alignPages = 1): number {
    const first = Math.ceil(this.#next / alignPages) * alignPages;
    this.#next = first + pages;
    for (let n = 0; n < pages; n++) this.bytes.set(first + n, new Uint8Array(4096));
    return first;
  }
  /** Leave a hole in the frame numbers. */
  skip(): void {
    this.#next += 7;
  }
  read(pfn: number, offset: number, into: Uint8Array): Status<'EFAULT'> {
    const page = this.bytes.get(pfn);
    if (!page) return EFAULT;
    into.set(page.subarray(offset, offset + into.length));
    return undefined;
  }
  write(pfn: number, offset: number, from: Uint8Array): Status<'EFAULT'> {
    const page = this.bytes.get(pfn);
    if (!page) return EFAULT;
    page.set(from, offset);
    return undefined;
  }
  addPin(pfn: number, count: number): void {
    for (let n = 0; n < count; n++) this.count.set(pfn + n, this.pins(pfn + n) + 1);
  }
  unpin(pfn: number, count: number): void {
    for (let n = 0; n < count; n++) {
      if (this.pins(pfn + n) === 0) throw new Bug(`frame ${pfn + n} unpinned too often`);
      this.count.set(pfn + n, this.pins(pfn + n) - 1);
    }
  }
  pins(pfn: number): number {
    return this.count.get(pfn) ?? 0;
  }
  isCompound(pfn: number): boolean {
    return this.compound.has(pfn);
  }
  get totalPins(): number {
    return [...this.count.values()].reduce((sum, n) => sum + n, 0);
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
  readonly mm: TestMm;
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
  installFile(file: OpenFile | ForeignFile): number {
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
  shouldFail(point: string): boolean {
    return this.failing?.(point) ?? false;
  }
}

/** Where every test process has its struct, its arrays and its buffer. */
export const ARG = 0x10_0000n;
export const ARRAY = 0x20_0000n;
export const BUFFER = 0x4000_0000n;
export const BUFFER_PAGES = 16;

export class World {
  readonly env = new KernelEnv(['iommufd-noiommu', 'iommufd-selftest', 'test-dev']);
  readonly ram = new Ram(1 << 26);
  readonly core = new IommuCore(this.env, this.ram);
  readonly frames = new Frames();
  readonly accounts = new UserAccounts();
  readonly subsystem: IommufdSubsystem;
  sharedPagesFreed = 0;
  #devices = 0;

  constructor() {
    this.subsystem = new IommufdSubsystem({
      core: this.core,
      memory: this.frames,
      accounts: this.accounts,
      newSharedPages: (length) => this.#newSharedPages(length),
      selftest: new MachineSelftest(this.core),
    });
  }
  task(): TestTask {
    const mm = new TestMm(this.frames);
    mm.map(ARG, 1);
    mm.map(ARRAY, 4);
    mm.map(BUFFER, BUFFER_PAGES, { alignPages: 512 });
    return new TestTask(mm);
  }
  open(task: TestTask = this.task()): Iommufd {
    return new Iommufd(this, task, openIommufd(this.subsystem));
  }
  /** A device no IOMMU driver serves. */
  noiommuDevice(): Device {
    return new Device(this.core, { name: `noiommu${++this.#devices}`, bus: 'platform' });
  }
  #newSharedPages(length: number): SharedPages {
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
  /** A command with its struct: the errno, or the struct after the call. `size` overrides what the caller claims. */
  call<F extends Fields>(cmd: number, layout: Struct<F>, values: Values<F>): View<F> | Errno {
    const view = layout.view(new Uint8Array(layout.size));
    const fields = view as unknown as Record<string, unknown>;
    if ('size' in layout.offsets) fields['size'] = layout.size;
    for (const [name, value] of Object.entries(values)) fields[name] = value;
    void this.task.mem.write(ARG, view.bytes);
    const rc = this.ioctl(cmd, ARG);
    void this.task.mem.read(ARG, view.bytes);
    return isErrno(rc) ? rc : view;
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
