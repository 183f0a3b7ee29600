/**
 * Disjoint [start, last] ranges of bytes with exact 64-bit inclusive ends: the areas of an io page table.
 *
 * A B+tree over typed arrays. A key is a pair (hi, lo) of 32-bit words, compared hi first; there is no bigint and no
 * object per range. The tree knows how much room its holes have, so that the first hole that takes a wanted length at a
 * wanted alignment is found in logarithmic time (interval-nodes.ts). iommufd.md 3.1, 3.3.
 */
import { bugOn } from './bug.ts';
import { alignMask, startInHole, type GapRequest } from './interval-gap.ts';
import { FANOUT, LeafSlab } from './interval-leaves.ts';
import { NodeSlab, type Room } from './interval-nodes.ts';
import { lessPair } from './word-pair.ts';

const TWO_32 = 0x1_0000_0000;
const ALL_ONES = 0xffff_ffff;

/** Objects by disjoint ranges of bytes; ends are inclusive. @kernel rb_root_cached (interval tree) */
export class IntervalMap<T extends object> {
  readonly #leaves = new LeafSlab<T>();
  readonly #nodes = new NodeSlab();
  /** Inner levels above the leaves. */
  #height = 0;
  #root = 0;
  #size = 0;
  /** The path of the last descent, by level: node and child index. Level 0 is the leaf. */
  readonly #pathNode = new Int32Array(16);
  readonly #pathAt = new Int32Array(16);
  /** Cursor of seek() and next(). */
  #leaf = -1;
  #at = 0;
  /** The last range that starts at or before the key looked for last. Insert and erase look there first. */
  #nearLeaf = 0;
  #nearAt = -1;

  constructor() {
    this.#root = this.#leaves.alloc();
  }

  get size(): number {
    return this.#size;
  }
  /** Bytes of the arrays: for the memory benchmark. */
  get byteSize(): number {
    return this.#leaves.byteSize + this.#nodes.byteSize;
  }

  /** False: the range overlaps one that is there. */
  insert(startHi: number, startLo: number, lastHi: number, lastLo: number, value: T): boolean {
    const leaves = this.#leaves;
    let leaf = this.#nearLeaf;
    let at = this.#nearAt + 1;
    if (!this.#belongsAt(leaf, at, startHi, startLo)) {
      leaf = this.#leafOf(startHi, startLo);
      at = leaves.upperBound(leaf, startHi, startLo);
    }
    if (leaves.collides(leaf, at, startHi, startLo, lastHi, lastLo)) return false;
    this.#size++;
    if (leaves.count[leaf] === FANOUT) {
      this.#split(leaf, at, startHi, startLo);
      leaf = this.#leafOf(startHi, startLo);
      at = leaves.upperBound(leaf, startHi, startLo);
    }
    leaves.insertAt(leaf, at, startHi, startLo, lastHi, lastLo, value);
    this.#nearLeaf = leaf;
    this.#nearAt = at;
    if (this.#nodes.rooms.length > 0) this.#holeMade(leaf, at, at === 0);
    return true;
  }
  /** Is (leaf, at) between a range that starts before the key and one that starts after it? False also when unsure. */
  #belongsAt(leaf: number, at: number, hi: number, lo: number): boolean {
    const leaves = this.#leaves;
    if (at < 1 || at > leaves.count[leaf]!) return false;
    if (!lessPair(leaves.startHi(leaf, at - 1), leaves.startLo(leaf, at - 1), hi, lo)) return false;
    if (at === leaves.count[leaf]!) return leaves.next[leaf]! < 0;
    return lessPair(hi, lo, leaves.startHi(leaf, at), leaves.startLo(leaf, at));
  }
  /** Make two leaves of a full one; in the middle, but where ranges are appended the left one stays full. */
  #split(leaf: number, at: number, startHi: number, startLo: number): void {
    this.#descend(startHi, startLo);
    const appending = at === FANOUT;
    const right = this.#leaves.split(leaf, appending ? FANOUT - 1 : FANOUT >> 1);
    this.#addChild(1, right, appending);
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
    const leaves = this.#leaves;
    let leaf = this.#nearLeaf;
    let at = this.#nearAt;
    if (at < 0 || at >= leaves.count[leaf]! || !leaves.startsAt(leaf, at, startHi, startLo)) {
      leaf = this.#leafOf(startHi, startLo);
      at = leaves.upperBound(leaf, startHi, startLo) - 1;
      bugOn(
        at < 0 || !leaves.startsAt(leaf, at, startHi, startLo),
        'no range starts at the one to erase',
      );
    }
    this.#size--;
    if (leaves.count[leaf] === 1) return this.#eraseLeaf(leaf, startHi, startLo);
    const value = leaves.eraseAt(leaf, at);
    this.#nearLeaf = leaf;
    this.#nearAt = at - 1;
    if (this.#nodes.rooms.length > 0) this.#holeGrown(leaf, at - 1);
    return value;
  }
  #eraseLeaf(leaf: number, startHi: number, startLo: number): T {
    this.#nearAt = -1;
    const before = this.#leaves.prev[leaf]!;
    this.#descend(startHi, startLo);
    const value = this.#leaves.eraseAt(leaf, 0);
    if (this.#height === 0) return value;
    this.#dropLeaf(leaf);
    if (before >= 0 && this.#nodes.rooms.length > 0) {
      this.#holeGrown(before, this.#leaves.count[before]! - 1);
    }
    return value;
  }

