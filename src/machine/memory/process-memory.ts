/**
 * What the machine needs to know of a program's memory to give its pages frame numbers.
 *
 * The host implements ProcessMemory with /proc and process_vm_readv; tests and in-process programs with arrays.
 * machine/memory/mm.ts makes an Mm of it.
 */
import type { Status } from '../../base/errno.ts';
import type { Shortage } from '../../base/shortage.ts';
import type { UserMemory } from '../../base/task.ts';
import type { MmioWindow } from '../../base/file.ts';

/** One mapping of an address space (a line of /proc/PID/maps). Addresses are page indexes: va >> 12. */
export interface Vma {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly shared: boolean;
  /** Identity of what is mapped: 'dev:ino' for files and shared memory, undefined for private anonymous memory. */
  readonly object: string | undefined;
  /** Page index in the object of `start`. */
  readonly objectOffset: number;
  /** Pages are of a huge page (hugetlb). */
  readonly huge: boolean;
  /**
   * The file system of a shared file writes pages back and must hear of each store before (ext4, not shmem), which those
   * of a device it does not.
   */
  readonly writeback?: boolean;
  /** Device registers mapped here, not memory. */
  readonly io?: {
    readonly window: MmioWindow;
    readonly offset: number;
    /** Loads are those of memory, and stores are permitted, but fault at first. */
    readonly storesFault?: boolean;
  };
}

/** Bytes in a row, and the places they go to or come from: those of the first length, then those of the second, and so on. */
export interface PlaceList {
  readonly bytes: Uint8Array;
  readonly places: readonly number[];
  readonly lengths: readonly number[];
}

/** Memory that copies to and from many places in one step. A place is what the memory counts in: an address, an offset. */
export interface ManyPlaces {
  /**
   * In order. The result is the number of bytes that have certainly moved, from the first on: with fewer than all, what comes
   * next is to be moved by itself, which says what is the matter with it. Bytes beyond may have moved too, never of other places.
   */
  copy(list: PlaceList, write: boolean): number;
}
/** Pages that can be reached so: page n is at `base` + n * 4096. */
export interface ManyPages {
  readonly memory: ManyPlaces;
  readonly base: number;
}

/** The memory of a process, by virtual address and by page index (address >> 12). */
export interface ProcessMemory extends UserMemory {
  readonly alive: boolean;
  vma(index: number): Vma | undefined;
  /** Is there a page at `index` of this mapping of an object, or does the object end before it? */
  hasPage(vma: Vma, index: number): boolean;
  /**
   * Are some of these pages, all of one mapping, such as only a program can fill, and not filled yet? The host remembers
   * which, and lets whoever calls wait for them.
   */
  isAbsent?(index: number, count: number, write: boolean): boolean;
  /**
   * Hold the page at `index` so that it stays what it is now, if the host can; the result reads and, if that is asked for,
   * writes the held page. Undefined: the page is reached through the address space, which must tell MachineMm when it goes.
   */
  hold?(index: number, count: number, write: boolean): HeldPages | undefined;
  /** Several addresses in one step. */
  readonly many?: ManyPlaces;
  /** A pin has ended with ENOMEM for what the host has too little of. */
  short?(shortage: Shortage): void;
  /** A device wants a pinned page that ended with this address space. */
  lost?(): void;
}

/** Pages kept as they were when they were held, whatever their process does since. */
export interface HeldPages {
  read(page: number, offset: number, into: Uint8Array): Status<'EFAULT'>;
  write(page: number, offset: number, from: Uint8Array): Status<'EFAULT'>;
  /** Several of them in one step. */
  readonly many?: ManyPages;
  release(): void;
}

/** A file that can be pinned by itself, without an address space that maps it: memfd, hugetlbfs, shmem. */
export interface ObjectMemory {
  /** Equal to Vma.object of mappings of it: 'dev:ino'. */
  readonly object: string;
  readonly huge?: boolean;
  /** Bytes, asked afresh. */
  size(): bigint;
  read(offset: bigint, into: Uint8Array): Status<'EFAULT'>;
  write(offset: bigint, from: Uint8Array): Status<'EFAULT'>;
  /** Several offsets in one step. */
  readonly many?: ManyPlaces;
}
