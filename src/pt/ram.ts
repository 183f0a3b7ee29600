/**
 * The RAM of the simulated machine in which tables and queues live: one fixed arena of 32-bit words.
 *
 * Physical address 0 is its first byte; frame 0 is never handed out, so a zero pointer is never valid. The arena
 * never grows (a view, once made, stays good); the host commits its pages only when they are touched.
 */
import { bugOn } from '../base/bug.ts';
import { ENOMEM, type Result } from '../base/errno.ts';
import { NOTHING_FAILS, type FailPolicy } from '../base/fail-points.ts';
import { refuse } from '../base/refuse.ts';

/** Words in a 4 KiB frame. */
export const FRAME_WORDS = 1024;

/** Memory of the machine: bytes, and frames to be had. */
export class Ram {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  /** Frames 0 … frameCount-1 exist. */
  readonly frameCount: number;
  readonly #free: number[] = [];
  /** Tables of several frames: the first frame of each handed out → its frames; those given back, by their frames. */
  readonly #tables = new Map<number, number>();
  readonly #freeTables = new Map<number, number[]>();
  #fresh = 1;
  /** Frames handed out now. */
  used = 0;
  readonly #faults: FailPolicy;

  /** `faults`: says before each allocation whether it fails. */
  constructor(sizeBytes: number, faults: FailPolicy = NOTHING_FAILS) {
    bugOn(sizeBytes % 4096 !== 0 || sizeBytes < 8192, 'RAM is made of whole frames, two at least');
    this.#faults = faults;
    const arena = new ArrayBuffer(sizeBytes);
    this.words = new Int32Array(arena);
    this.bytes = new Uint8Array(arena);
    this.frameCount = sizeBytes / 4096;
  }
  /** A zeroed frame. */
  alloc(): Result<number, 'ENOMEM'> {
    if (this.#faults.fails('frame')) {
      return refuse(ENOMEM, 'allocation of a frame was made to fail');
    }
    const recycled = this.#free.pop();
    if (recycled !== undefined) {
      this.words.fill(0, recycled * FRAME_WORDS, (recycled + 1) * FRAME_WORDS);
      this.used++;
      return recycled;
    }
    if (this.#fresh >= this.frameCount) {
      return refuse(ENOMEM, 'the simulated RAM is used up', { frames: this.frameCount });
    }
    this.used++;
    return this.#fresh++;
  }
  /** `count` zeroed frames in a row: for queues and large root tables. Never recycled one by one out of order. */
  allocRun(count: number): Result<number, 'ENOMEM'> {
    if (count === 1) return this.alloc();
    if (this.#faults.fails('frame')) {
      return refuse(ENOMEM, 'allocation of a run of frames was made to fail', { count });
    }
    if (this.#fresh + count > this.frameCount) {
      return refuse(ENOMEM, 'no run of frames in the simulated RAM', { count });
    }
    const first = this.#fresh;
    this.#fresh += count;
    this.used += count;
    return first;
  }
  /**
   * `frames` zeroed frames in a row that begin at a multiple of their number, which is a power of two: one page table.
   * free() of the first one gives back all of them.
   */
  allocTable(frames: number): Result<number, 'ENOMEM'> {
    if (frames === 1) return this.alloc();
    if (this.#faults.fails('frame')) {
      return refuse(ENOMEM, 'allocation of a table was made to fail', { frames });
    }
    const first = this.#freeTables.get(frames)?.pop() ?? this.#freshTable(frames);
    if (first < 0) return refuse(ENOMEM, 'no room for a table in the simulated RAM', { frames });
    this.words.fill(0, first * FRAME_WORDS, (first + frames) * FRAME_WORDS);
    this.#tables.set(first, frames);
    this.used += frames;
    return first;
  }
  /** -1: no room. Frames left out before the table are free for others. */
  #freshTable(frames: number): number {
    const first = Math.ceil(this.#fresh / frames) * frames;
    if (first + frames > this.frameCount) return -1;
    while (this.#fresh < first) this.#free.push(this.#fresh++);
    this.#fresh = first + frames;
    return first;
  }
  /** Give frames back. */
  free(frame: number, count = 1): void {
    const table = this.#tables.size > 0 ? this.#tables.get(frame) : undefined;
    if (table !== undefined) {
      this.#freeTable(frame, table);
      return;
    }
    bugOn(frame <= 0 || frame + count > this.#fresh, `frame ${frame} was never handed out`);
    for (let n = 0; n < count; n++) this.#free.push(frame + n);
    this.used -= count;
  }
  #freeTable(first: number, frames: number): void {
    this.#tables.delete(first);
    const free = this.#freeTables.get(frames) ?? [];
    free.push(first);
    this.#freeTables.set(frames, free);
    this.used -= frames;
  }
}
