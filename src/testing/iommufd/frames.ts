/** Physical memory of a test's computer: every page has a frame number and every pin is counted, so that a leak shows. */
import { Bug } from '../../base/bug.ts';
import { EFAULT, type Status } from '../../base/errno.ts';
import type { PhysicalMemory } from '../../base/physical-memory.ts';

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
