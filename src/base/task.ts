/**
 * The calling program as the kernel layers see it: its memory, its pinned pages, its files and its rights.
 *
 * machine/ implements these for in-process programs, host/ for real ones. An address from a program is a claim,
 * proved only by UserMemory (copy) or Mm (pin).
 */
import type { Result, Status } from './errno.ts';
import type { OpenFile, ForeignFile } from './file.ts';

export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FOWNER = 3;
export const CAP_IPC_LOCK = 14;
export const CAP_SYS_MODULE = 16;
export const CAP_SYS_RAWIO = 17;
export const CAP_SYS_PTRACE = 19;
export const CAP_SYS_PACCT = 20;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_RESOURCE = 24;

/** copy_from_user() and copy_to_user(). A partial copy is an EFAULT. */
export interface UserMemory {
  read(addr: bigint, into: Uint8Array): Status<'EFAULT'>;
  write(addr: bigint, from: Uint8Array): Status<'EFAULT'>;
  /**
   * The same for whole 32-bit words, where that is cheaper: structs of commands on the data path. Addresses are numbers
   * here, so no memory may lie at 2^53 or above.
   */
  readWords?(addr: number, into: Uint32Array): Status<'EFAULT'>;
  writeWords?(addr: number, from: Uint32Array): Status<'EFAULT'>;
}

/**
 * Where pages to pin come from: an address space (index = va >> 12) or a file (index = offset >> 12).
 * A page has one page frame number as long as it is the same page: the same object and offset give the same
 * number, whoever asks.
 */
export interface PageSource {
  /**
   * Pin `count` pages from `index` on for the long term and store their frame numbers at pfns[at…].
   * All or nothing. EFAULT: not mapped, or not writable when `write`; ENOMEM; EINVAL: the file is too short.
   */
  pin(
    index: number,
    count: number,
    write: boolean,
    pfns: Float64Array,
    at: number,
  ): Status<'EFAULT' | 'ENOMEM' | 'EINVAL'>;
}

/** One address space (struct mm_struct). It can outlive its last task: then pinning fails with EFAULT. */
export interface Mm extends PageSource {
  /** Unique for the life of the machine. */
  readonly id: number;
  readonly alive: boolean;
  /** The memory itself, for copies in the name of this address space from another process's call. */
  readonly mem: UserMemory;
  /** Frame number of the page at a page-aligned va now, without pinning it. */
  lookup(index: number): Result<number, 'EFAULT'>;
  /** Frame numbers of device memory mapped at index (a BAR), which cannot be pinned but type1 can map. */
  lookupIo(index: number): Result<number, 'EFAULT'>;
  /** Pages: VmPin of /proc/PID/status. Written by whoever pins. */
  pinnedVm: number;
  /** Pages: VmLck. */
  lockedVm: number;
}

/** The thread that makes a call, in its process: what it may, its memory, its files. @kernel task_struct */
export interface Task {
  /** Thread group id: the process. */
  readonly pid: number;
  readonly tid: number;
  readonly uid: number;
  readonly mem: UserMemory;
  readonly mm: Mm;
  capable(cap: number): boolean;
  /** RLIMIT_MEMLOCK in bytes; U64_MAX is unlimited. */
  readonly rlimitMemlock: bigint;
  /** The open file behind an fd number: ours, or a foreign one of the host. */
  getFile(fd: number): Result<OpenFile | ForeignFile, 'EBADF'>;
  /** Give the program a new fd, lowest free number where the host allows it. Takes over the caller's reference. */
  installFile(file: OpenFile, cloexec: boolean): Result<number, 'EMFILE' | 'ENFILE' | 'ENOMEM'>;
  /** EBADF: not open; EINVAL: not an eventfd; ENFILE, ENOMEM: the host is out of them. The caller puts it. */
  getEventfd(fd: number): Result<Eventfd, 'EBADF' | 'EINVAL' | 'ENFILE' | 'ENOMEM'>;
}

/** A counter a program waits on and the kernel adds to. @kernel eventfd_ctx */
export interface Eventfd {
  /** Add 1 to the counter. */
  signal(): void;
  /** Call back at each signal from outside (unmask eventfds). Dispose to stop. */
  listen(run: () => void): Disposable;
  /** Same underlying eventfd? */
  readonly id: string;
  put(): void;
}

/** Per-user accounting of pinned pages (struct user_struct.locked_vm), shared by all contexts of a machine. */
export class UserAccounts {
  readonly #lockedPages = new Map<number, number>();
  lockedPages(uid: number): number {
    return this.#lockedPages.get(uid) ?? 0;
  }
  add(uid: number, pages: number): void {
    this.#lockedPages.set(uid, this.lockedPages(uid) + pages);
  }
}