  /** The lowest start in the window where the wanted range fits between the ranges; it is then in `want.found`. */
  findGap(want: GapRequest): boolean {
    const leaves = this.#leaves;
    const covered = this.#near(want.firstHi, want.firstLo);
    let leaf = this.#nearLeaf;
    let at = this.#nearAt;
    if (!covered) {
      // The hole the window begins in, or before the first range of all.
      const { firstHi, firstLo } = want;
      if (++at >= leaves.count[leaf]!) {
        leaf = leaves.next[leaf]!;
        at = 0;
      }
      if (leaf < 0 || leaves.count[leaf] === 0) {
        return this.#fits(want, firstHi, firstLo, ALL_ONES, ALL_ONES);
      }
      const endHi = leaves.startHi(leaf, at);
      const endLo = leaves.startLo(leaf, at);
      if (this.#fitsBefore(want, firstHi, firstLo, endHi, endLo)) return true;
      if (!lessPair(endHi, endLo, want.lastHi, want.lastLo)) return false;
    }
    return this.#searchFrom(want, leaf, at);
  }
  #searchFrom(want: GapRequest, first: number, firstAt: number): boolean {
    const leaves = this.#leaves;
    const need = Math.max(1, want.spanHi * TWO_32 + want.spanLo);
    const mask = alignMask(want.alignLg2);
    let leaf = first;
    let at = firstAt;
    let room: Room | undefined;
    for (;;) {
      const found = leaves.firstWithRoom(leaf, at, mask, want.offset, need);
      if (found >= 0) {
        const answer = this.#fitsBehind(want, leaf, found);
        if (answer !== undefined) return answer;
        at = found + 1;
        continue;
      }
      if (this.#height === 0) return false;
      if (room === undefined) {
        room = this.#nodes.roomOf(mask, want.offset);
        this.#descend(leaves.startHi(leaf, 0), leaves.startLo(leaf, 0));
      } else if (at === 0) {
        room.bound[this.#pathNode[1]! * FANOUT + this.#pathAt[1]!] = leaves.mostRoom;
      }
      leaf = this.#nextLeaf(room, need);
      if (leaf < 0) return false;
      at = 0;
    }
  }
  /** Undefined: it does not, only the rounded room said so; a later hole may. */
  #fitsBehind(want: GapRequest, leaf: number, at: number): boolean | undefined {
    const leaves = this.#leaves;
    const lastLo = leaves.lastLo(leaf, at);
    const fromLo = (lastLo + 1) >>> 0;
    const fromHi = leaves.lastHi(leaf, at) + (fromLo === 0 ? 1 : 0);
    if (lessPair(want.lastHi, want.lastLo, fromHi, fromLo)) return false;
    let after = leaf;
    let n = at + 1;
    if (n >= leaves.count[leaf]!) {
      after = leaves.next[leaf]!;
      n = 0;
    }
    if (after < 0) return this.#fits(want, fromHi, fromLo, ALL_ONES, ALL_ONES);
    const endHi = leaves.startHi(after, n);
    const endLo = leaves.startLo(after, n);
    if (this.#fitsBefore(want, fromHi, fromLo, endHi, endLo)) return true;
    return lessPair(endHi, endLo, want.lastHi, want.lastLo) ? undefined : false;
  }
  #fitsBefore(want: GapRequest, hi: number, lo: number, endHi: number, endLo: number): boolean {
    if (endHi === hi && endLo === lo) return false;
    const lastLo = (endLo - 1) >>> 0;
    return this.#fits(want, hi, lo, endLo === 0 ? endHi - 1 : endHi, lastLo);
  }
  #fits(want: GapRequest, hi: number, lo: number, lastHi: number, lastLo: number): boolean {
    const cut = lessPair(want.lastHi, want.lastLo, lastHi, lastLo);
    const endHi = cut ? want.lastHi : lastHi;
    const endLo = cut ? want.lastLo : lastLo;
    return startInHole(want, hi, lo, endHi, endLo);
  }

