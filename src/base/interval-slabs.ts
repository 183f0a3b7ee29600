/**
 * The nodes of an IntervalMap in typed arrays: leaves with ranges and values, inner nodes with keys and children.
 * A slab grows by doubling; freed nodes are used again.
 */
import { less } from './interval-gap.ts';

export const FANOUT = 32;
const TWO_32 = 0x1_0000_0000;
const FIRST_NODES = 4;

function grown32(old: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const next = new Uint32Array(length);
  next.set(old);
  return next;
}
function grownInt(old: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const next = new Int32Array(length);
  next.set(old);
  return next;
}
function grownDouble(old: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const next = new Float64Array(length);
  next.set(old);
  return next;
}

/** Leaves: up to FANOUT ranges each, linked in ascending order. */
export class KeySlab<T extends object> {
  #startHi = new Uint32Array(FIRST_NODES * FANOUT);
  #startLo = new Uint32Array(FIRST_NODES * FANOUT);
  #lastHi = new Uint32Array(FIRST_NODES * FANOUT);
  #lastLo = new Uint32Array(FIRST_NODES * FANOUT);
  readonly #values: (T | undefined)[] = [];
  count = new Int32Array(FIRST_NODES);
  next = new Int32Array(FIRST_NODES);
  prev = new Int32Array(FIRST_NODES);
  maxGap = new Float64Array(FIRST_NODES);
  #used = 0;
  #free = -1;

  startHi(leaf: number, at: number): number {
    return this.#startHi[leaf * FANOUT + at]!;
  }
  startLo(leaf: number, at: number): number {
    return this.#startLo[leaf * FANOUT + at]!;
  }
  lastHi(leaf: number, at: number): number {
    return this.#lastHi[leaf * FANOUT + at]!;
  }
  lastLo(leaf: number, at: number): number {
    return this.#lastLo[leaf * FANOUT + at]!;
  }
  value(leaf: number, at: number): T {
    return this.#values[leaf * FANOUT + at]!;
  }
  get byteSize(): number {
    return this.count.length * (FANOUT * 24 + 20);
  }

  /** How many ranges of the leaf start at or before the key. */
  upperBound(leaf: number, hi: number, lo: number): number {
    const startHi = this.#startHi;
    const startLo = this.#startLo;
    const base = leaf * FANOUT;
    let at = 0;
    let length = this.count[leaf]!;
    while (length > 0) {
      const half = length >> 1;
      const mid = base + at + half;
      const midHi = startHi[mid]!;
      if (midHi < hi || (midHi === hi && startLo[mid]! <= lo)) {
        at += half + 1;
        length -= half + 1;
      } else {
        length = half;
      }
    }
    return at;
  }

  // eslint-disable-next-line max-params -- a place, two 64-bit keys as pairs, a value
  insertAt(leaf: number, at: number, sHi: number, sLo: number, lHi: number, lLo: number, value: T) {
    const startHi = this.#startHi;
    const startLo = this.#startLo;
    const lastHi = this.#lastHi;
    const lastLo = this.#lastLo;
    const values = this.#values;
    const place = leaf * FANOUT + at;
    for (let n = leaf * FANOUT + this.count[leaf]!; n > place; n--) {
      startHi[n] = startHi[n - 1]!;
      startLo[n] = startLo[n - 1]!;
      lastHi[n] = lastHi[n - 1]!;
      lastLo[n] = lastLo[n - 1]!;
      values[n] = values[n - 1];
    }
    startHi[place] = sHi;
    startLo[place] = sLo;
    lastHi[place] = lHi;
    lastLo[place] = lLo;
    values[place] = value;
    this.count[leaf]!++;
  }
  eraseAt(leaf: number, at: number): void {
    const end = leaf * FANOUT + this.count[leaf]! - 1;
    for (let n = leaf * FANOUT + at; n < end; n++) this.#copy(n + 1, n);
    this.#values[end] = undefined;
    this.count[leaf]!--;
  }
  /** Bytes free before an entry; 0 before the very first, whose gap no search needs a bound for. */
  gapBefore(leaf: number, at: number): number {
    if (at >= this.count[leaf]!) return 0;
    let beforeLeaf = leaf;
    let before = at - 1;
    if (before < 0) {
      beforeLeaf = this.prev[leaf]!;
      if (beforeLeaf < 0) return 0;
      before = this.count[beforeLeaf]! - 1;
      if (before < 0) return 0;
    }
    return (
      (this.startHi(leaf, at) - this.lastHi(beforeLeaf, before)) * TWO_32 +
      (this.startLo(leaf, at) - this.lastLo(beforeLeaf, before)) -
      1
    );
  }
  largestGap(leaf: number): number {
    let max = 0;
    for (let n = 0; n < this.count[leaf]!; n++) {
      const gap = this.gapBefore(leaf, n);
      if (gap > max) max = gap;
    }
    return max;
  }
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
    if (before >= 0 && !less(this.lastHi(before, n), this.lastLo(before, n), startHi, startLo)) {
      return true;
    }
    if (at < this.count[leaf]!) {
      return !less(lastHi, lastLo, this.startHi(leaf, at), this.startLo(leaf, at));
    }
    const after = this.next[leaf]!;
    return after >= 0 && !less(lastHi, lastLo, this.startHi(after, 0), this.startLo(after, 0));
  }
  /** Move the entries from `at` on into a new leaf behind this one. */
  split(leaf: number, at: number): number {
    const right = this.alloc();
    const moved = this.count[leaf]! - at;
    for (let n = 0; n < moved; n++) {
      this.#copy(leaf * FANOUT + at + n, right * FANOUT + n);
      this.#values[leaf * FANOUT + at + n] = undefined;
    }
    this.count[leaf] = at;
    this.count[right] = moved;
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
      // The values array stays dense, so that V8 keeps its fast elements.
      for (let n = 0; n < FANOUT; n++) this.#values.push(undefined);
    }
    this.count[leaf] = 0;
    this.next[leaf] = -1;
    this.prev[leaf] = -1;
    this.maxGap[leaf] = 0;
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

  #copy(from: number, to: number): void {
    this.#startHi[to] = this.#startHi[from]!;
    this.#startLo[to] = this.#startLo[from]!;
    this.#lastHi[to] = this.#lastHi[from]!;
    this.#lastLo[to] = this.#lastLo[from]!;
    this.#values[to] = this.#values[from];
  }
  #grow(): void {
    const leaves = this.count.length * 2;
    this.#startHi = grown32(this.#startHi, leaves * FANOUT);
    this.#startLo = grown32(this.#startLo, leaves * FANOUT);
    this.#lastHi = grown32(this.#lastHi, leaves * FANOUT);
    this.#lastLo = grown32(this.#lastLo, leaves * FANOUT);
    this.count = grownInt(this.count, leaves);
    this.next = grownInt(this.next, leaves);
    this.prev = grownInt(this.prev, leaves);
    this.maxGap = grownDouble(this.maxGap, leaves);
  }
}

