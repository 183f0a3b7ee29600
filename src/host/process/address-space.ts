/**
 * One address space of a program (mm_struct) for longer than a call, for pinning and DMA.
 *
 * It is opened through a thread that is alive, for a leader may have ended before its process. What is opened of /proc then
 * stays with the address space: it ends with it, at exec or at the last exit, and never shows its successor.
 */
import { EFAULT, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { Shortage } from '../../base/shortage.ts';
import type {
  HeldPages,
  ManyPlaces,
  PlaceList,
  ProcessMemory,
} from '../../machine/memory/process-memory.ts';
import { callers } from '../sys/callers.ts';
import * as libc from '../sys/libc.ts';
import { MapsFile, type MapsLine } from '../sys/map-query.ts';
import { NR, O_CLOEXEC, O_RDONLY, O_RDWR } from '../sys/numbers.ts';
import { orShortage } from '../sys/shortage.ts';
import { randomBytesAt } from '../sys/procfs.ts';
import { callLook } from './call-look.ts';
import type { ExactPins } from './exact-pins.ts';
import type { MemoryMap } from './memory-map.ts';
import { holdObject, type HostObjects } from './objects.ts';
import { copy, copyPlaces, NOWHERE } from './remote-memory.ts';
import { isFilledByPrograms, slowPages } from './slow-pages.ts';

/** Up to here a copy through /proc/PID/mem is the faster one. */
const SMALL = 16384;
const PAGE = 4096;
/** So many copies through /proc/PID/mem cost less than one call for all and the questions before it. */
const FEW = 2;
/** What AT_RANDOM points to. */
const RANDOM_BYTES = 16;

/** What an address space needs to know of the run. */
export interface SpaceParts {
  readonly map: MemoryMap;
  readonly objects: HostObjects;
  warn(text: string): void;
  sayOnce(text: string): void;
  /** Present with `--pin=exact`. */
  readonly pins?: ExactPins | undefined;
  /** Address spaces that show a page of an object, and where. */
  showing(
    object: string,
    page: number,
  ): Iterable<{ readonly space: AddressSpace; readonly at: number }>;
  /** A process that has this address space for certain; undefined when an exec is under way in all that had it. */
  user(space: AddressSpace): number | undefined;
}

/** One address space: dead after exec or the last exit, whatever its process shows then. */
export class AddressSpace implements ProcessMemory, ManyPlaces {
  readonly maps: MapsFile;
  /** A thread that had it when it was last looked at. */
  thread: number;
  readonly #memFd: number;
  readonly #parts: SpaceParts;
  readonly #probe = Buffer.alloc(1);
  /** Opened when it is first needed. */
  #pagemap: number | undefined;
  #alive = true;
  #loss = false;

  /** Undefined when the thread is gone or we may not look into it. */
  static open(tid: number, parts: SpaceParts): AddressSpace | undefined {
    const memFd = libc.open(`/proc/${tid}/mem`, O_RDWR | O_CLOEXEC);
    if (memFd < 0) return undefined;
    const maps = orShortage(() => MapsFile.open(tid));
    // Who is killed in its call by an exec of its process leaves its number to the new program.
    const isNext = callers.isGone(tid);
    if (maps && !(maps instanceof Shortage) && !isNext) {
      return new AddressSpace(tid, memFd, maps, parts);
    }
    libc.close(memFd);
    if (maps instanceof Shortage) throw maps;
    maps?.close();
    return undefined;
  }
  private constructor(tid: number, memFd: number, maps: MapsFile, parts: SpaceParts) {
    this.thread = tid;
    this.maps = maps;
    this.#memFd = memFd;
    this.#parts = parts;
  }
  /** /proc/TID/mem reads as empty when its address space is gone. */
  get alive(): boolean {
    if (this.#alive && libc.pread(this.#memFd, this.#probe, NOWHERE) === 0) this.close();
    return this.#alive;
  }
  /**
   * Is it the one a thread has now? Each exec puts new random bytes into the new address space, so they are compared: those
   * the thread has, and what is here at their address.
   */
  isOf(tid: number): boolean {
    const at = randomBytesAt(tid);
    if (at === undefined) return false;
    const [theirs, here] = [Buffer.alloc(RANDOM_BYTES), Buffer.alloc(RANDOM_BYTES)];
    if (copy(NR.process_vm_readv, tid, at, theirs) !== RANDOM_BYTES) return false;
    if (!this.#isThere(at, RANDOM_BYTES, false)) return false;
    return libc.pread(this.#memFd, here, at) === RANDOM_BYTES && here.equals(theirs);
  }
  read(addr: bigint, into: Uint8Array): Status<'EFAULT'> {
    if (into.length === 0) return undefined;
    const done = this.#transfer(libc.pread, NR.process_vm_readv, addr, into);
    if (done === into.length) return undefined;
    return refuse(EFAULT, 'the address space has nothing readable there', facts(addr, into));
  }
  write(addr: bigint, from: Uint8Array): Status<'EFAULT'> {
    if (from.length === 0) return undefined;
    const done = this.#transfer(libc.pwrite, NR.process_vm_writev, addr, from);
    if (done === from.length) return undefined;
    return refuse(EFAULT, 'the address space has nothing writable there', facts(addr, from));
  }
  get many(): ManyPlaces {
    return this;
  }
  /** One call for all, where it is known whom to ask; what it may not do is left to read() and write(), which may do more. */
  copy(list: PlaceList, write: boolean): number {
    if (list.places.length <= FEW || slowPages.possible || !this.alive) return 0;
    const user = this.#parts.user(this);
    const nr = write ? NR.process_vm_writev : NR.process_vm_readv;
    return user === undefined ? 0 : Math.max(0, copyPlaces(nr, user, list));
  }
  vma(index: number): MapsLine | undefined {
    return this.alive ? this.#parts.map.find(this, index) : undefined;
  }
  /** Known of an object we have a descriptor of. Else a touch tells, as a pin would: it faults beyond the end. */
  hasPage(vma: MapsLine, index: number): boolean {
    const object = vma.shared ? this.#parts.objects.ofMapping(this.thread, vma, false) : undefined;
    if (!object) {
      const at = byteAddress(index);
      return this.#isThere(at, 1, false) && libc.pread(this.#memFd, this.#probe, at) === 1;
    }
    return byteAddress(vma.objectOffset + (index - vma.start)) < object.size();
  }
  isAbsent(index: number, count: number, write: boolean): boolean {
    return !this.#isThere(byteAddress(index), count * PAGE, write);
  }
  /** Shared pages by their object; private ones by the host's kernel, if that is wanted. */
  hold(index: number, count: number, write: boolean): HeldPages | undefined {
    const vma = this.vma(index);
    if (!vma) return undefined;
    if (!vma.shared || vma.object === undefined) {
      return this.#parts.pins?.hold(this, index, count);
    }
    const first = vma.objectOffset + (index - vma.start);
    const object = this.#parts.objects.ofMapping(this.thread, vma, write);
    return object ? holdObject(object, first) : this.#holdMapped(vma.object, first, index);
  }
  /** An object without a descriptor: through this address space, and when it is gone through another that maps it. */
  #holdMapped(object: string, first: number, index: number): HeldPages {
    const copy = (
      page: number,
      use: (space: AddressSpace, at: number) => Status<'EFAULT'>,
    ): Status<'EFAULT'> => {
      if (this.#shows(index + page, object, first + page) && !use(this, index + page)) {
        return undefined;
      }
      for (const { space, at } of this.#parts.showing(object, first + page)) {
        // It may have become another program since it was asked for its maps.
        const isThere = space.alive && space.#shows(at, object, first + page);
        if (isThere && !use(space, at)) return undefined;
      }
      return refuse(EFAULT, 'no process maps this shared memory any more', { object });
    };
    const va = (at: number, offset: number): bigint => byteAddress(at) + BigInt(offset);
    return {
      read: (page, offset, into) => copy(page, (space, at) => space.read(va(at, offset), into)),
      write: (page, offset, from) => copy(page, (space, at) => space.write(va(at, offset), from)),
      release: this.#parts.objects.mappedOnly(object),
    };
  }
  #shows(index: number, object: string, objectIndex: number): boolean {
    const vma = this.vma(index);
    return vma?.object === object && vma.objectOffset + (index - vma.start) === objectIndex;
  }
  short({ message }: Shortage): void {
    this.#parts.sayOnce(message);
  }
  lost(): void {
    if (this.#loss) return;
    this.#loss = true;
    const advice = '--pin=exact would have kept them';
    const whose = `a process that was killed (its thread ${this.thread})`;
    this.#parts.warn(`a device lost its pages of ${whose}: ${advice}`);
  }
  close(): void {
    if (!this.#alive) return;
    this.#alive = false;
    libc.close(this.#memFd);
    if (this.#pagemap !== undefined) libc.close(this.#pagemap);
    this.maps.close();
  }
  /** False: a program has to fill some of it first, or that cannot be known now. */
  #isThere(addr: bigint, length: number, write: boolean): boolean {
    if (!slowPages.possible) return true;
    const pagemap = this.#openPagemap();
    if (pagemap === undefined) return false;
    return slowPages.reachableBy(pagemap, this.thread, { addr, length, write }) === length;
  }
  /** What a device has not pinned comes by itself, unless a program has to bring it. */
  #isSlow(addr: bigint, length: number): boolean {
    const user = this.#parts.user(this);
    return user === undefined || isFilledByPrograms(user, { addr, length, write: false });
  }
  #openPagemap(): number | undefined {
    if (this.#pagemap !== undefined) return this.#pagemap;
    const user = this.#parts.user(this);
    const opened =
      user === undefined ? -1 : libc.open(`/proc/${user}/pagemap`, O_RDONLY | O_CLOEXEC);
    if (opened >= 0) this.#pagemap = opened;
    return this.#pagemap;
  }
  #transfer(small: typeof libc.pread, large: number, addr: bigint, bytes: Uint8Array): number {
    if (!this.#alive || addr >= 1n << 63n) return -1;
    const { length } = bytes;
    const writes = large === NR.process_vm_writev;
    if (!this.#isThere(addr, length, writes) && this.#isSlow(addr, length)) return -1;
    const user = length > SMALL && this.alive ? this.#parts.user(this) : undefined;
    if (user !== undefined && copy(large, user, addr, bytes) === length) return length;
    if (writes) callLook.drop();
    // What mprotect forbids the program now, a pin still reaches.
    return small(this.#memFd, bytes, addr);
  }
}

function byteAddress(index: number): bigint {
  return BigInt(index) << 12n;
}
function facts(addr: bigint, { length }: Uint8Array): { addr: bigint; length: number } {
  return { addr, length };
}