  /** The next leaf after the path's that promises so much room, the path moved to it; -1: none does. */
  #nextLeaf(room: Room, need: number): number {
    const nodes = this.#nodes;
    const path = this.#pathNode;
    const places = this.#pathAt;
    let level = 1;
    let from = places[1]! + 1;
    for (;;) {
      const node = path[level]!;
      const at = nodes.promising(room, node, from, need);
      if (at >= 0) {
        places[level] = at;
        const child = nodes.child(node, at);
        if (level === 1) return child;
        path[--level] = child;
        from = 0;
        continue;
      }
      if (level === this.#height) return -1;
      // Nothing more below this node: from now on it promises no more than its children do.
      const above = ++level;
      room.bound[path[above]! * FANOUT + places[above]!] = nodes.most(room, node);
      from = places[above]! + 1;
    }
  }

  /**
   * The hole behind a new range. It is part of what was there, so no bound can be too low, but for two cases: the leaf
   * did not count it before, being first; and alignup(x) | offset may be lower for a higher x.
   */
  #holeMade(leaf: number, at: number, first: boolean): void {
    let found = false;
    for (const room of this.#nodes.rooms) {
      if (!first && room.offset === 0) continue;
      if (!found) this.#descend(this.#leaves.startHi(leaf, at), this.#leaves.startLo(leaf, at));
      found = true;
      this.#raise(room, this.#leaves.roomAfter(leaf, at, room.mask, room.offset));
    }
  }
  /** The hole behind an entry is larger now; at -1 it is the one behind the last entry of the leaf before. */
  #holeGrown(leaf: number, at: number): void {
    const leaves = this.#leaves;
    let owner = leaf;
    let n = at;
    if (n < 0) {
      owner = leaves.prev[leaf]!;
      if (owner < 0) return;
      n = leaves.count[owner]! - 1;
    }
    this.#descend(leaves.startHi(owner, n), leaves.startLo(owner, n));
    for (const room of this.#nodes.rooms) {
      this.#raise(room, leaves.roomAfter(owner, n, room.mask, room.offset));
    }
  }
  /** The leaf of the path has a hole with this room. */
  #raise(room: Room, size: number): void {
    const { bound } = room;
    for (let level = 1; level <= this.#height; level++) {
      const n = this.#pathNode[level]! * FANOUT + this.#pathAt[level]!;
      if (bound[n]! >= size) return;
      bound[n] = size;
    }
  }

  /**
   * Set #near to the last entry that starts at or before the key, index -1 for none; true when it reaches the key.
   * It may be the last one of the leaf before: a leaf that lost its first entry keeps its place in the tree.
   */
  #near(hi: number, lo: number): boolean {
    const leaves = this.#leaves;
    let leaf = this.#leafOf(hi, lo);
    let at = leaves.upperBound(leaf, hi, lo) - 1;
    if (at < 0 && leaves.prev[leaf]! >= 0) {
      leaf = leaves.prev[leaf]!;
      at = leaves.count[leaf]! - 1;
    }
    this.#nearLeaf = leaf;
    this.#nearAt = at;
    return at >= 0 && !lessPair(leaves.lastHi(leaf, at), leaves.lastLo(leaf, at), hi, lo);
  }
  #leafOf(hi: number, lo: number): number {
    const nodes = this.#nodes;
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) {
      node = nodes.child(node, nodes.lowerChild(node, hi, lo));
    }
    return node;
  }
  /** The same, and the path is set. */
  #descend(hi: number, lo: number): void {
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) {
      const at = this.#nodes.lowerChild(node, hi, lo);
      this.#pathNode[level] = node;
      this.#pathAt[level] = at;
      node = this.#nodes.child(node, at);
    }
  }

  #addChild(level: number, child: number, appending: boolean): void {
    const nodes = this.#nodes;
    const from = level === 1 ? this.#leaves : undefined;
    const hi = from ? from.startHi(child, 0) : nodes.keyHi(child, 0);
    const lo = from ? from.startLo(child, 0) : nodes.keyLo(child, 0);
    if (level > this.#height) {
      const root = nodes.alloc();
      nodes.insertAt(root, 0, 0, 0, this.#root);
      nodes.insertAt(root, 1, hi, lo, child);
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
    this.#addChild(level + 1, right, appending);
  }

  /** Take an empty leaf out of the tree, and every inner node that becomes empty with it. */
  #dropLeaf(leaf: number): void {
    this.#leaves.unlink(leaf);
    for (let level = 1; level <= this.#height; level++) {
      const node = this.#pathNode[level]!;
      this.#nodes.eraseAt(node, this.#pathAt[level]!);
      if (this.#nodes.count[node]! > 0) {
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
