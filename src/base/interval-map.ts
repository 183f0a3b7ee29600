/**
 * Disjoint [start, last] ranges of bytes with exact 64-bit inclusive ends: the areas of an io page table.
 *
 * A B+tree over typed arrays. A key is a pair (hi, lo) of 32-bit words, compared hi first; there is no bigint and no
 * object per range. Every node knows a bound for the largest free gap below it, so that the first gap of a wanted size is found
 * in logarithmic time. iommufd.md 3.1, 3.3.
 */
import { Bug, bugOn } from './bug.ts';
import { less, START, startInHole, type GapRequest } from './interval-gap.ts';
import { KeySlab, NodeSlab, FANOUT } from './interval-slabs.ts';

const TWO_32 = 0x1_0000_0000;
/** Gaps are doubles, inexact beyond 2^53: a bound is taken a little larger than what it bounds. */
const SLACK = 1 + 2 ** -50;

export type { GapRequest } from './interval-gap.ts';

export class IntervalMap<T extends object> {
  readonly #leaves = new KeySlab<T>();
  readonly #nodes = new NodeSlab();
  /** Inner levels above the leaves. */
  #height = 0;
  #root = 0;
  #size = 0;
  /** The path of the last descent, by level: node and child index. Level 0 is the leaf: index of the entry. */
  readonly #pathNode = new Int32Array(16);
  readonly #pathAt = new Int32Array(16);
  /** Cursor of seek() and next(). */
  #leaf = -1;
  #at = 0;
  /** Where the hole begins that findGap() looks at. */
  #fromHi = 0;
  #fromLo = 0;
  #nearLeaf = 0;
  #nearAt = 0;
  /** Result of findGap(). */
  foundHi = 0;
  foundLo = 0;

  constructor() {
    this.#root = this.#leaves.alloc();
  }

  get size(): number {
    return this.#size;
  }

