/**
 * The packed ring: one ring of descriptors that the driver fills and the device overwrites, told apart by two bits and
 * the lap (virtio 1.2, 2.8; devices.md 5.4).
 *
 * Flags are looked at first and descriptors read after, so that what is read is what the flags speak of. Nothing is
 * written into the device's own event area: it stays as the driver made it, zeros, which asks for every notification.
 */
import { u16, u32, struct } from '../../base/struct.ts';
import type { DeviceDma, DmaPiece } from '../port.ts';
import { fetchEntries, ringPieces } from '../unit/ring.ts';
import {
  chainsOf,
  DESCRIPTOR_SIZE,
  packedDescriptor,
  passes,
  type Descriptor,
  type RawChain,
  type VirtRing,
  type VirtRingPlace,
  type VirtRingState,
  type TableRules,
  type TakenChains,
  type UsedChain,
} from './chain.ts';
import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
} from './numbers.ts';

/** What the device writes of a descriptor. */
const pvirtq_used = struct('pvirtq_used', 8, { len: u32, id: u16, flags: u16 });
const USED_AT = 8n;
/** Descriptors looked at in one walk, unless one chain is longer. */
const WINDOW = 64;
const BROKEN: TakenChains = { chains: [], broken: true, more: false };

/** A ring that both sides write. */
export class PackedRing implements VirtRing {
  readonly #place: VirtRingPlace;
  readonly #dma: DeviceDma;
  readonly #rules: TableRules;
  /** Positions of two laps: below the size the wrap counter is 1. */
  #avail = 0;
  #used = 0;

  constructor(place: VirtRingPlace) {
    this.#place = place;
    this.#dma = place.dma;
    this.#rules = {
      allowed: place.indirect,
      longest: place.size,
      unpack: tableDescriptors,
    };
  }

  take(limit: number): TakenChains {
    const { size } = this.#place;
    for (let window = Math.min(size, WINDOW); ; window = Math.min(size, 2 * window)) {
      const found = this.#descriptors(window);
      if (!found) return BROKEN;
      if (found.length === 0) return { chains: [], broken: false, more: false };
      const raw = wholeChains(found);
      if (raw.length > 0) return this.#taken(raw.slice(0, limit));
      // The driver makes the first descriptor available last: the others are there.
      if (found.length < window || window === size) return BROKEN;
    }
  }
  use(list: readonly UsedChain[]): boolean | undefined {
    if (list.length === 0) return false;
    const old = this.#used;
    const [first, ...others] = list.map((used) => this.#usedDescriptor(used));
    // The first one last: the driver looks at the others when it has seen it.
    const ordered = [...others, first!];
    const bytes = new Uint8Array(8 * list.length);
    for (const [n, one] of ordered.entries()) bytes.set(one.bytes, 8 * n);
    const pieces = ordered.map(({ piece }) => piece);
    if (this.#dma.write(pieces, bytes)) return undefined;
    return this.#wantsInterrupt(old);
  }
  state(): VirtRingState {
    return { avail: this.#avail, used: this.#used };
  }
  restore(state: VirtRingState): void {
    this.#avail = state['avail'] ?? 0;
    this.#used = state['used'] ?? 0;
  }

  get #ring() {
    const { desc, size } = this.#place;
    return { base: desc, entries: size, entrySize: DESCRIPTOR_SIZE };
  }
  #after(position: number, count: number): number {
    return (position + count) % (2 * this.#place.size);
  }

  /** The descriptors that are available, of the next so many. Undefined: the ring cannot be reached. */
  #descriptors(window: number): readonly Descriptor[] | undefined {
    const { size } = this.#place;
    const first = this.#avail % size;
    const seen = fetchEntries(this.#dma, this.#ring, first, window);
    if (seen.length < window) return undefined;
    const end = seen.findIndex((bytes, n) => !this.#isAvailable(packedDescriptor(bytes), n));
    const count = end < 0 ? window : end;
    const found = fetchEntries(this.#dma, this.#ring, first, count);
    return found.length < count ? undefined : found.map(packedDescriptor);
  }
  #isAvailable({ flags }: Descriptor, n: number): boolean {
    const wrap = this.#after(this.#avail, n) < this.#place.size;
    const avail = (flags & VIRTQ_DESC_F_AVAIL) !== 0;
    const used = (flags & VIRTQ_DESC_F_USED) !== 0;
    return avail === wrap && used !== wrap;
  }
  #taken(raw: readonly RawChain[]): TakenChains {
    const chains = chainsOf(this.#dma, raw, this.#rules);
    const slots = chains.reduce((sum, chain) => sum + chain.slots, 0);
    this.#avail = this.#after(this.#avail, slots);
    return { chains, broken: chains.length < raw.length, more: true };
  }

  /** The next used element, and where it belongs. */
  #usedDescriptor({ chain, written }: UsedChain): { piece: DmaPiece; bytes: Uint8Array } {
    const { size } = this.#place;
    const lap = this.#used < size ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
    const [place] = ringPieces(this.#ring, this.#used % size, 1);
    this.#used = this.#after(this.#used, chain.slots);
    return {
      piece: { at: place!.at + USED_AT, length: pvirtq_used.size },
      bytes: pvirtq_used.make({
        len: written,
        id: chain.id,
        flags: lap | (written > 0 ? VIRTQ_DESC_F_WRITE : 0),
      }).bytes,
    };
  }
  #wantsInterrupt(old: number): boolean | undefined {
    const { driver, size, eventIdx } = this.#place;
    const bytes = new Uint8Array(4);
    if (this.#dma.read(driver, bytes)) return undefined;
    const view = new DataView(bytes.buffer);
    const [where, flags] = [u16.get(view, 0), u16.get(view, 2) & 3];
    if (flags === RING_EVENT_FLAGS_DISABLE) return false;
    if (flags !== RING_EVENT_FLAGS_DESC || !eventIdx) return true;
    const event = (where & 0x7fff) + ((where & 0x8000) !== 0 ? 0 : size);
    const count = this.#after(this.#used - old + 2 * size, 0);
    return passes(event, old, count, 2 * size);
  }
}

/** The chains whose last descriptor is among these. The last one has the id. */
function wholeChains(found: readonly Descriptor[]): RawChain[] {
  const chains: RawChain[] = [];
  let first = 0;
  for (const [n, { flags, link }] of found.entries()) {
    if ((flags & VIRTQ_DESC_F_NEXT) !== 0) continue;
    chains.push({ id: link, list: found.slice(first, n + 1) });
    first = n + 1;
  }
  return chains;
}

/** All of a table, in its order: only the flag for writing means something there. */
function tableDescriptors(table: Uint8Array): readonly Descriptor[] {
  return Array.from({ length: table.length / DESCRIPTOR_SIZE }, (_, n) =>
    packedDescriptor(table.subarray(n * DESCRIPTOR_SIZE)),
  );
}
