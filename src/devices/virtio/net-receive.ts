/**
 * Frames into the buffers of a driver: one chain a frame, or as many as it takes where buffers are merged (virtio 1.2,
 * 5.1.6.4; devices.md 5.5).
 */
import { u16, u8, struct } from '../../base/struct.ts';
import type { DeviceDma } from '../port.ts';
import { cutPieces, piecesLength, writeEach, type PlacedBytes } from '../unit/each.ts';
import type { Chain, UsedChain } from './chain.ts';
import type { Virtqueue } from './virtqueue.ts';

/** Before every frame, in both directions. */
export const virtio_net_hdr = struct('virtio_net_hdr_v1', 12, {
  flags: u8,
  gso_type: u8,
  hdr_len: u16,
  gso_size: u16,
  csum_start: u16,
  csum_offset: u16,
  num_buffers: u16,
});

/** Buffers of one receive queue: taken, and not used yet. */
export class ReceiveBuffers {
  readonly #dma: DeviceDma;
  /** In the order of the ring. */
  chains: Chain[] = [];

  constructor(dma: DeviceDma) {
    this.#dma = dma;
  }

  /** Put these frames into the queue; those without a buffer are lost. Buffers are given back together. */
  receive(queue: Virtqueue, frames: readonly Uint8Array[], merged: boolean): void {
    const filled: (PlacedBytes & { readonly chain: Chain })[][] = [];
    for (const [n, frame] of frames.entries()) {
      if (this.chains.length === 0) this.chains.push(...queue.take(frames.length - n).chains);
      const bytes = new Uint8Array(virtio_net_hdr.size + frame.length);
      bytes.set(frame, virtio_net_hdr.size);
      const chains = this.#chainsFor(queue, bytes.length, merged);
      if (!chains) continue;
      virtio_net_hdr.view(bytes).num_buffers = chains.length;
      filled.push(spread(bytes, chains));
    }
    const all = filled.flat();
    const written = writeEach(this.#dma, all);
    queue.use(
      all.map(({ chain, bytes }, n): UsedChain => {
        return { chain, written: written[n] ? bytes.length : 0 };
      }),
    );
  }

  /** Buffers with so much room, taken from the front. Undefined: there is not so much, and none is taken. */
  #chainsFor(queue: Virtqueue, length: number, merged: boolean): Chain[] | undefined {
    let room = 0;
    for (let count = 0; merged ? room < length : count < 1; count++) {
      if (count === this.chains.length) this.chains.push(...queue.take(1).chains);
      const chain = this.chains[count];
      if (!chain) return undefined;
      room += piecesLength(chain.writable);
      if (room >= length) return this.chains.splice(0, count + 1);
    }
    return undefined;
  }
}

/** The bytes over the buffers, in their order. */
function spread(
  bytes: Uint8Array,
  chains: readonly Chain[],
): (PlacedBytes & { readonly chain: Chain })[] {
  let at = 0;
  return chains.map((chain) => {
    const pieces = cutPieces(chain.writable, 0, bytes.length - at);
    const part = bytes.subarray(at, (at += piecesLength(pieces)));
    return { chain, pieces, bytes: part };
  });
}
