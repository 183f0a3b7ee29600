/**
 * The receiver of the 82576 (devices.md 1.6, 1.11): frames go into the buffers of advanced descriptors.
 *
 * Frames that come together are written together: of each queue the descriptors are read in one transfer, and the frames
 * and then the descriptors are written in another. A frame without descriptors is missed, and so is what comes behind one
 * whose buffer is refused: its descriptor stays the next.
 */
import { crc32 } from '../unit/checksums.ts';
import { fetchBytes, ringPieces } from '../unit/ring.ts';
import type { DeviceDma, DmaPiece } from '../port.ts';
import type { Cells } from './cells.ts';
import { DESCRIPTOR, queueAt, type Queue } from './queues.ts';
import { RCTL } from './registers.ts';
import { describe, type Described, type Describing } from './rx-descriptor.ts';
import { FCS, type Statistics } from './statistics.ts';

const SRRCTL = { KIB: 0x7f, TYPE: 7 << 25 } as const;
/** Buffers by RCTL 17:16. */
const SIZES = [2048, 1024, 512, 256];
/** Legacy descriptors have another form. */
const LEGACY = 0;

/** Frames for one queue, and how they are described. */
export interface Delivery {
  /** The way to memory of the queue. */
  readonly dma: DeviceDma;
  readonly queue: number;
  readonly frames: readonly Uint8Array[];
  readonly describing: Describing;
}

export class Receive {
  readonly #cells: Cells;
  readonly #statistics: Statistics;

  constructor(cells: Cells, statistics: Statistics) {
    this.#cells = cells;
    this.#statistics = statistics;
  }

  /** The frames that are in memory now, of these; the others are counted as missed. */
  deliver({ dma, queue: index, frames, describing }: Delivery): readonly Uint8Array[] {
    const queue = queueAt(this.#cells, 'rx', index);
    const size = queue ? this.#bufferSize(index) : 0;
    const keepsSum = !this.#cells.has('rctl', RCTL.SECRC);
    const described = frames.map((frame) =>
      describe(keepsSum ? withChecksum(frame) : frame, describing),
    );
    const stored = queue && size > 0 ? this.#store(dma, { queue, index, size }, described) : 0;
    const missed = frames.length - stored;
    if (missed > 0) {
      this.#statistics.missed(missed);
      this.#cells.set('rqdpc', this.#cells.get('rqdpc', index) + missed, index);
    }
    return frames.slice(0, stored);
  }

  /** 0: the queue has descriptors that this receiver does not write. */
  #bufferSize(index: number): number {
    const srrctl = this.#cells.get('srrctl', index);
    if ((srrctl & SRRCTL.TYPE) === LEGACY) return 0;
    return (srrctl & SRRCTL.KIB) * 1024 || SIZES[(this.#cells.get('rctl') >>> 16) & 3]!;
  }

  /** How many frames went into memory, from the first on. */
  #store(
    dma: DeviceDma,
    { queue, index, size }: { queue: Queue; index: number; size: number },
    frames: readonly Described[],
  ): number {
    const { ring, head, waiting } = queue;
    let wanted = 0;
    for (const { bytes } of frames) wanted += buffersFor(bytes, size);
    const entries = fetchBytes(dma, ring, head, Math.min(wanted, waiting));
    const batch = new Batch(frames, size, entries);
    if (batch.frames === 0) return 0;
    const ringAt = ringPieces(ring, head, batch.used);
    batch.pieces.push(...ringAt);
    const rc = dma.write(batch.pieces, batch.bytes);
    if (!rc) return this.#advance(queue, index, batch.frames, batch.used);
    const [good, used] = batch.within(dma.moved);
    if (good === 0 || dma.moved >= batch.dataLength) return 0;
    const done = batch.bytes.subarray(batch.dataLength, batch.dataLength + used * DESCRIPTOR);
    return dma.write(ringPieces(ring, head, used), done)
      ? 0
      : this.#advance(queue, index, good, used);
  }
  #advance({ ring, head }: Queue, index: number, frames: number, used: number): number {
    this.#cells.set('rdh', (head + used) % ring.entries, index);
    return frames;
  }
}

function withChecksum(frame: Uint8Array): Uint8Array {
  const out = new Uint8Array(frame.length + FCS);
  out.set(frame);
  new DataView(out.buffer).setUint32(frame.length, crc32(frame), true);
  return out;
}

function buffersFor(bytes: Uint8Array, size: number): number {
  return Math.ceil(bytes.length / size);
}

/** Frames with the descriptors they fit into, as one list of pieces: all buffers, then all descriptors. */
class Batch {
  readonly pieces: DmaPiece[] = [];
  readonly bytes: Uint8Array;
  readonly dataLength: number;
  /** How many frames, and descriptors. */
  readonly frames: number;
  readonly used: number;
  readonly #ends: { readonly bytes: number; readonly used: number }[] = [];

  /** `entries`: descriptors, one after the other. */
  constructor(frames: readonly Described[], size: number, entries: Uint8Array) {
    const most = entries.length / DESCRIPTOR;
    let [length, used, count] = [0, 0, 0];
    for (const { bytes } of frames) {
      const buffers = buffersFor(bytes, size);
      if (used + buffers > most) break;
      length += bytes.length;
      used += buffers;
      count++;
      this.#ends.push({ bytes: length, used });
    }
    this.frames = count;
    this.used = used;
    this.dataLength = length;
    this.bytes = new Uint8Array(length + used * DESCRIPTOR);
    this.#fill(frames, size, entries);
  }
  /** How many frames, and descriptors, lie wholly within so many bytes. */
  within(moved: number): readonly [frames: number, used: number] {
    const good = this.#ends.filter((end) => end.bytes <= moved).length;
    return [good, this.#ends[good - 1]?.used ?? 0];
  }

  #fill(frames: readonly Described[], size: number, entries: Uint8Array): void {
    const words = new DataView(this.bytes.buffer);
    const given = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    let [at, used] = [0, 0];
    for (let n = 0; n < this.frames; n++) {
      const { bytes, write } = frames[n]!;
      this.bytes.set(bytes, at);
      for (let from = 0; from < bytes.length; from += size) {
        const length = Math.min(size, bytes.length - from);
        this.pieces.push({ at: given.getBigUint64(used * DESCRIPTOR, true), length });
        const isLast = from + length === bytes.length;
        write(words, this.dataLength + used * DESCRIPTOR, length, isLast);
        used++;
      }
      at += bytes.length;
    }
  }
}
