/**
 * Rings of descriptors in memory: software fills entries, the device works them off, both wrap at the end.
 *
 * What is waiting is fetched in one gather, two pieces where it wraps, so that a walk of many entries is one transfer.
 */
import type { Status } from '../../base/errno.ts';
import type { DeviceDma, DmaPiece } from '../port.ts';

/** Where a ring is, as the device puts it on the bus. */
export interface DescriptorRing {
  readonly base: bigint;
  readonly entries: number;
  /** Bytes of one entry. */
  readonly entrySize: number;
}

/** The entries from `first` on as pieces of memory. `count` is at most the size of the ring. */
export function ringPieces(ring: DescriptorRing, first: number, count: number): DmaPiece[] {
  const { base, entries, entrySize } = ring;
  const before = Math.min(count, entries - first);
  const pieces = [{ at: base + BigInt(first * entrySize), length: before * entrySize }];
  if (count > before) pieces.push({ at: base, length: (count - before) * entrySize });
  return pieces;
}

/**
 * Read `count` entries from `first` on. Fewer come back where one is refused: those before it, and a fault is told of
 * that one alone.
 */
export function fetchEntries(
  dma: DeviceDma,
  ring: DescriptorRing,
  first: number,
  count: number,
): Uint8Array[] {
  const { entrySize } = ring;
  const bytes = fetchBytes(dma, ring, first, count);
  const entries: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += entrySize) {
    entries.push(bytes.subarray(at, at + entrySize));
  }
  return entries;
}
/** The same, one after the other: for rings of so many small entries that a view of each costs more than to look at it. */
export function fetchBytes(
  dma: DeviceDma,
  ring: DescriptorRing,
  first: number,
  count: number,
): Uint8Array {
  const { entrySize } = ring;
  const bytes = new Uint8Array(count * entrySize);
  const rc = count > 0 ? dma.read(ringPieces(ring, first, count), bytes) : undefined;
  return rc ? bytes.subarray(0, dma.moved - (dma.moved % entrySize)) : bytes;
}

/** Write one entry, in one transfer. EFAULT as for any. */
export function storeEntry(
  dma: DeviceDma,
  ring: DescriptorRing,
  index: number,
  entry: Uint8Array,
): Status<'EFAULT'> {
  return dma.write(ring.base + BigInt(index * ring.entrySize), entry);
}
