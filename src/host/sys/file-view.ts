/**
 * A file of a program's memory, mapped into our own: what a device copies goes there without a system call.
 *
 * Somebody may make the file shorter at any time. So it is never touched but by copies that end where it does
 * (guarded-copy.ts). A mapping made before a file is sealed against writes to come goes on writing it.
 */
import type { ManyPlaces, PlaceList } from '../../machine/memory/process-memory.ts';
import { HostError, syscall } from './ffi.ts';
import { guardedCopy, prepareGuardedCopy } from './guarded-copy.ts';
import { MAP_NORESERVE, MAP_SHARED, NR, PROT_READ, PROT_WRITE } from './numbers.ts';

/** The first bytes of a file, mapped until its end(). Places are offsets. */
export class FileView implements ManyPlaces {
  readonly length: number;
  readonly isWritable: boolean;
  readonly #at: number;
  #ended = false;

  /** Undefined: the host does not allow it, or the file is empty. */
  static of(fd: number, length: number, isWritable: boolean): FileView | undefined {
    if (!canCopy()) return undefined;
    const protection = isWritable ? PROT_READ | PROT_WRITE : PROT_READ;
    const at = syscall(NR.mmap, 0, length, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return at < 0 ? undefined : new FileView(at, length, isWritable);
  }
  private constructor(at: number, length: number, isWritable: boolean) {
    this.#at = at;
    this.length = length;
    this.isWritable = isWritable;
  }
  get ended(): boolean {
    return this.#ended;
  }
  /** As far as it is mapped, the file has such pages now, and they may be written. */
  copy(list: PlaceList, write: boolean): number {
    if (this.#ended || (write && !this.isWritable)) return 0;
    return guardedCopy(this.#at, this.#inside(list), write);
  }
  #inside(list: PlaceList): PlaceList {
    const { places, lengths } = list;
    const end = places.findIndex((place, n) => place + lengths[n]! > this.length);
    return end < 0 ? list : { ...list, places: places.slice(0, end) };
  }
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    syscall(NR.munmap, this.#at, this.length);
  }
}

let isPossible: boolean | undefined;

/** May guardedCopy() be used on this host? From the first question on it can. */
export function canCopy(): boolean {
  return (isPossible ??= isPrepared());
}
function isPrepared(): boolean {
  try {
    prepareGuardedCopy();
    return true;
  } catch (error) {
    // A host that lets no machine code run: the way without it is slower.
    if (!(error instanceof HostError)) throw error;
    return false;
  }
}
