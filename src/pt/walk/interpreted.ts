/**
 * A walker for any format: it asks the format at every item, one level after the other, one or two stages (formats.md 12).
 *
 * It is what faster walkers are compared with, and what explains an address: whoever wants to see the items on the way
 * gives `note`.
 */
import { fromGranules, pow2 } from '../../base/u64.ts';
import { levelBitsOf, type PtFormat, type Word } from '../format.ts';
import { IOMMU_PRIV, IOMMU_READ, IOMMU_WRITE, type WalkStep } from '../page-table.ts';
import type { Item, TableReader } from './table-reader.ts';
import {
  isBeyond,
  newWalkResult,
  WALK_AT_MARK,
  WALK_AT_OUTPUT,
  WALK_AT_TABLE,
  WALK_DENIED,
  WALK_DONE,
  WALK_EMPTY,
  WALK_PRIVILEGED,
  WALK_RESERVED,
  WALK_UNPROTECTED,
  WALK_UNREADABLE,
  WALK_UNWRITABLE,
  WALK_WIDTH,
  type PageWalker,
  type WalkCode,
  type WalkPolicy,
  type WalkResult,
  type WalkRoot,
} from './walker.ts';

const READ_WRITE = IOMMU_READ | IOMMU_WRITE;
const FRAME_LG2 = 12;
const ITEM_BYTES = 8;
const NO_BITS: Word = { lo: 0, hi: 0 };

/** What a walker of a unit is made of. */
export interface WalkerParts {
  readonly format: PtFormat;
  readonly reader: TableReader;
  readonly policy: WalkPolicy;
  /** For roots with a host stage. */
  readonly host?: PageWalker;
  /** Told each item of this stage, the one that ended the walk included. */
  note?(step: WalkStep): void;
}

/** One walk under way. */
interface Walk {
  readonly root: WalkRoot;
  readonly iovaG: number;
  readonly access: number;
  readonly out: WalkResult;
  /** Rights of the items so far. */
  rights: number;
  isUsers: boolean;
  /** Granule of the table in hand as the item before named it; where in it the item is: frame, the same in memory, byte. */
  tableG: number;
  itemFrame: number;
  frame: number;
  offset: number;
}

/** A walk as the hardware does it: from the root, trusting nothing. */
export class InterpretedWalker implements PageWalker {
  readonly #parts: WalkerParts;
  readonly #levelBits: number;
  readonly #rootBits: number;
  /** Frames per granule number. */
  readonly #frames: number;
  readonly #item: Item = { lo: 0, hi: 0 };
  readonly #ofHost = newWalkResult();

  constructor(parts: WalkerParts) {
    this.#parts = parts;
    this.#levelBits = levelBitsOf(parts.format);
    this.#rootBits = parts.format.rootBits ?? 0;
    this.#frames = 2 ** (parts.format.granuleLg2 - FRAME_LG2);
  }

  walk(root: WalkRoot, iovaG: number, access: number, out: WalkResult): WalkCode {
    if (isBeyond(root, iovaG)) return WALK_WIDTH;
    const tableG = root.pfn / this.#frames;
    const place = { tableG, itemFrame: 0, frame: 0, offset: 0 };
    const walk: Walk = { root, iovaG, access, out, rights: READ_WRITE, isUsers: true, ...place };
    for (let level = root.topLevel; ; level--) {
      out.level = level;
      const code = this.#read(walk, level);
      if (code !== WALK_DONE) return code;
      const leaf = this.#isLeaf(level);
      const refused = this.#check(walk, level, leaf);
      if (refused !== WALK_DONE) return refused;
      if (leaf) return this.#leaf(walk, level);
      const marked = this.#mark(walk, this.#parts.policy.marks?.table ?? NO_BITS);
      if (marked !== WALK_DONE) return marked;
      walk.tableG = this.#addressG();
    }
  }

  /** Find and read the item of a level. */
  #read(walk: Walk, level: number): WalkCode {
    const { root, iovaG } = walk;
    const bits = this.#levelBits + (level === root.topLevel ? this.#rootBits : 0);
    const index = Math.floor(iovaG / pow2(this.#levelBits * level)) % pow2(bits);
    const byte = index * ITEM_BYTES;
    const table = this.#frame(walk, Math.floor(byte / 4096));
    if (table !== WALK_DONE) return table;
    walk.offset = byte % 4096;
    if (!this.#parts.reader.read(walk.frame, walk.offset, this.#item)) return WALK_UNREADABLE;
    this.#parts.note?.(this.#step(walk, level, index));
    return WALK_DONE;
  }

  /** The frame of the table, `more` frames from its start. */
  #frame(walk: Walk, more: number): WalkCode {
    const { root } = walk;
    walk.itemFrame = walk.tableG * this.#frames + more;
    walk.frame = walk.itemFrame;
    if (root.host === undefined) return WALK_DONE;
    const code = this.#throughHost(root.host, walk, walk.itemFrame, IOMMU_READ);
    walk.frame = this.#ofHost.outG;
    return code === WALK_DONE ? code : WALK_AT_TABLE | code;
  }

  #throughHost(host: WalkRoot, { out }: Walk, granule: number, access: number): WalkCode {
    const found = this.#ofHost;
    const code = this.#parts.host?.walk(host, granule, access, found) ?? WALK_UNREADABLE;
    if (code !== WALK_DONE) out.level = found.level;
    return code;
  }

