/**
 * One GiB of page frames of one owner (see physical-memory.ts): pin counts, and the way to the bytes of each page.
 *
 * Counts live in chunks of 512 frames (2 MiB), made when first pinned, so an empty region costs nothing.
 */
import { Bug, bugOn } from '../../base/bug.ts';
import { EFAULT, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { PAGE_SIZE } from '../../base/u64.ts';
import type { ManyPages } from './process-memory.ts';

/** Frames of a region: 1 GiB. */
export const REGION_FRAMES = 0x4_0000;
const CHUNK_FRAMES = 512;

/** The way to the bytes of pages, by the owner's page index. An access may run over several pages. */
export interface Backing {
  read(index: number, offset: number, into: Uint8Array): Status<'EFAULT'>;
  /** Absent: no pin of the page is for writing. */
  write?(index: number, offset: number, from: Uint8Array): Status<'EFAULT'>;
  /** One page of this backing was unpinned for good, or goes another way now. */
  drop(): void;
  /** Several of its pages in one step, where that can be done now. */
  readonly many?: ManyPages | undefined;
  /** The bytes are those of the address space at index + delta, whatever is there: see pin-copies.ts. */
  readonly delta?: number;
}

/** A pinned page and the way to it now. */
export interface PinnedPage {
  readonly pfn: number;
  readonly index: number;
  readonly backing: Backing;
}

/** What pages are pinned for, and what they are. */
export interface PinKind {
  readonly huge: boolean;
  readonly write: boolean;
}

interface Chunk {
  readonly pins: Int32Array;
  readonly backing: (Backing | undefined)[];
  /** Bits: HUGE, DETACHED. */
  readonly flags: Uint8Array;
}
const HUGE = 1;
/** The page is pinned, but its owner shows another one at its index. */
const DETACHED = 2;

/** 2^18 page frames of one owner. */
export class PinRegion {
  /** Page index of the owner at frame 0 of this region. */
  readonly firstIndex: number;
  /** Frames with at least one pin. */
  pinned = 0;
  /** Of those, the ones detached from their owner. */
  detached = 0;
  readonly #chunks: (Chunk | undefined)[] = [];

  constructor(firstIndex: number) {
    this.firstIndex = firstIndex;
  }

  pins(at: number): number {
    return this.#chunk(at)?.pins[at % CHUNK_FRAMES] ?? 0;
  }
  isHuge(at: number): boolean {
    return this.#hasFlag(at, HUGE);
  }
  isDetached(at: number): boolean {
    return this.detached > 0 && this.#hasFlag(at, DETACHED);
  }
  backingOf(at: number): Backing | undefined {
    return this.#backing(at);
  }

  /** A pinned page that its owner no longer shows: no pin finds it, and it may be reached another way. */
  detach(at: number, backing?: Backing): void {
    const chunk = this.#chunk(at);
    const place = at % CHUNK_FRAMES;
    if (!chunk?.pins[place]) throw new Bug('a frame was detached that is not pinned');
    if (backing) {
      chunk.backing[place]!.drop();
      chunk.backing[place] = backing;
    }
    if ((chunk.flags[place]! & DETACHED) !== 0) return;
    chunk.flags[place]! |= DETACHED;
    this.detached++;
  }

  /** All or, when `backing` throws a Shortage, none. `backing` is asked once per run of frames that had no pin, or none for writing and get one. */
  pin(
    at: number,
    count: number,
    { huge, write }: PinKind,
    backing: (at: number, count: number) => Backing,
  ): void {
    let done = 0;
    try {
      while (done < count) {
        const run = this.#runOf(at + done, count - done, write);
        const lacks = this.#lacks(at + done, write);
        if (lacks === 'nothing') this.addPin(at + done, run);
        else if (lacks === 'a pin') {
          this.#firstPins(at + done, run, huge, backing(at + done, run));
        } else this.#firstWritePins(at + done, run, backing(at + done, run));
        done += run;
      }
    } finally {
      if (done < count) this.unpin(at, done);
    }
  }
  /** Frames that lack the same. */
  #runOf(at: number, count: number, write: boolean): number {
    const lacks = this.#lacks(at, write);
    let run = 1;
    while (run < count && this.#lacks(at + run, write) === lacks) run++;
    return run;
  }

  addPin(at: number, count: number): void {
    for (let n = 0; n < count; n++) {
      bugOn(this.pins(at + n) === 0, 'another pin was taken on a frame that has none');
      this.#chunk(at + n)!.pins[(at + n) % CHUNK_FRAMES]!++;
    }
  }

  unpin(at: number, count: number): void {
    for (let n = 0; n < count; n++) {
      const chunk = this.#chunk(at + n);
      const place = (at + n) % CHUNK_FRAMES;
      if (!chunk?.pins[place]) throw new Bug('a frame was unpinned too often');
      if (--chunk.pins[place] > 0) continue;
      chunk.backing[place]!.drop();
      chunk.backing[place] = undefined;
      if ((chunk.flags[place]! & DETACHED) !== 0) this.detached--;
      chunk.flags[place] = 0;
      this.pinned--;
    }
  }

  /** The frames of [from, to) with a pin, until one is what is looked for. */
  somePinned(from: number, to: number, found: (at: number, backing: Backing) => boolean): boolean {
    for (let at = from; at < to && this.pinned > 0; at++) {
      const chunk = this.#chunk(at);
      const place = at % CHUNK_FRAMES;
      if (!chunk) at += CHUNK_FRAMES - 1 - place;
      else if (chunk.pins[place]! > 0 && found(at, chunk.backing[place]!)) return true;
    }
    return false;
  }

  /** The way to a page that can be gone together with others. */
  many(at: number, write: boolean): ManyPages | undefined {
    const backing = this.#backing(at);
    return write && !backing?.write ? undefined : backing?.many;
  }
  /** Read or write `bytes` from `done` on, as far as one way leads; the result is the bytes moved, 0 when none is pinned. */
  access(
    at: number,
    offset: number,
    bytes: Uint8Array,
    done: number,
    write: boolean,
  ): Result<number, 'EFAULT'> {
    const backing = this.#backing(at);
    if (!backing) return 0;
    let n = Math.min(bytes.length - done, PAGE_SIZE - offset);
    for (let next = at + 1; done + n < bytes.length && this.#backing(next) === backing; next++) {
      n = Math.min(bytes.length - done, n + PAGE_SIZE);
    }
    const part = bytes.subarray(done, done + n);
    const index = this.firstIndex + at;
    const rc = write ? writeTo(backing, index, offset, part) : backing.read(index, offset, part);
    return rc ?? n;
  }

  #firstPins(at: number, count: number, huge: boolean, backing: Backing): void {
    for (let n = 0; n < count; n++) {
      const chunk = (this.#chunks[Math.floor((at + n) / CHUNK_FRAMES)] ??= newChunk());
      const place = (at + n) % CHUNK_FRAMES;
      chunk.pins[place] = 1;
      chunk.backing[place] = backing;
      chunk.flags[place] = huge ? HUGE : 0;
    }
    this.pinned += count;
  }

  #firstWritePins(at: number, count: number, backing: Backing): void {
    for (let n = 0; n < count; n++) {
      const chunk = this.#chunk(at + n)!;
      const place = (at + n) % CHUNK_FRAMES;
      chunk.pins[place]!++;
      chunk.backing[place]!.drop();
      chunk.backing[place] = backing;
    }
  }
  #lacks(at: number, write: boolean): 'a pin' | 'a way to write' | 'nothing' {
    const backing = this.#backing(at);
    if (!backing) return 'a pin';
    return write && !backing.write ? 'a way to write' : 'nothing';
  }

  #hasFlag(at: number, flag: number): boolean {
    return ((this.#chunk(at)?.flags[at % CHUNK_FRAMES] ?? 0) & flag) !== 0;
  }
  #chunk(at: number): Chunk | undefined {
    return this.#chunks[Math.floor(at / CHUNK_FRAMES)];
  }
  #backing(at: number): Backing | undefined {
    return at < REGION_FRAMES ? this.#chunk(at)?.backing[at % CHUNK_FRAMES] : undefined;
  }
}

function writeTo(
  backing: Backing,
  index: number,
  offset: number,
  from: Uint8Array,
): Status<'EFAULT'> {
  if (backing.write) return backing.write(index, offset, from);
  return refuse(EFAULT, 'the page is pinned to be read only', { page: index });
}

function newChunk(): Chunk {
  return {
    pins: new Int32Array(CHUNK_FRAMES),
    backing: new Array<Backing | undefined>(CHUNK_FRAMES).fill(undefined),
    flags: new Uint8Array(CHUNK_FRAMES),
  };
}
