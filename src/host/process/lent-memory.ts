/**
 * Memory behind a BAR that programs map as it is: a memfd, which is there while one of them has it mapped.
 *
 * Lent, the file is as long as the BAR, and whoever touches it touches memory. Taken back, it is empty: each touch is a fault
 * that comes to us, as of any registers (mmio/), and its bytes are kept here until it is lent again. What a store of a
 * program and the taking back do at the very same time is as on hardware: it came before, or is lost.
 *
 * Its length cannot be sealed, for it says whether it is lent. So a program that finds a way to the file may change that, and
 * then has emptied, or hidden, what only it and its device have there.
 */
import { BAR_PAGE, checkPages, type BarMemory } from '../../base/bar-memory.ts';
import { Bug } from '../../base/bug.ts';
import { Shortage } from '../../base/shortage.ts';
import { SparseMemory } from '../../base/sparse-memory.ts';
import { reopenMarked } from '../sys/open-file-description.ts';
import * as libc from '../sys/libc.ts';
import { callLook } from './call-look.ts';
import { lookAt, objectOf } from '../sys/look.ts';
import { orShortage } from '../sys/shortage.ts';

/** Bytes that are copied at once. */
const CHUNK = 256 * BAR_PAGE;

/** The memfd that programs have mapped. */
export interface LentFile {
  readonly fd: number;
  /** dev:ino, as /proc/PID/maps tells of it. */
  readonly object: string;
}

/** Memory of one BAR that real processes can map. */
export class LentMemory implements BarMemory {
  readonly length: number;
  /** All bytes while nothing is lent. */
  readonly #kept: SparseMemory;
  #file: LentFile | undefined;
  #wanted = false;
  /** The file has the bytes. */
  #lent = false;

  constructor(length: number) {
    this.length = length;
    this.#kept = new SparseMemory(length);
  }
  /** Does a touch reach memory? */
  get isLent(): boolean {
    return this.#lent;
  }
  /** What programs map; undefined: none does. */
  get file(): LentFile | undefined {
    return this.#file;
  }

  /**
   * A program is about to map it: an open file description of its own, marked; minus an errno. `access`: O_RDONLY for what no
   * program may write. Throws Shortage.
   */
  open(mark: number, access?: number): number {
    const file = (this.#file ??= makeFile());
    const fd = reopenMarked(file.fd, mark, access);
    if (this.#wanted) this.#give();
    return fd;
  }
  /** Nobody has it mapped any more. */
  close(): void {
    this.#takeBack();
    if (this.#file) libc.close(this.#file.fd);
    this.#file = undefined;
  }

  lend(on: boolean): void {
    this.#wanted = on;
    if (on) this.#give();
    else this.#takeBack();
  }
  /** Where the host has no room for it, each access stays a call. */
  #give(): void {
    if (this.#lent || !this.#file) return;
    const { fd } = this.#file;
    const pages = this.#kept.pages();
    const isThere =
      libc.ftruncate(fd, this.length) === 0 &&
      [...pages].every(([offset, bytes]) => libc.pwrite(fd, bytes, offset) === bytes.length);
    if (!isThere) {
      libc.ftruncate(fd, 0);
      return;
    }
    this.#lent = true;
    this.#kept.clear();
  }
  #takeBack(): void {
    if (!this.#lent || !this.#file) return;
    this.#copyTo(this.#kept);
    libc.ftruncate(this.#file.fd, 0);
    this.#lent = false;
  }

  read(offset: number, into: Uint8Array): void {
    if (!this.#lent || !this.#file) this.#kept.read(offset, into);
    else if (offset + into.length > this.length) throw beyond();
    else {
      const there = libc.pread(this.#file.fd, into, offset);
      if (there < into.length) this.#grow(into.subarray(Math.max(0, there)));
    }
  }
  /** A program has made the file shorter: what is gone is 0 from now on. */
  #grow(gone: Uint8Array): void {
    gone.fill(0);
    libc.ftruncate(this.#file!.fd, this.length);
  }
  write(offset: number, from: Uint8Array): void {
    if (!this.#lent || !this.#file) {
      this.#kept.write(offset, from);
      return;
    }
    if (offset + from.length > this.length) throw beyond();
    callLook.drop();
    if (libc.pwrite(this.#file.fd, from, offset) !== from.length) {
      this.#takeBack(); // the host has no room for another page
      this.#kept.write(offset, from);
    }
  }
  clear(): void {
    if (this.#lent && this.#file) {
      callLook.drop();
      libc.punchHole(this.#file.fd, this.length);
    }
    this.#kept.clear();
  }
  pages(): Map<number, Uint8Array> {
    if (!this.#lent || !this.#file) return this.#kept.pages();
    const out = new SparseMemory(this.length);
    this.#copyTo(out);
    return out.pages();
  }
  /** What the file has, to where there is nothing yet. */
  #copyTo(out: SparseMemory): void {
    for (const [start, end] of libc.dataIn(this.#file!.fd)) {
      const bytes = Buffer.allocUnsafe(Math.min(CHUNK, end - start));
      for (let at = start; at < end; at += CHUNK) {
        const part = bytes.subarray(0, Math.min(CHUNK, end - at));
        this.read(at, part);
        out.write(at, part);
      }
    }
  }
  fill(pages: ReadonlyMap<number, Uint8Array>): void {
    checkPages(pages, this.length);
    this.clear();
    for (const [offset, bytes] of pages) this.write(offset, bytes);
  }
}

/** Throws Shortage. */
function makeFile(): LentFile {
  const fd = libc.memfdCreate('softiommu-bar');
  const look = fd < 0 ? undefined : orShortage(() => lookAt(`/proc/self/fd/${fd}`));
  if (look !== undefined && !(look instanceof Shortage)) return { fd, object: objectOf(look) };
  if (fd >= 0) libc.close(fd);
  if (look instanceof Shortage) throw look;
  throw new Bug('a memfd could not be made');
}
function beyond(): Bug {
  return new Bug('an access beyond the memory of a BAR');
}