  /** False: the range overlaps one that is there. */
  insert(startHi: number, startLo: number, lastHi: number, lastLo: number, value: T): boolean {
    const leaf = this.#descend(startHi, startLo);
    const keys = this.#leaves;
    const at = keys.upperBound(leaf, startHi, startLo);
    if (this.#leaves.collides(leaf, at, startHi, startLo, lastHi, lastLo)) return false;
    this.#size++;
    const old = this.#leaves.gapBefore(leaf, at);
    if (keys.count[leaf]! < FANOUT) {
      keys.insertAt(leaf, at, startHi, startLo, lastHi, lastLo, value);
      this.#gapSplit(leaf, at, old);
      if (at === keys.count[leaf]! - 1) this.#refreshAfter(leaf);
      return true;
    }
    const right = keys.split(leaf, at === FANOUT ? FANOUT - 1 : FANOUT >> 1);
    const kept = keys.count[leaf]!;
    if (at > kept) keys.insertAt(right, at - kept, startHi, startLo, lastHi, lastLo, value);
    else keys.insertAt(leaf, at, startHi, startLo, lastHi, lastLo, value);
    this.#leaves.maxGap[leaf] = this.#leaves.largestGap(leaf);
    this.#leaves.maxGap[right] = this.#leaves.largestGap(right);
    this.#addChild(1, right, at === FANOUT);
    this.#descend(startHi, startLo);
    this.#gapUp(1);
    this.#refreshAfter(right);
    return true;
  }

  /** The value whose range contains the key. */
  find(hi: number, lo: number): T | undefined {
    return this.#near(hi, lo) ? this.#leaves.value(this.#nearLeaf, this.#nearAt) : undefined;
  }

  /** The first value whose range ends at or after the key; next() goes on from there. */
  seek(hi: number, lo: number): T | undefined {
    const covers = this.#near(hi, lo);
    this.#leaf = this.#nearLeaf;
    this.#at = covers ? this.#nearAt - 1 : this.#nearAt;
    return this.next();
  }
  /** The value after the one seek() or next() gave. Nothing may have been inserted or erased in between. */
  next(): T | undefined {
    if (this.#leaf < 0) return undefined;
    this.#at++;
    while (this.#at >= this.#leaves.count[this.#leaf]!) {
      this.#leaf = this.#leaves.next[this.#leaf]!;
      if (this.#leaf < 0) return undefined;
      this.#at = 0;
    }
    return this.#leaves.value(this.#leaf, this.#at);
  }
  /** Every value in ascending order; the map must not change meanwhile. */
  *values(): IterableIterator<T> {
    for (let value = this.seek(0, 0); value !== undefined;) {
      const leaf = this.#leaf;
      const at = this.#at;
      yield value;
      this.#leaf = leaf;
      this.#at = at;
      value = this.next();
    }
  }

  /** Remove the range that starts exactly there. */
  erase(startHi: number, startLo: number): T {
    const leaf = this.#descend(startHi, startLo);
    const keys = this.#leaves;
    const at = keys.upperBound(leaf, startHi, startLo) - 1;
    bugOn(
      at < 0 || keys.startHi(leaf, at) !== startHi || keys.startLo(leaf, at) !== startLo,
      'no range starts at the one to erase',
    );
    const value = keys.value(leaf, at);
    const lost = this.#leaves.gapBefore(leaf, at);
    keys.eraseAt(leaf, at);
    this.#size--;
    if (keys.count[leaf] === 0) {
      const after = keys.next[leaf]!;
      this.#dropLeaf(leaf);
      this.#refreshLeaf(after);
      return value;
    }
    if (at === keys.count[leaf]) {
      this.#gapLost(leaf, lost);
      this.#refreshAfter(leaf);
    } else if (at === 0 && keys.prev[leaf]! < 0) {
      // The gap before the first range of all does not count, so the new first one's is lost.
      this.#gapLost(leaf, Infinity);
    } else {
      this.#gapGrown(leaf, this.#leaves.gapBefore(leaf, at));
    }
    return value;
  }

  /** The lowest start in the window where the wanted range fits between the ranges: into foundHi, foundLo. */
  findGap(want: GapRequest): boolean {
    const wanted = want.spanHi * TWO_32 + want.spanLo;
    if (!this.#enterWindow(want)) return false;
    return this.#searchFrom(want, wanted);
  }
  #searchFrom(want: GapRequest, wanted: number): boolean {
    for (;;) {
      if (this.#at >= this.#leaves.count[this.#leaf]!) {
        const after = this.#leaves.next[this.#leaf]!;
        if (after < 0)
          return this.#fits(want, this.#fromHi, this.#fromLo, want.lastHi, want.lastLo);
        this.#leaf = after;
        this.#at = 0;
      }
      const startHi = this.#leaves.startHi(this.#leaf, this.#at);
      const startLo = this.#leaves.startLo(this.#leaf, this.#at);
      if (this.#fitsBefore(want, this.#fromHi, this.#fromLo, startHi, startLo)) return true;
      if (!less(startHi, startLo, want.lastHi, want.lastLo)) return false;
      if (this.#nextGap(this.#leaf, this.#at, wanted)) this.#stepBack();
      else {
        // No gap between two ranges is large enough: only what follows the last range is left.
        this.#leaf = this.#lastLeaf();
        this.#at = this.#leaves.count[this.#leaf]! - 1;
      }
      if (!this.#startAfter(this.#leaf, this.#at)) return false;
      if (less(want.lastHi, want.lastLo, this.#fromHi, this.#fromLo)) return false;
      this.#at++;
    }
  }

  /** Bytes of the typed arrays: for the memory benchmark. */
  get byteSize(): number {
    return this.#leaves.byteSize + this.#nodes.byteSize;
  }

  #fits(want: GapRequest, hi: number, lo: number, lastHi: number, lastLo: number): boolean {
    const start = startInHole(want, hi, lo, lastHi, lastLo);
    if (!start) return false;
    this.foundHi = START.hi;
    this.foundLo = START.lo;
    return true;
  }
  #fitsBefore(want: GapRequest, hi: number, lo: number, endHi: number, endLo: number): boolean {
    if (endHi === hi && endLo === lo) return false;
    const lastLo = (endLo - 1) >>> 0;
    const lastHi = endLo === 0 ? endHi - 1 : endHi;
    if (less(want.lastHi, want.lastLo, lastHi, lastLo)) {
      return this.#fits(want, hi, lo, want.lastHi, want.lastLo);
    }
    return this.#fits(want, hi, lo, lastHi, lastLo);
  }
  /** Set #fromHi, #fromLo to the address after an entry; false: there is none. */
  #startAfter(leaf: number, at: number): boolean {
    const lastHi = this.#leaves.lastHi(leaf, at);
    const lastLo = this.#leaves.lastLo(leaf, at);
    if (lastLo === 0xffff_ffff && lastHi === 0xffff_ffff) return false;
    this.#fromLo = (lastLo + 1) >>> 0;
    this.#fromHi = this.#fromLo === 0 ? lastHi + 1 : lastHi;
    return true;
  }
  /** The first place at or after the window's start that no range covers: cursor and #from. */
  #enterWindow({ firstHi, firstLo }: GapRequest): boolean {
    this.#fromHi = firstHi;
    this.#fromLo = firstLo;
    const covered = this.#near(firstHi, firstLo);
    this.#leaf = this.#nearLeaf;
    this.#at = this.#nearAt + 1;
    return !covered || this.#startAfter(this.#leaf, this.#nearAt);
  }
  /**
   * Set #near to the last entry that starts at or before the key, index -1 for none; true when it reaches the key.
   * It may be the last one of the leaf before: a leaf that lost its first entry keeps its place in the tree.
   */
  #near(hi: number, lo: number): boolean {
    const keys = this.#leaves;
    let leaf = this.#descend(hi, lo);
    let at = keys.upperBound(leaf, hi, lo) - 1;
    if (at < 0 && keys.prev[leaf]! >= 0) {
      leaf = keys.prev[leaf]!;
      at = keys.count[leaf]! - 1;
    }
    this.#nearLeaf = leaf;
    this.#nearAt = at;
    return at >= 0 && !less(keys.lastHi(leaf, at), keys.lastLo(leaf, at), hi, lo);
  }
  #stepBack(): void {
    if (--this.#at >= 0) return;
    this.#leaf = this.#leaves.prev[this.#leaf]!;
    this.#at = this.#leaves.count[this.#leaf]! - 1;
  }
  /** Set the cursor to the first entry after (leaf, at) whose gap before it may hold `wanted` + 1 bytes. */
  #nextGap(leaf: number, at: number, wanted: number): boolean {
    const keys = this.#leaves;
    for (let n = at + 1; n < keys.count[leaf]!; n++) {
      if (this.#leaves.gapBefore(leaf, n) * SLACK > wanted) {
        this.#leaf = leaf;
        this.#at = n;
        return true;
      }
    }
    // Up from this leaf until a later sibling promises a gap, then down.
    this.#descend(keys.startHi(leaf, at), keys.startLo(leaf, at));
    for (let level = 1; level <= this.#height; level++) {
      const node = this.#pathNode[level]!;
      const from = this.#pathAt[level]! + 1;
      const child = this.#childWithGap(level, node, from, wanted);
      if (child >= 0) return this.#firstGapBelow(level - 1, child, wanted);
    }
    return false;
  }
  #childWithGap(level: number, node: number, from: number, wanted: number): number {
    for (let n = from; n < this.#nodes.count[node]!; n++) {
      const child = this.#nodes.child(node, n);
      if (this.#maxGap(level - 1, child) * SLACK > wanted) return child;
    }
    return -1;
  }
  #firstGapBelow(level: number, top: number, wanted: number): boolean {
    let node = top;
    for (let at = level; at > 0; at--) {
      node = this.#childWithGap(at, node, 0, wanted);
      bugOn(node < 0, 'a node promises a gap that none of its children has');
    }
    for (let n = 0; n < this.#leaves.count[node]!; n++) {
      if (this.#leaves.gapBefore(node, n) * SLACK > wanted) {
        this.#leaf = node;
        this.#at = n;
        return true;
      }
    }
    throw new Bug('a leaf promises a gap that it does not have');
  }
  #maxGap(level: number, node: number): number {
    return level === 0 ? this.#leaves.maxGap[node]! : this.#nodes.maxGap[node]!;
  }

