/**
 * The leaves of an IntervalMap in one typed array: up to FANOUT ranges each, in ascending order, linked both ways.
 *
 * A range is five words, so that the key, the end and the value's number mostly share a cache line. Values keep their
 * place while ranges move: moving references costs the garbage collector's bookkeeping for each. The slab grows by
 * doubling; freed leaves and places are used again.
 */
import { lessPair } from './word-pair.ts';

/** Ranges in a leaf at most. */
export const FANOUT = 32;
const ENTRY = 5;
const LEAF_WORDS = FANOUT * ENTRY;
const TWO_32 = 0x1_0000_0000;
const ALL_ONES = 0xffff_ffff;
const FIRST_LEAVES = 4;
/** So many places for values are given back when all are free. */
const MANY_VALUES = 4096;

/** All leaves of one map, by number. */
export class LeafSlab<T extends object> {
  /** startHi, startLo, lastHi, lastLo, number of the value. */
  #words = new Uint32Array(FIRST_LEAVES * LEAF_WORDS);
  readonly #values: (T | undefined)[] = [];
  readonly #freeValues: number[] = [];
  count = new Uint8Array(FIRST_LEAVES);
  next = new Int32Array(FIRST_LEAVES);
  prev = new Int32Array(FIRST_LEAVES);
  #used = 0;
  #free = -1;

  startHi(leaf: number, at: number): number {
    return this.#words[leaf * LEAF_WORDS + at * ENTRY]!;
  }
  startLo(leaf: number, at: number): number {
    return this.#words[leaf * LEAF_WORDS + at * ENTRY + 1]!;
  }
  lastHi(leaf: number, at: number): number {
    return this.#words[leaf * LEAF_WORDS + at * ENTRY + 2]!;
  }
  lastLo(leaf: number, at: number): number {
    return this.#words[leaf * LEAF_WORDS + at * ENTRY + 3]!;
  }
  value(leaf: number, at: number): T {
    return this.#values[this.#words[leaf * LEAF_WORDS + at * ENTRY + 4]!]!;
  }
  get byteSize(): number {
    return this.count.length * (LEAF_WORDS * 4 + 9) + this.#values.length * 8;
  }

  /** How many ranges of the leaf start at or before the key. */
  upperBound(leaf: number, hi: number, lo: number): number {
    const words = this.#words;
    const base = leaf * LEAF_WORDS;
    let at = 0;
    let length = this.count[leaf]!;
    while (length > 0) {
      const half = length >> 1;
      const mid = base + (at + half) * ENTRY;
      const midHi = words[mid]!;
      if (midHi < hi || (midHi === hi && words[mid + 1]! <= lo)) {
        at += half + 1;
        length -= half + 1;
      } else {
        length = half;
      }
    }
    return at;
  }
  startsAt(leaf: number, at: number, hi: number, lo: number): boolean {
    const place = leaf * LEAF_WORDS + at * ENTRY;
    return this.#words[place] === hi && this.#words[place + 1] === lo;
  }

  // eslint-disable-next-line max-params -- a place, two 64-bit keys as pairs, a value
  insertAt(leaf: number, at: number, sHi: number, sLo: number, lHi: number, lLo: number, value: T) {
    const words = this.#words;
    const place = leaf * LEAF_WORDS + at * ENTRY;
    const count = this.count[leaf]!;
    for (let n = leaf * LEAF_WORDS + count * ENTRY + 4; n >= place + ENTRY; n--) {
      words[n] = words[n - ENTRY]!;
    }
    words[place] = sHi;
    words[place + 1] = sLo;
    words[place + 2] = lHi;
    words[place + 3] = lLo;
    words[place + 4] = this.#keep(value);
    this.count[leaf] = count + 1;
  }
  eraseAt(leaf: number, at: number): T {
    const words = this.#words;
    const place = leaf * LEAF_WORDS + at * ENTRY;
    const number = words[place + 4]!;
    const left = this.count[leaf]! - 1;
    const end = leaf * LEAF_WORDS + left * ENTRY;
    for (let n = place; n < end; n++) words[n] = words[n + ENTRY]!;
    this.count[leaf] = left;
    const value = this.#values[number]!;
    this.#values[number] = undefined;
    this.#freeValues.push(number);
    if (this.#values.length > MANY_VALUES && this.#freeValues.length === this.#values.length) {
      this.#values.length = 0;
      this.#freeValues.length = 0;
    }
    return value;
  }
  #keep(value: T): number {
    const number = this.#freeValues.pop() ?? this.#values.length;
    if (number < this.#values.length) this.#values[number] = value;
    else this.#values.push(value);
    return number;
  }

