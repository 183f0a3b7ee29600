/**
 * The contract of a page walk as hardware does it: from the root that a device table names, through memory, to a page.
 *
 * A walker knows a format and the policy of its unit (formats.md 12), and shares only bytes with whoever wrote the
 * tables, so that a stale device table or a foreign root shows as it would on a machine. InterpretedWalker serves any
 * format and is the oracle; units with an eye on speed, and generated code, implement the same interface.
 */
import type { PtFormat, Word } from '../format.ts';

/** Walks tables of one format, by the rules of one unit. */
export interface PageWalker {
  /**
   * `access` is IOMMU_READ or IOMMU_WRITE; with IOMMU_PRIV from a privileged requester, and WALK_UNPROTECTED. WALK_DONE:
   * `out` says where. Any other code: `out.level` says at which level the walk ended (of the stage the code speaks of), the
   * rest of it nothing.
   */
  walk(root: WalkRoot, iovaG: number, access: number, out: WalkResult): WalkCode;
}

/**
 * With IOMMU_PRIV in an access: the requester may write where the items let nobody, as a processor with write protection
 * off does.
 */
export const WALK_UNPROTECTED = 1 << 16;

/** Where a walk begins. */
export interface WalkRoot {
  /** Frame of the top table. */
  readonly pfn: number;
  /** Level of its items; level 0 has the smallest leaves. */
  readonly topLevel: number;
  /** First granule beyond the input width; undefined: the caller has looked. */
  readonly limitG?: number | undefined;
  /** Of addresses with two halves: the first granule of the upper one. */
  readonly upperG?: number | undefined;
  /** Nested: the stage through which this one's tables and its output are reached. */
  readonly host?: WalkRoot | undefined;
}

/** Is an address beyond what the tables of a root can translate? */
export function isBeyond({ limitG, upperG }: WalkRoot, iovaG: number): boolean {
  return limitG !== undefined && iovaG >= limitG && !(upperG !== undefined && iovaG >= upperG);
}

/** What a walk found. It belongs to the caller and is written over by the next walk. */
export interface WalkResult {
  /** Output granule. */
  outG: number;
  /** IOMMU_READ and IOMMU_WRITE as they may be cached: a leaf that is not dirty yet is not cached as writable. */
  prot: number;
  /** The leaf maps 2^sizeLg2 granules; nested: the smaller of both. */
  sizeLg2: number;
  /** Of the item at which a walk failed. */
  level: number;
}

/** How a walk ends. */
export type WalkCode = number;
export const WALK_DONE = 0;
/** An item is empty. */
export const WALK_EMPTY = 1;
/** The items do not grant the access. */
export const WALK_DENIED = 2;
/** A leaf at a level where the unit knows none, or a bit that must be zero. */
export const WALK_RESERVED = 3;
/** A table lies where no memory is; an item there cannot be marked. */
export const WALK_UNREADABLE = 4;
export const WALK_UNWRITABLE = 5;
/** A page for privileged requesters only. */
export const WALK_PRIVILEGED = 6;
/** The address is beyond the input width. */
export const WALK_WIDTH = 7;
/** Nested: the code below these bits is the host stage's, on the way to a table, to mark an item, to the output. */
export const WALK_AT_TABLE = 0x10;
export const WALK_AT_MARK = 0x20;
export const WALK_AT_OUTPUT = 0x40;
/** The reason of a code, without the place. */
export const WALK_REASON = 0xf;

/** A place for results. */
export function newWalkResult(): WalkResult {
  return { outG: 0, prot: 0, sizeLg2: 0, level: 0 };
}

/** What a unit makes of a format: given apart from it, because units share formats and differ in this. */
export interface WalkPolicy {
  /** Bit n: the unit knows leaves at level n. */
  readonly leafLevels: number;
  /**
   * When missing rights end the walk: 'each': at the first item without the right; 'any': at the first item that leaves no
   * right at all, else at the leaf; 'leaf': at the leaf. At a leaf all other checks come first, but with 'each'.
   */
  readonly rights: 'each' | 'any' | 'leaf';
  /** Bits the unit sets: in items that point to a table, in leaves, in leaves that are written. */
  readonly marks?: {
    readonly table?: Word;
    readonly leaf?: Word;
    readonly dirty?: Word;
  };
  /** Requests that are not privileged need this bit in every item. */
  readonly user?: Word;
  /** Bits that must be zero in an item of that level. */
  readonly reserved?: (level: number, leaf: boolean) => Word;
}

/** A unit that knows every leaf of the format and marks nothing. */
export const PLAIN_WALK: WalkPolicy = { leafLevels: -1, rights: 'each' };

/** The same, on which dirty tracking is on. */
export function trackingWalk(format: PtFormat): WalkPolicy {
  return format.dirty ? { ...PLAIN_WALK, marks: { dirty: format.dirty.mask } } : PLAIN_WALK;
}