  /** A range was inserted at `at` into a gap of `old` bytes; the path is the leaf's. */
  #gapSplit(leaf: number, at: number, old: number): void {
    if (old > 0 && old >= this.#leaves.maxGap[leaf]!) this.#gapLost(leaf, old);
    else
      this.#gapGrown(
        leaf,
        Math.max(this.#leaves.gapBefore(leaf, at), this.#leaves.gapBefore(leaf, at + 1)),
      );
  }
  /** The leaf of the current path lost a gap of `old` bytes: recompute only when that was its largest. */
  #gapLost(leaf: number, old: number): void {
    const keys = this.#leaves;
    if (old < keys.maxGap[leaf]!) return;
    const max = this.#leaves.largestGap(leaf);
    if (max === keys.maxGap[leaf]) return;
    keys.maxGap[leaf] = max;
    this.#gapUp(1);
  }
  #gapGrown(leaf: number, gap: number): void {
    if (gap <= this.#leaves.maxGap[leaf]!) return;
    this.#leaves.maxGap[leaf] = gap;
    this.#raise(gap);
  }
  /** Recompute the bounds above the current path's leaf. */
  #gapUp(from: number): void {
    for (let level = from; level <= this.#height; level++) {
      const node = this.#pathNode[level]!;
      let max = 0;
      for (let n = 0; n < this.#nodes.count[node]!; n++) {
        max = Math.max(max, this.#maxGap(level - 1, this.#nodes.child(node, n)));
      }
      this.#nodes.maxGap[node] = max;
    }
  }
  /** A gap grew in the leaf of the current path. */
  #raise(gap: number): void {
    for (let level = 1; level <= this.#height; level++) {
      const node = this.#pathNode[level]!;
      if (this.#nodes.maxGap[node]! >= gap) return;
      this.#nodes.maxGap[node] = gap;
    }
  }
  /** The gap before the first entry of the following leaf changed. */
  #refreshAfter(leaf: number): void {
    this.#refreshLeaf(this.#leaves.next[leaf]!);
  }
  #refreshLeaf(leaf: number): void {
    if (leaf < 0 || this.#leaves.count[leaf] === 0) return;
    const max = this.#leaves.largestGap(leaf);
    if (max === this.#leaves.maxGap[leaf]) return;
    this.#leaves.maxGap[leaf] = max;
    this.#descend(this.#leaves.startHi(leaf, 0), this.#leaves.startLo(leaf, 0));
    this.#gapUp(1);
  }

  #descend(hi: number, lo: number): number {
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) {
      const at = this.#nodes.lowerChild(node, hi, lo);
      this.#pathNode[level] = node;
      this.#pathAt[level] = at;
      node = this.#nodes.child(node, at);
    }
    return node;
  }
  #lastLeaf(): number {
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) {
      node = this.#nodes.child(node, this.#nodes.count[node]! - 1);
    }
    return node;
  }

  #firstKey(level: number, node: number): [number, number] {
    return level === 0
      ? [this.#leaves.startHi(node, 0), this.#leaves.startLo(node, 0)]
      : [this.#nodes.keyHi(node, 0), this.#nodes.keyLo(node, 0)];
  }
  #addChild(level: number, child: number, appending: boolean): void {
    const nodes = this.#nodes;
    const [hi, lo] = this.#firstKey(level - 1, child);
    if (level > this.#height) {
      const root = nodes.alloc();
      nodes.insertAt(root, 0, 0, 0, this.#root);
      nodes.insertAt(root, 1, hi, lo, child);
      nodes.maxGap[root] = Math.max(
        this.#maxGap(level - 1, this.#root),
        this.#maxGap(level - 1, child),
      );
      this.#root = root;
      this.#height++;
      return;
    }
    const node = this.#pathNode[level]!;
    const at = this.#pathAt[level]! + 1;
    if (nodes.count[node]! < FANOUT) {
      nodes.insertAt(node, at, hi, lo, child);
      return;
    }
    const right = nodes.split(node, appending && at === FANOUT ? FANOUT - 1 : FANOUT >> 1);
    const kept = nodes.count[node]!;
    if (at > kept) nodes.insertAt(right, at - kept, hi, lo, child);
    else nodes.insertAt(node, at, hi, lo, child);
    for (const half of [node, right]) {
      let max = 0;
      for (let n = 0; n < nodes.count[half]!; n++) {
        max = Math.max(max, this.#maxGap(level - 1, nodes.child(half, n)));
      }
      nodes.maxGap[half] = max;
    }
    this.#addChild(level + 1, right, appending);
  }

  /** Take an empty leaf out of the tree, and every inner node that becomes empty with it. */
  #dropLeaf(leaf: number): void {
    if (this.#height === 0) {
      this.#leaves.maxGap[leaf] = 0;
      return;
    }
    this.#leaves.unlink(leaf);
    for (let level = 1; level <= this.#height; level++) {
      const node = this.#pathNode[level]!;
      this.#nodes.eraseAt(node, this.#pathAt[level]!);
      if (this.#nodes.count[node]! > 0) {
        this.#gapUp(level);
        this.#lowerRoot();
        return;
      }
      this.#nodes.free(node);
    }
    this.#height = 0;
    this.#root = this.#leaves.alloc();
  }
  #lowerRoot(): void {
    while (this.#height > 0 && this.#nodes.count[this.#root] === 1) {
      const only = this.#nodes.child(this.#root, 0);
      this.#nodes.free(this.#root);
      this.#root = only;
      this.#height--;
    }
  }
}
