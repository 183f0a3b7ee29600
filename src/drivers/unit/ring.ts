/**
 * A ring of entries in RAM between one who puts them in and one who takes them out: the command, event, fault and page
 * request queues of every IOMMU (VT-d 6.5.2, 7.4.1).
 *
 * The two pointers stay where their owner keeps them, in registers or in a driver, and are looked at in each use. With
 * both on the same entry the ring is empty; one entry is left free, so that a full one looks different.
 */
import { bugOn } from '../../base/bug.ts';
import { FRAME_WORDS, type Ram } from '../../pt/ram.ts';

/** Where a ring lies: whole frames in a row, from `pfn` on. */
export interface RingPlace {
  readonly pfn: number;
  readonly bytes: number;
  readonly entryBytes: number;
}
/** The entry to take next, and the place for the next one: offsets in bytes from the start of the ring. */
export interface RingPointers {
  head: number;
  tail: number;
}

/** A ring at a place, seen from either side. */
export class Ring {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #place: RingPlace;
  readonly #pointers: RingPointers;

  constructor(ram: Ram, place: RingPlace, pointers: RingPointers) {
    this.#words = ram.words;
    this.#base = place.pfn * FRAME_WORDS;
    this.#place = place;
    this.#pointers = pointers;
  }

  /** Both pointers are at entries, and all entries in RAM: what the other side wrote into the registers can be used. */
  get isSound(): boolean {
    const { head, tail } = this.#pointers;
    const end = this.#base + this.#place.bytes / 4;
    return this.#isEntry(head) && this.#isEntry(tail) && end <= this.#words.length;
  }
  get isEmpty(): boolean {
    return this.#pointers.head === this.#pointers.tail;
  }
  get isFull(): boolean {
    return this.#next(this.#pointers.tail) === this.#pointers.head;
  }

  /** Put an entry in: `write` fills it, zeroed, at a word of RAM. The ring is sound and not full. */
  put(write: (words: Int32Array, at: number) => void): void {
    bugOn(this.isFull, 'an entry is put into a full ring');
    const { tail } = this.#pointers;
    const at = this.#base + tail / 4;
    this.#words.fill(0, at, at + this.#place.entryBytes / 4);
    write(this.#words, at);
    this.#pointers.tail = this.#next(tail);
  }
  /** Take the oldest entry: the word of RAM where it is, until something is put in its place. The ring is sound. */
  take(): number {
    bugOn(this.isEmpty, 'an entry is taken from an empty ring');
    const { head } = this.#pointers;
    this.#pointers.head = this.#next(head);
    return this.#base + head / 4;
  }

  #next(offset: number): number {
    return (offset + this.#place.entryBytes) % this.#place.bytes;
  }
  #isEntry(offset: number): boolean {
    const { bytes, entryBytes } = this.#place;
    return offset >= 0 && offset < bytes && offset % entryBytes === 0;
  }
}