  /**
   * Last byte minus first possible start in the hole behind a range, as a double that is never less than it should be
   * by rounding; negative: there is no such start. A start is alignup(x) | offset.
   */
  roomAfter(leaf: number, at: number, mask: number, offset: number): number {
    const words = this.#words;
    const place = leaf * LEAF_WORDS + at * ENTRY;
    const lo = (words[place + 3]! + 1) >>> 0;
    let hi = words[place + 2]! + (lo === 0 ? 1 : 0);
    let after = place + ENTRY;
    if (at + 1 >= this.count[leaf]!) {
      const nextLeaf = this.next[leaf]!;
      if (nextLeaf < 0) return roomTo(hi, lo, mask, offset);
      after = nextLeaf * LEAF_WORDS;
    }
    const start = ((lo + mask) & ~mask) >>> 0;
    if (start < lo) hi++;
    return (words[after]! - hi) * TWO_32 + (words[after + 1]! - ((start | offset) >>> 0) - 1);
  }
  /** The first range at or after `at` with at least so much room behind it, or -1; mostRoom is then that of the rest. */
  firstWithRoom(leaf: number, at: number, mask: number, offset: number, need: number): number {
    const count = this.count[leaf]!;
    let most = -1;
    for (let n = at; n < count; n++) {
      const room = this.roomAfter(leaf, n, mask, offset);
      if (room >= need) return n;
      if (room > most) most = room;
    }
    this.mostRoom = most;
    return -1;
  }
  mostRoom = -1;

  /** Does a range that would be entry `at` meet the one before it or the one after it? */
  // eslint-disable-next-line max-params -- two 64-bit keys are four numbers
  collides(
    leaf: number,
    at: number,
    startHi: number,
    startLo: number,
    lastHi: number,
    lastLo: number,
  ): boolean {
    const before = at > 0 ? leaf : this.prev[leaf]!;
    const n = at > 0 ? at - 1 : before < 0 ? -1 : this.count[before]! - 1;
    if (
      before >= 0 &&
      !lessPair(this.lastHi(before, n), this.lastLo(before, n), startHi, startLo)
    ) {
      return true;
    }
    if (at < this.count[leaf]!) {
      return !lessPair(lastHi, lastLo, this.startHi(leaf, at), this.startLo(leaf, at));
    }
    const after = this.next[leaf]!;
    return after >= 0 && !lessPair(lastHi, lastLo, this.startHi(after, 0), this.startLo(after, 0));
  }
  /** Move the entries from `at` on into a new leaf behind this one. */
  split(leaf: number, at: number): number {
    const right = this.alloc();
    const from = leaf * LEAF_WORDS;
    this.#words.copyWithin(right * LEAF_WORDS, from + at * ENTRY, from + this.count[leaf]! * ENTRY);
    this.count[right] = this.count[leaf]! - at;
    this.count[leaf] = at;
    const after = this.next[leaf]!;
    this.next[right] = after;
    this.prev[right] = leaf;
    this.next[leaf] = right;
    if (after >= 0) this.prev[after] = right;
    return right;
  }
  alloc(): number {
    let leaf = this.#free;
    if (leaf >= 0) this.#free = this.next[leaf]!;
    else {
      if (this.#used === this.count.length) this.#grow();
      leaf = this.#used++;
    }
    this.count[leaf] = 0;
    this.next[leaf] = -1;
    this.prev[leaf] = -1;
    return leaf;
  }
  unlink(leaf: number): void {
    const before = this.prev[leaf]!;
    const after = this.next[leaf]!;
    if (before >= 0) this.next[before] = after;
    if (after >= 0) this.prev[after] = before;
    this.next[leaf] = this.#free;
    this.#free = leaf;
  }

  #grow(): void {
    const leaves = this.count.length * 2;
    this.#words = into(new Uint32Array(leaves * LEAF_WORDS), this.#words);
    this.count = into(new Uint8Array(leaves), this.count);
    this.next = into(new Int32Array(leaves), this.next);
    this.prev = into(new Int32Array(leaves), this.prev);
  }
}

/** The room up to the end of the 64-bit space. */
function roomTo(hi: number, lo: number, mask: number, offset: number): number {
  const start = ((lo + mask) & ~mask) >>> 0;
  const startHi = start < lo ? hi + 1 : hi;
  return (ALL_ONES - startHi) * TWO_32 + (ALL_ONES - ((start | offset) >>> 0));
}

/** The old bytes into the larger array. */
export function into<A extends { set(from: ArrayLike<number>): void }>(
  next: A,
  old: ArrayLike<number>,
): A {
  next.set(old);
  return next;
}
