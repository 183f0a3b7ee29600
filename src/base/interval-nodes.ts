/**
 * The inner nodes of an IntervalMap in one typed array, and what each child promises to searches for a free place.
 *
 * A room is the space behind the first start of a wanted alignment in a hole. Where 2^alignLg2 is a page or more the
 * offset is 0 and room decides exactly whether a length fits, so per alignment and offset one number a child is enough
 * to walk past everything too small. These numbers are upper bounds, made when a search of an alignment is made:
 * inserting leaves them as they are, erasing raises them, and a search that was promised too much lowers them. So
 * searches pay for what was inserted since the last, and programs that place their mappings themselves pay nothing.
 */
import { FANOUT, into } from './interval-leaves.ts';

const ENTRY = 3;
const NODE_WORDS = FANOUT * ENTRY;
const FIRST_NODES = 4;
/** Alignments and offsets remembered at a time. A program uses one to three, seldom more than ten (4 KiB to 2 MiB). */
const MOST_ROOMS = 16;

/** The bounds of one alignment and offset: for each child of each node. */
export interface Room {
  readonly mask: number;
  readonly offset: number;
  bound: Float64Array<ArrayBuffer>;
  lastUse: number;
}

/** Inner nodes: up to FANOUT children, each with a key not above anything below it. */
export class NodeSlab {
  /** keyHi, keyLo, child. */
  #words = new Uint32Array(FIRST_NODES * NODE_WORDS);
  count = new Uint8Array(FIRST_NODES);
  readonly rooms: Room[] = [];
  #uses = 0;
  #used = 0;
  readonly #freed: number[] = [];

  keyHi(node: number, at: number): number {
    return this.#words[node * NODE_WORDS + at * ENTRY]!;
  }
  keyLo(node: number, at: number): number {
    return this.#words[node * NODE_WORDS + at * ENTRY + 1]!;
  }
  child(node: number, at: number): number {
    return this.#words[node * NODE_WORDS + at * ENTRY + 2]!;
  }
  get byteSize(): number {
    return this.count.length * (NODE_WORDS * 4 + 1 + this.rooms.length * FANOUT * 8);
  }
  /** The last child whose key is not above the wanted one; the first child takes everything below. */
  lowerChild(node: number, hi: number, lo: number): number {
    const words = this.#words;
    const base = node * NODE_WORDS;
    let at = 0;
    let length = this.count[node]!;
    while (length > 1) {
      const half = length >> 1;
      const mid = base + (at + half) * ENTRY;
      const midHi = words[mid]!;
      if (midHi < hi || (midHi === hi && words[mid + 1]! <= lo)) at += half;
      length -= half;
    }
    return at;
  }
  /** A new child promises what its left neighbour does, of which it was split off; the very first one anything. */
  insertAt(node: number, at: number, hi: number, lo: number, child: number): void {
    const words = this.#words;
    const count = this.count[node]!;
    const place = node * NODE_WORDS + at * ENTRY;
    words.copyWithin(place + ENTRY, place, node * NODE_WORDS + count * ENTRY);
    words[place] = hi;
    words[place + 1] = lo;
    words[place + 2] = child;
    for (const { bound } of this.rooms) {
      const n = node * FANOUT + at;
      bound.copyWithin(n + 1, n, node * FANOUT + count);
      bound[n] = at > 0 ? bound[n - 1]! : Infinity;
    }
    this.count[node] = count + 1;
  }
  eraseAt(node: number, at: number): void {
    const count = this.count[node]!;
    const place = node * NODE_WORDS + at * ENTRY;
    this.#words.copyWithin(place, place + ENTRY, node * NODE_WORDS + count * ENTRY);
    const n = node * FANOUT + at;
    for (const { bound } of this.rooms) bound.copyWithin(n, n + 1, node * FANOUT + count);
    this.count[node] = count - 1;
  }
  split(node: number, at: number): number {
    const right = this.alloc();
    const count = this.count[node]!;
    const from = node * NODE_WORDS;
    this.#words.copyWithin(right * NODE_WORDS, from + at * ENTRY, from + count * ENTRY);
    for (const { bound } of this.rooms) {
      bound.copyWithin(right * FANOUT, node * FANOUT + at, node * FANOUT + count);
    }
    this.count[node] = at;
    this.count[right] = count - at;
    return right;
  }
  alloc(): number {
    let node = this.#freed.pop();
    if (node === undefined) {
      if (this.#used === this.count.length) this.#grow();
      node = this.#used++;
    }
    this.count[node] = 0;
    return node;
  }
  free(node: number): void {
    this.#freed.push(node);
  }

  /** The bounds of an alignment and offset, made now if need be. */
  roomOf(mask: number, offset: number): Room {
    for (const room of this.rooms) {
      if (room.mask !== mask || room.offset !== offset) continue;
      room.lastUse = ++this.#uses;
      return room;
    }
    if (this.rooms.length === MOST_ROOMS) this.#dropRoom();
    const room = this.#newRoom(mask, offset);
    this.rooms.push(room);
    return room;
  }
  #dropRoom(): void {
    let oldest = 0;
    for (let n = 1; n < this.rooms.length; n++) {
      if (this.rooms[n]!.lastUse < this.rooms[oldest]!.lastUse) oldest = n;
    }
    this.rooms.splice(oldest, 1);
  }
  /** Of a lower alignment without offset every hole has at least as much room, so its bounds hold here too. */
  #newRoom(mask: number, offset: number): Room {
    let like: Room | undefined;
    for (const room of this.rooms) {
      if (room.offset !== 0 || room.mask > mask) continue;
      if (!like || room.mask > like.mask) like = room;
    }
    const bound =
      like?.bound.slice() ?? new Float64Array(this.count.length * FANOUT).fill(Infinity);
    return { mask, offset, bound, lastUse: ++this.#uses };
  }
  /** The first child at or after `at` that promises so much, or -1. */
  promising(room: Room, node: number, at: number, need: number): number {
    const { bound } = room;
    const count = this.count[node]!;
    const base = node * FANOUT;
    for (let n = at; n < count; n++) if (bound[base + n]! >= need) return n;
    return -1;
  }
  /** The most any child promises. */
  most(room: Room, node: number): number {
    const { bound } = room;
    const end = node * FANOUT + this.count[node]!;
    let most = -1;
    for (let n = node * FANOUT; n < end; n++) if (bound[n]! > most) most = bound[n]!;
    return most;
  }

  #grow(): void {
    const nodes = this.count.length * 2;
    this.#words = into(new Uint32Array(nodes * NODE_WORDS), this.#words);
    this.count = into(new Uint8Array(nodes), this.count);
    for (const room of this.rooms) room.bound = into(new Float64Array(nodes * FANOUT), room.bound);
  }
}
