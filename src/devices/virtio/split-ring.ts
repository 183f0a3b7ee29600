/**
 * The split ring: a table of descriptors, a ring of heads that the driver fills and a ring of used elements that the
 * device fills (virtio 1.2, 2.7; devices.md 5.4).
 *
 * A walk moves each kind of thing in one transfer: the index, the heads, then level by level the descriptors of all chains.
 */
import { u16, u32, struct } from '../../base/struct.ts';
import type { DeviceDma } from '../port.ts';
import { readEach } from '../unit/each.ts';
import { fetchEntries, ringPieces } from '../unit/ring.ts';
import {
  chainsOf,
  DESCRIPTOR_SIZE,
  passes,
  splitDescriptor,
  type Descriptor,
  type RawChain,
  type VirtRing,
  type VirtRingPlace,
  type VirtRingState,
  type TableRules,
  type TakenChains,
  type UsedChain,
} from './chain.ts';
import { VIRTQ_AVAIL_F_NO_INTERRUPT, VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT } from './numbers.ts';

const virtq_used_elem = struct('virtq_used_elem', 8, { id: u32, len: u32 });
/** Bytes of flags and idx before the entries of either ring. */
const HEAD = 4;
/** Indexes are counted in 16 bits. */
const CIRCLE = 0x1_0000;
const BROKEN: TakenChains = { chains: [], broken: true, more: false };

/** A chain on the way through the table. */
interface Walk {
  readonly id: number;
  readonly list: Descriptor[];
  next: number | undefined;
  broken: boolean;
}

/** A ring in three parts. */
export class SplitRing implements VirtRing {
  readonly #place: VirtRingPlace;
  readonly #dma: DeviceDma;
  readonly #rules: TableRules;
  /** The next to take of the avail ring, and to fill of the used ring, as the counters have them. */
  #avail = 0;
  #used = 0;

  constructor(place: VirtRingPlace) {
    this.#place = place;
    this.#dma = place.dma;
    this.#rules = {
      allowed: place.indirect,
      longest: place.size,
      unpack: tableChain,
    };
  }

  take(limit: number): TakenChains {
    const waiting = this.#waiting();
    if (waiting === undefined) return BROKEN;
    const heads = this.#heads(Math.min(waiting, limit));
    if (!heads) return BROKEN;
    const chains = chainsOf(this.#dma, this.#walk(heads), this.#rules);
    this.#avail = (this.#avail + chains.length) % CIRCLE;
    if (chains.length < heads.length) return { chains, broken: true, more: false };
    const left = this.#expectMore();
    return { chains, broken: left === undefined, more: left !== 0 };
  }
  use(list: readonly UsedChain[]): boolean | undefined {
    if (list.length === 0) return false;
    const { size, device } = this.#place;
    const elements = { base: device + BigInt(HEAD), entries: size, entrySize: 8 };
    const bytes = new Uint8Array(list.length * 8 + 2);
    for (const [n, { chain, written }] of list.entries()) {
      Object.assign(virtq_used_elem.view(bytes.subarray(n * 8)), { id: chain.id, len: written });
    }
    const old = this.#used;
    this.#used = (old + list.length) % CIRCLE;
    u16.set(new DataView(bytes.buffer), list.length * 8, this.#used);
    // The index last: elements before it are there when the driver sees it.
    const pieces = ringPieces(elements, old % size, list.length);
    if (this.#dma.write([...pieces, { at: device + 2n, length: 2 }], bytes)) return undefined;
    return this.#wantsInterrupt(old, list.length);
  }
  state(): VirtRingState {
    return { avail: this.#avail, used: this.#used };
  }
  restore(state: VirtRingState): void {
    this.#avail = state['avail'] ?? 0;
    this.#used = state['used'] ?? 0;
  }

  /** Chains that were not taken yet. Undefined: more than fit, or the index cannot be read. */
  #waiting(): number | undefined {
    const idx = this.#word(this.#place.driver + 2n);
    if (idx === undefined) return undefined;
    const waiting = (idx - this.#avail + CIRCLE) % CIRCLE;
    return waiting > this.#place.size ? undefined : waiting;
  }
  #heads(count: number): readonly number[] | undefined {
    const { driver, size } = this.#place;
    const ring = { base: driver + BigInt(HEAD), entries: size, entrySize: 2 };
    const heads = fetchEntries(this.#dma, ring, this.#avail % size, count);
    if (heads.length < count) return undefined;
    return heads.map(([low, high]) => low! | (high! << 8));
  }
  /** All chains one descriptor further at a time, in one transfer. Those before the first that is broken. */
  #walk(heads: readonly number[]): readonly RawChain[] {
    const walks = heads.map((id): Walk => ({ id, list: [], next: id, broken: false }));
    for (let level = 0; level < this.#place.size; level++) {
      const going = walks.filter(({ next, broken }) => next !== undefined && !broken);
      if (going.length === 0) break;
      this.#step(going);
    }
    const end = walks.findIndex(({ next, broken }) => next !== undefined || broken);
    return end < 0 ? walks : walks.slice(0, end);
  }
  #step(walks: readonly Walk[]): void {
    const { desc, size } = this.#place;
    for (const walk of walks) walk.broken = walk.next! >= size;
    const inside = walks.filter(({ broken }) => !broken);
    const places = inside.map(({ next }) => [
      { at: desc + BigInt(next! * DESCRIPTOR_SIZE), length: DESCRIPTOR_SIZE },
    ]);
    for (const [n, bytes] of readEach(this.#dma, places).entries()) {
      const walk = inside[n]!;
      if (bytes) follow(walk, splitDescriptor(bytes));
      else walk.broken = true;
    }
  }

  /** Ask to hear of the next one. How many are there already? Undefined: the ring cannot be reached. */
  #expectMore(): number | undefined {
    const { eventIdx, device, size } = this.#place;
    if (eventIdx) {
      const bytes = Uint8Array.of(this.#avail & 0xff, this.#avail >> 8);
      if (this.#dma.write(device + BigInt(HEAD + 8 * size), bytes)) return undefined;
    }
    return this.#waiting();
  }
  #wantsInterrupt(old: number, count: number): boolean | undefined {
    const { eventIdx, driver, size } = this.#place;
    if (!eventIdx) {
      const flags = this.#word(driver);
      return flags === undefined ? undefined : (flags & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    }
    const event = this.#word(driver + BigInt(HEAD + 2 * size));
    return event === undefined ? undefined : passes(event, old, count, CIRCLE);
  }
  #word(at: bigint): number | undefined {
    const bytes = new Uint8Array(2);
    return this.#dma.read(at, bytes) ? undefined : bytes[0]! | (bytes[1]! << 8);
  }
}

function follow(walk: Walk, descriptor: Descriptor): void {
  walk.list.push(descriptor);
  const { flags, link } = descriptor;
  const goesOn = (flags & VIRTQ_DESC_F_NEXT) !== 0 && (flags & VIRTQ_DESC_F_INDIRECT) === 0;
  walk.next = goesOn ? link : undefined;
}

/** A table has a chain of its own, from its first descriptor on. */
function tableChain(table: Uint8Array): readonly Descriptor[] | undefined {
  const entries = table.length / DESCRIPTOR_SIZE;
  const walk: Walk = { id: 0, list: [], next: 0, broken: false };
  while (walk.next !== undefined) {
    if (walk.next >= entries || walk.list.length === entries) return undefined;
    follow(walk, splitDescriptor(table.subarray(walk.next * DESCRIPTOR_SIZE)));
  }
  return walk.list;
}
