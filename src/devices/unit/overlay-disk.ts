/**
 * A disk that is only read, and what has been written since, which stays in memory: copy-on-write.
 *
 * Sectors of 512 bytes are replaced one by one, so a write never reads. Its work is whole sectors; EIO: it is not.
 */
import { EIO, ENOSPC, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import {
  beyondEnd,
  type BlockBacking,
  type BlockErrors,
  type Completion,
} from '../host-services.ts';
import { NumberRanges } from './ranges.ts';

const SECTOR = 512;
/** Sectors of a page that are there or not there one by one, as bits of a number. */
const PAGE_SECTORS = 8;
/** Pages of 4 KiB that may be there at once: 4 GiB. */
const MOST_PAGES = 0x10_0000;

interface Page {
  readonly bytes: Uint8Array;
  /** Bit n: sector n has been written. */
  written: number;
}

/** Another disk with changes that it does not see. */
export class OverlayDisk implements BlockBacking {
  readonly length: bigint;
  readonly isReadOnly = false;
  readonly #below: BlockBacking;
  readonly #most: number;
  readonly #pages = new Map<number, Page>();
  /** Sectors that read as zeros unless they have been written. */
  readonly #zeros = new NumberRanges();

  /** `mostPages`: how many of them memory is taken for; what is written beyond is ENOSPC. */
  constructor(below: BlockBacking, mostPages = MOST_PAGES) {
    this.length = below.length;
    this.#below = below;
    this.#most = mostPages;
  }

  read(at: bigint, into: Uint8Array, done: Completion): void {
    const rc = this.#check(at, BigInt(into.length));
    if (rc) done(rc);
    else {
      this.#below.read(at, into, (failed) => {
        if (!failed) this.#cover(Number(at) / SECTOR, into);
        done(failed);
      });
    }
  }
  write(at: bigint, from: Uint8Array, done: Completion): void {
    done(this.#check(at, BigInt(from.length)) ?? this.#write(Number(at) / SECTOR, from));
  }
  zero(at: bigint, length: bigint, done: Completion): void {
    const rc = this.#check(at, length);
    if (!rc && length > 0n) {
      const range = { start: Number(at) / SECTOR, end: Number(at + length) / SECTOR };
      this.#forget(range);
      this.#zeros.add(range);
    }
    done(rc);
  }
  flush(done: Completion): void {
    done(undefined);
  }

  #check(at: bigint, length: bigint): Status<'EIO'> {
    if (at % BigInt(SECTOR) === 0n && length % BigInt(SECTOR) === 0n) {
      return beyondEnd(this.length, at, length);
    }
    return refuse(EIO, 'the work is not of whole sectors', { at, length });
  }
  /** Over what the disk below has: zeros, and over these what was written. */
  #cover(first: number, into: Uint8Array): void {
    const end = first + into.length / SECTOR;
    for (const zeros of this.#zeros.within({ start: first, end })) {
      into.fill(0, (zeros.start - first) * SECTOR, (zeros.end - first) * SECTOR);
    }
    for (let sector = first; sector < end; sector++) {
      const page = this.#pages.get(Math.floor(sector / PAGE_SECTORS));
      const place = sector % PAGE_SECTORS;
      if (!page || (page.written & (1 << place)) === 0) continue;
      const bytes = page.bytes.subarray(place * SECTOR, (place + 1) * SECTOR);
      into.set(bytes, (sector - first) * SECTOR);
    }
  }
  #write(first: number, from: Uint8Array): Status<BlockErrors> {
    for (let n = 0; n < from.length / SECTOR; n++) {
      const page = this.#page(Math.floor((first + n) / PAGE_SECTORS));
      if (!page)
        return refuse(ENOSPC, 'no more memory is taken for changes', { pages: this.#most });
      const place = (first + n) % PAGE_SECTORS;
      page.bytes.set(from.subarray(n * SECTOR, (n + 1) * SECTOR), place * SECTOR);
      page.written |= 1 << place;
    }
    return undefined;
  }
  #page(number: number): Page | undefined {
    const there = this.#pages.get(number);
    if (there || this.#pages.size >= this.#most) return there;
    const page = { bytes: new Uint8Array(PAGE_SECTORS * SECTOR), written: 0 };
    this.#pages.set(number, page);
    return page;
  }
  /** As many steps as there are pages, however long the range is. */
  #forget({ start, end }: { readonly start: number; readonly end: number }): void {
    for (const [number, page] of this.#pages) {
      const first = number * PAGE_SECTORS;
      if (first >= end || first + PAGE_SECTORS <= start) continue;
      for (let place = 0; place < PAGE_SECTORS; place++) {
        const isInside = first + place >= start && first + place < end;
        if (isInside) page.written &= ~(1 << place);
      }
      if (page.written === 0) this.#pages.delete(number);
    }
  }
}