  #isLeaf(level: number): boolean {
    const { kind } = this.#parts.format;
    return (
      level === 0 || ((kind.leaves >>> ((this.#item.lo >>> kind.shift) & kind.mask)) & 1) !== 0
    );
  }

  /** What an item may be refused for, in order. */
  #check(walk: Walk, level: number, leaf: boolean): WalkCode {
    const { format, policy } = this.#parts;
    const { lo, hi } = this.#item;
    const needed = walk.access & READ_WRITE;
    if (!hasAny(this.#item, format.present)) return WALK_EMPTY;
    walk.rights &= format.protOf(lo, hi);
    if (policy.user && !hasAll(this.#item, policy.user)) walk.isUsers = false;
    const granted = grantedTo(walk);
    const left = policy.rights === 'each' ? granted & needed : granted;
    if (policy.rights !== 'leaf' && left === 0) return WALK_DENIED;
    if (this.#isReserved(level, leaf)) return WALK_RESERVED;
    if (!leaf) return WALK_DONE;
    if (!walk.isUsers && (walk.access & IOMMU_PRIV) === 0) return WALK_PRIVILEGED;
    return (granted & needed) === 0 ? WALK_DENIED : WALK_DONE;
  }

  #isReserved(level: number, leaf: boolean): boolean {
    const { leafLevels, reserved } = this.#parts.policy;
    if (leaf && ((leafLevels >>> level) & 1) === 0) return true;
    return reserved !== undefined && hasAny(this.#item, reserved(level, leaf));
  }

  #leaf(walk: Walk, level: number): WalkCode {
    const { policy } = this.#parts;
    const { iovaG, out, root } = walk;
    const write = (walk.access & IOMMU_WRITE) !== 0;
    const { leaf = NO_BITS, dirty = NO_BITS } = policy.marks ?? {};
    const code = this.#mark(walk, write ? either(leaf, dirty) : leaf);
    if (code !== WALK_DONE) return code;
    out.sizeLg2 = this.#leafSizeLg2(level);
    const clean = dirty !== NO_BITS && !hasAll(this.#item, dirty);
    out.prot = clean ? walk.rights & ~IOMMU_WRITE : walk.rights;
    const size = pow2(out.sizeLg2);
    const address = this.#addressG();
    out.outG = address - (address % size) + (iovaG % size);
    return root.host === undefined ? WALK_DONE : this.#output(root.host, walk);
  }

  /** What this stage found is an address of the host stage. */
  #output(host: WalkRoot, walk: Walk): WalkCode {
    const { out, access } = walk;
    const found = this.#ofHost;
    const code = this.#throughHost(host, walk, out.outG, access);
    if (code !== WALK_DONE) return WALK_AT_OUTPUT | code;
    out.outG = found.outG;
    out.prot &= found.prot;
    out.sizeLg2 = Math.min(out.sizeLg2, found.sizeLg2);
    return WALK_DONE;
  }

  /** Set bits in the item just read, as units do; nested, the host stage must let the unit write there. */
  #mark(walk: Walk, bits: Word): WalkCode {
    const item = this.#item;
    if (hasAll(item, bits)) return WALK_DONE;
    const { host } = walk.root;
    if (host !== undefined) {
      const code = this.#throughHost(host, walk, walk.itemFrame, IOMMU_WRITE);
      if (code !== WALK_DONE) return WALK_AT_MARK | code;
    }
    item.lo |= bits.lo;
    item.hi |= bits.hi;
    return this.#parts.reader.write(walk.frame, walk.offset, item) ? WALK_DONE : WALK_UNWRITABLE;
  }

  /** Size of the leaf just read, as an exponent in granules. */
  #leafSizeLg2(level: number): number {
    const run = this.#parts.format.contiguous;
    const { lo, hi } = this.#item;
    return run && hasAll(this.#item, run.mask) ? run.sizeLg2(lo, hi) : level * this.#levelBits;
  }

  /** Address field of the item, in granules. */
  #addressG(): number {
    const { shift, bits } = this.#parts.format.address;
    const { lo, hi } = this.#item;
    return (lo >>> shift) + (hi & (pow2(shift + bits - 32) - 1)) * pow2(32 - shift);
  }

  #step(walk: Walk, level: number, index: number): WalkStep {
    const { format } = this.#parts;
    const { lo, hi } = this.#item;
    const entryPa = fromGranules(walk.frame, FRAME_LG2) + BigInt(walk.offset);
    const entry = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
    const seen = { level, entryPa, index, entry };
    if (!hasAny(this.#item, format.present)) return { ...seen, kind: 'empty' };
    const pa = fromGranules(this.#addressG(), format.granuleLg2);
    if (!this.#isLeaf(level)) return { ...seen, kind: 'table', pa };
    const sizeLg2 = format.granuleLg2 + this.#leafSizeLg2(level);
    const start = (pa >> BigInt(sizeLg2)) << BigInt(sizeLg2);
    return { ...seen, kind: 'leaf', pa: start, sizeLg2, prot: format.protOf(lo, hi) };
  }
}

/** Rights of the items so far, or what a requester has in spite of them. */
function grantedTo({ access, rights }: Walk): number {
  return (access & WALK_UNPROTECTED) !== 0 ? READ_WRITE : rights;
}
function hasAny(item: Item, bits: Word): boolean {
  return (item.lo & bits.lo) !== 0 || (item.hi & bits.hi) !== 0;
}
function hasAll(item: Item, bits: Word): boolean {
  return (item.lo & bits.lo) === bits.lo && (item.hi & bits.hi) === bits.hi;
}
function either(a: Word, b: Word): Word {
  return { lo: a.lo | b.lo, hi: a.hi | b.hi };
}
