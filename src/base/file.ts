/**
 * Open file descriptions and what a character device does with them (struct file, struct file_operations).
 *
 * A handler may return a WaitQueue instead of an answer: the caller sleeps and the handler runs again.
 */
import type { Remark } from './events.ts';
import type { BarMemory, PageRange } from './bar-memory.ts';
import { bugOn } from './bug.ts';
import type { Result, Status } from './errno.ts';
import type { Outcome, WaitQueue } from './wait-queue.ts';
import type { PageSource, Task } from './task.ts';

export const POLLIN = 0x001;
export const POLLOUT = 0x004;
export const POLLRDNORM = 0x040;

/** What a driver offers for one kind of file. Absent members give the kernel's default errno (ENOTTY, EINVAL, ENODEV). */
export interface FileOps {
  /** cmd is already cut to 32 bits; arg is the raw argument. The result is the return value of ioctl(2). */
  ioctl?(file: OpenFile, task: Task, cmd: number, arg: bigint): Outcome<Result<number>>;
  /** `offset` is undefined for read(2) on a stream; else the file position or pread's offset. */
  read?(
    file: OpenFile,
    task: Task,
    into: UserBuffer,
    offset: bigint | undefined,
  ): Outcome<Result<number>>;
  write?(
    file: OpenFile,
    task: Task,
    from: UserBuffer,
    offset: bigint | undefined,
  ): Outcome<Result<number>>;
  mmap?(file: OpenFile, task: Task, request: MmapRequest): Result<Mapping>;
  /** Ready events now; `wakes` is woken when that may have changed. */
  poll?(file: OpenFile): { events: number; wakes?: WaitQueue };
  /** The last reference is gone. */
  release?(file: OpenFile): void;
  /** Extra lines of /proc/PID/fdinfo/FD. */
  fdinfo?(file: OpenFile): string;
  /** True when read and write on this file must reach the handlers (event queues); a plain control file says no. */
  readonly stream?: boolean;
}

/** The program's buffer of a read(2) or write(2). What could not be copied was not read: the handler hears of it. */
export interface UserBuffer {
  readonly length: number;
  /** copy_to_user(buf + at, from) */
  copyTo(at: number, from: Uint8Array): Status<'EFAULT'>;
  /** copy_from_user(into, buf + at) */
  copyFrom(at: number, into: Uint8Array): Status<'EFAULT'>;
}

/** A buffer the kernel layers can reach themselves: that of a program in this process. */
export function plainBuffer(bytes: Uint8Array): UserBuffer {
  const part = (at: number, length: number): Uint8Array => {
    bugOn(at + length > bytes.length, 'a read or write beyond the count it was given');
    return bytes.subarray(at, at + length);
  };
  return {
    length: bytes.length,
    copyTo(at, from) {
      part(at, from.length).set(from);
      return undefined;
    },
    copyFrom(at, into) {
      into.set(part(at, into.length));
      return undefined;
    },
  };
}

/** What a program asks of mmap(2) on a file: `offset` and `length` in bytes, and the protections. */
export interface MmapRequest {
  readonly offset: bigint;
  readonly length: bigint;
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  readonly shared: boolean;
}

/** What an mmap shows: registers whose loads and stores are calls, or plain pages. */
export type Mapping =
  | {
      readonly kind: 'mmio';
      readonly window: MmioWindow;
      readonly start: number;
      readonly length: number;
    }
  | {
      readonly kind: 'pages';
      readonly pages: SharedPages;
      readonly start: number;
      open(): void;
      close(): void;
    };

/**
 * Doorbells of a device: registers of 4 bytes, alone in whole pages of a BAR, of which only the last value counts. A store
 * of the value that one has says nothing new.
 */
export interface Doorbells {
  /** Of the first, in its BAR: a multiple of 4096. Bytes. */
  readonly start: number;
  readonly count: number;
  /** What was last stored there, as far as it means anything now; 0: nothing. */
  value(index: number): number;
  /** May a store to it give others a new meaning, so that their values are no longer what was stored last? */
  isControl(index: number): boolean;
}

