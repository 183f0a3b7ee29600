/**
 * A disk in memory that takes room only where something was written: what a device has that was given none of the host.
 *
 * Its work is done at once, and its bytes are a part of the device's state.
 */
import { ENOSPC, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { beyondEnd, type BlockBacking, type Completion } from '../host-services.ts';

/** Bytes that are there or not there together. */
export const DISK_CHUNK = 0x1_0000;
/** Chunks that may be there at once: 4 GiB. */
const MOST_CHUNKS = 0x1_0000;
const CHUNK = BigInt(DISK_CHUNK);

/** What is on a disk: the chunks that hold something, by number. */
export type DiskState = ReadonlyMap<number, Uint8Array>;

/** A sparse disk of zeros, until it is written. EIO: beyond the end. ENOSPC: as much of it is there as may be. */
export class MemoryDisk implements BlockBacking {
  readonly length: bigint;
  readonly isReadOnly = false;
  readonly #most: number;
  readonly #chunks = new Map<number, Uint8Array>();

  /** `mostChunks`: how many of them memory is taken for. */
  constructor(length: bigint, mostChunks = MOST_CHUNKS) {
    this.length = length;
    this.#most = mostChunks;
  }

  read(at: bigint, into: Uint8Array, done: Completion): void {
    const rc = beyondEnd(this.length, at, BigInt(into.length));
    if (!rc) {
      for (const { chunk, start, end, done: from } of parts(at, into.length)) {
        const bytes = this.#chunks.get(chunk);
        if (bytes) into.set(bytes.subarray(start, end), from);
        else into.fill(0, from, from + end - start);
      }
    }
    done(rc);
  }
  write(at: bigint, from: Uint8Array, done: Completion): void {
    done(beyondEnd(this.length, at, BigInt(from.length)) ?? this.#write(at, from));
  }
  zero(at: bigint, length: bigint, done: Completion): void {
    const rc = beyondEnd(this.length, at, length);
    if (!rc) this.#forget(at, at + length);
    done(rc);
  }
  flush(done: Completion): void {
    done(undefined);
  }
  /** A copy. */
  state(): DiskState {
    return new Map([...this.#chunks].map(([chunk, bytes]) => [chunk, bytes.slice()]));
  }
  restore(state: DiskState): void {
    this.#chunks.clear();
    for (const [chunk, bytes] of state) this.#chunks.set(chunk, bytes.slice());
  }

  #write(at: bigint, from: Uint8Array): Status<'ENOSPC'> {
    for (const { chunk, start, end, done } of parts(at, from.length)) {
      const bytes = this.#chunk(chunk);
      if (isErrno(bytes)) return bytes;
      bytes.set(from.subarray(done, done + end - start), start);
    }
    return undefined;
  }
  #chunk(chunk: number): Result<Uint8Array, 'ENOSPC'> {
    const there = this.#chunks.get(chunk);
    if (there) return there;
    if (this.#chunks.size >= this.#most) {
      return refuse(ENOSPC, 'no more memory is taken for the disk', { chunks: this.#most });
    }
    const bytes = new Uint8Array(DISK_CHUNK);
    this.#chunks.set(chunk, bytes);
    return bytes;
  }
  /** Looks at the chunks that are there, however long the range is. */
  #forget(start: bigint, end: bigint): void {
    for (const [chunk, bytes] of this.#chunks) {
      const first = BigInt(chunk) * CHUNK;
      const from = start > first ? start - first : 0n;
      const to = end < first + CHUNK ? end - first : CHUNK;
      if (from >= to) continue;
      if (to - from === CHUNK) this.#chunks.delete(chunk);
      else bytes.fill(0, Number(from), Number(to));
    }
  }
}

/** A range cut where chunks begin: of each part its place in the chunk, and how much came before it. */
function* parts(
  at: bigint,
  length: number,
): Generator<{ chunk: number; start: number; end: number; done: number }> {
  let chunk = Number(at / CHUNK);
  let start = Number(at % CHUNK);
  for (let done = 0; done < length; chunk++) {
    const end = Math.min(DISK_CHUNK, start + length - done);
    yield { chunk, start, end, done };
    done += end - start;
    start = 0;
  }
}