/** Inner nodes: up to FANOUT children, each with a key not above anything below it. */
export class NodeSlab {
  #keyHi = new Uint32Array(FIRST_NODES * FANOUT);
  #keyLo = new Uint32Array(FIRST_NODES * FANOUT);
  #children = new Int32Array(FIRST_NODES * FANOUT);
  count = new Int32Array(FIRST_NODES);
  maxGap = new Float64Array(FIRST_NODES);
  #used = 0;
  readonly #freed: number[] = [];

  keyHi(node: number, at: number): number {
    return this.#keyHi[node * FANOUT + at]!;
  }
  keyLo(node: number, at: number): number {
    return this.#keyLo[node * FANOUT + at]!;
  }
  child(node: number, at: number): number {
    return this.#children[node * FANOUT + at]!;
  }
  get byteSize(): number {
    return this.count.length * (FANOUT * 12 + 12);
  }
  /** The last child whose key is not above the wanted one; the first child takes everything below. */
  lowerChild(node: number, hi: number, lo: number): number {
    const keyHi = this.#keyHi;
    const keyLo = this.#keyLo;
    const base = node * FANOUT;
    let at = 0;
    let length = this.count[node]!;
    while (length > 1) {
      const half = length >> 1;
      const mid = base + at + half;
      const midHi = keyHi[mid]!;
      if (midHi < hi || (midHi === hi && keyLo[mid]! <= lo)) at += half;
      length -= half;
    }
    return at;
  }
  insertAt(node: number, at: number, hi: number, lo: number, child: number): void {
    const place = node * FANOUT + at;
    for (let n = node * FANOUT + this.count[node]!; n > place; n--) this.#copy(n - 1, n);
    this.#keyHi[place] = hi;
    this.#keyLo[place] = lo;
    this.#children[place] = child;
    this.count[node]!++;
  }
  eraseAt(node: number, at: number): void {
    const end = node * FANOUT + this.count[node]! - 1;
    for (let n = node * FANOUT + at; n < end; n++) this.#copy(n + 1, n);
    this.count[node]!--;
  }
  split(node: number, at: number): number {
    const right = this.alloc();
    const moved = this.count[node]! - at;
    for (let n = 0; n < moved; n++) this.#copy(node * FANOUT + at + n, right * FANOUT + n);
    this.count[node] = at;
    this.count[right] = moved;
    return right;
  }
  alloc(): number {
    let node = this.#freed.pop();
    if (node === undefined) {
      if (this.#used === this.count.length) this.#grow();
      node = this.#used++;
    }
    this.count[node] = 0;
    this.maxGap[node] = 0;
    return node;
  }
  free(node: number): void {
    this.#freed.push(node);
  }

  #copy(from: number, to: number): void {
    this.#keyHi[to] = this.#keyHi[from]!;
    this.#keyLo[to] = this.#keyLo[from]!;
    this.#children[to] = this.#children[from]!;
  }
  #grow(): void {
    const nodes = this.count.length * 2;
    this.#keyHi = grown32(this.#keyHi, nodes * FANOUT);
    this.#keyLo = grown32(this.#keyLo, nodes * FANOUT);
    this.#children = grownInt(this.#children, nodes * FANOUT);
    this.count = grownInt(this.count, nodes);
    this.maxGap = grownDouble(this.maxGap, nodes);
  }
}