/** Pages of a window, and what they hold. */
export interface Lends {
  readonly memory: BarMemory;
  /** For loads and stores. */
  readonly plain: readonly PageRange[];
  /** For loads, while nobody wants to hear of them; each store is a call. */
  readonly shadow: readonly PageRange[];
  readonly isHeard: boolean;
}

/** Registers of a device: widths 1, 2, 4, 8. Offsets are bytes from the start of the window. */
export interface MmioWindow {
  /** For traces: '0000:00:04.0 BAR 0'. */
  readonly name: string;
  readonly length: number;
  /** Physical page frame number of the first page, for peer-to-peer mappings. */
  readonly pfn: number;
  /** False now: a touch is a SIGBUS (memory decode is off, the device sleeps). Absent: always accessible. */
  readonly accessible?: () => boolean;
  /** Why a touch is a SIGBUS now; its facts name the device. Undefined: it is none. */
  readonly obstacle?: () => Remark | undefined;
  /** Those in it that may be memory to a program while it uses them much. */
  readonly doorbells?: Doorbells | undefined;
  /** Pages of it that programs may have as memory, where there is a way to; the rest are calls. Default none. */
  readonly lends?: Lends;
  /** `width` is 1, 2, 4 or 8 bytes. */
  load(offset: number, width: number): bigint;
  /** As for a load; or 64, aligned, in one transaction (MOVDIR64B). Values are little-endian. */
  store(offset: number, width: number, value: bigint): void;
}

/** Pages shared between the kernel and a program's mmap. */
export interface SharedPages {
  readonly length: number;
  read(offset: number, into: Uint8Array): void;
  write(offset: number, from: Uint8Array): void;
  free(): void;
}

/** An open file of ours. Counted: every fd, every kernel-side holder; `release` runs when the last goes. */
export class OpenFile {
  /** Shown by readlink of /proc/PID/fd/N: '/dev/iommu', 'anon_inode:[vfio-device]'. */
  readonly name: string;
  readonly ops: FileOps;
  /** private_data: only the ops that made it look inside. */
  readonly priv: object;
  /** Name of the device it is the file of, '0000:00:04.0'. */
  readonly device: string | undefined;
  #readable = true;
  #writable = true;
  nonblocking = false;
  /** File position of plain read(2) and write(2). */
  position = 0n;
  #refs = 1;

  constructor(name: string, ops: FileOps, priv: object, device?: string) {
    this.name = name;
    this.ops = ops;
    this.priv = priv;
    this.device = device;
  }
  /** Made by open(2) of a node: what for. */
  openedFor(mode: { read: boolean; write: boolean; nonblocking: boolean }): void {
    this.#readable = mode.read;
    this.#writable = mode.write;
    this.nonblocking = mode.nonblocking;
  }
  /** FMODE_READ */
  get readable(): boolean {
    return this.#readable;
  }
  /** FMODE_WRITE */
  get writable(): boolean {
    return this.#writable;
  }
  get released(): boolean {
    return this.#refs === 0;
  }
  get(): this {
    bugOn(this.#refs === 0, `${this.name}: reference taken after release`);
    this.#refs++;
    return this;
  }
  put(): void {
    bugOn(this.#refs === 0, `${this.name}: released twice`);
    if (--this.#refs === 0) this.ops.release?.(this);
  }
}

/** A file of the host: memfd, hugetlbfs, a regular file, a pipe. Known only by what can be pinned of it. */
export class ForeignFile {
  /** dev:ino: equal for the same inode. */
  readonly inode: string;
  /** Bytes, asked afresh each time. */
  readonly size: () => bigint;
  /** Present for shmem, memfd and hugetlbfs only. */
  readonly pages: PageSource | undefined;
  /** The descriptor was opened for writing. */
  readonly writable: boolean;
  constructor(inode: string, size: () => bigint, pages?: PageSource, writable = true) {
    this.inode = inode;
    this.size = size;
    this.pages = pages;
    this.writable = writable;
  }
}
