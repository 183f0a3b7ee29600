/**
 * One GiB of page frames of one owner (see physical-memory.ts): pin counts, and the way to the bytes of each page.
 *
 * Counts live in chunks of 512 frames (2 MiB), made when first pinned, so an empty region costs nothing.
 */
import { Bug, bugOn } from '../base/bug.ts';
import { PAGE_SIZE } from '../base/u64.ts';

/** Frames of a region: 1 GiB. */
export const REGION_FRAMES = 0x4_0000;
const CHUNK_FRAMES = 512;

/** The way to the bytes of pages, by the owner's page index. */
export interface Reach {
  /** False: the page cannot be reached any more. May run over several pages. */
  read(index: number, offset: number, into: Uint8Array): boolean;
  write(index: number, offset: number, from: Uint8Array): boolean;
  /** One page of this reach was unpinned for good. */
  drop(): void;
}

interface Chunk {
  readonly pins: Int32Array;
  readonly reach: (Reach | undefined)[];
  readonly huge: Uint8Array;
}

export class PinRegion {
  /** Page index of the owner at frame 0 of this region. */
  readonly firstIndex: number;
  /** Frames with at least one pin. */
  pinned = 0;
  readonly #chunks: (Chunk | undefined)[] = [];

  constructor(firstIndex: number) {
    this.firstIndex = firstIndex;
  }

  pins(at: number): number {
    return this.#chunk(at)?.pins[at % CHUNK_FRAMES] ?? 0;
  }
  isHuge(at: number): boolean {
    return this.#chunk(at)?.huge[at % CHUNK_FRAMES] === 1;
  }

  /** `reach` is asked once per run of frames that had no pin. */
  pin(at: number, count: number, huge: boolean, reach: (at: number, count: number) => Reach): void {
    for (let n = 0; n < count;) {
      if (this.pins(at + n) > 0) {
        this.#chunk(at + n)!.pins[(at + n) % CHUNK_FRAMES]!++;
        n++;
        continue;
      }
      let run = 1;
      while (n + run < count && this.pins(at + n + run) === 0) run++;
      this.#firstPins(at + n, run, huge, reach(at + n, run));
      n += run;
    }
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
      chunk.reach[place]!.drop();
      chunk.reach[place] = undefined;
      this.pinned--;
    }
  }

  /** Read or write `bytes` from `done` on, as far as one way leads; the result is the bytes moved, 0 for a failure. */
  access(at: number, offset: number, bytes: Uint8Array, done: number, write: boolean): number {
    const reach = this.#reach(at);
    if (!reach) return 0;
    let n = Math.min(bytes.length - done, PAGE_SIZE - offset);
    for (let next = at + 1; done + n < bytes.length && this.#reach(next) === reach; next++) {
      n = Math.min(bytes.length - done, n + PAGE_SIZE);
    }
    const part = bytes.subarray(done, done + n);
    const index = this.firstIndex + at;
    const ok = write ? reach.write(index, offset, part) : reach.read(index, offset, part);
    return ok ? n : 0;
  }

  #firstPins(at: number, count: number, huge: boolean, reach: Reach): void {
    for (let n = 0; n < count; n++) {
      const chunk = (this.#chunks[Math.floor((at + n) / CHUNK_FRAMES)] ??= newChunk());
      const place = (at + n) % CHUNK_FRAMES;
      chunk.pins[place] = 1;
      chunk.reach[place] = reach;
      chunk.huge[place] = huge ? 1 : 0;
    }
    this.pinned += count;
  }

  #chunk(at: number): Chunk | undefined {
    return this.#chunks[Math.floor(at / CHUNK_FRAMES)];
  }
  #reach(at: number): Reach | undefined {
    return at < REGION_FRAMES ? this.#chunk(at)?.reach[at % CHUNK_FRAMES] : undefined;
  }
}

function newChunk(): Chunk {
  return {
    pins: new Int32Array(CHUNK_FRAMES),
    reach: new Array<Reach | undefined>(CHUNK_FRAMES).fill(undefined),
    huge: new Uint8Array(CHUNK_FRAMES),
  };
}
