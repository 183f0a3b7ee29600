/**
 * The second stage of a VT-d unit, walked without asking the format (formats.md 3, 12).
 *
 * The same answers as the interpreted walker's by SECOND_STAGE_POLICY; both are compared in walk.test.ts.
 */
import { pow2 } from '../../../base/u64.ts';
import { FRAME_WORDS, type Ram } from '../../../pt/ram.ts';
import {
  isBeyond,
  WALK_DENIED,
  WALK_DONE,
  WALK_RESERVED,
  WALK_UNREADABLE,
  WALK_WIDTH,
  type PageWalker,
  type WalkCode,
  type WalkPolicy,
  type WalkResult,
  type WalkRoot,
} from '../../../pt/walk/walker.ts';
import type { IntelHardware } from '../hardware.ts';

// Private copies: V8 folds them, while an imported constant is a load and a check each time.
const ROW = FRAME_WORDS;
const READ = 1 << 0;
const WRITE = 1 << 1;
const PS = 1 << 7;
const ACCESSED = 1 << 8;
const DIRTY = 1 << 9;
/** Granules of a leaf at level 0, 1, 2. */
export const LEAF_LG2 = [0, 9, 18];

/** What a unit knows and sets in second-stage tables; `tracks`: accessed and dirty bits are on. */
export function secondStagePolicy(hw: IntelHardware, tracks: boolean): WalkPolicy {
  const leaf = { lo: ACCESSED, hi: 0 };
  const dirty = { lo: DIRTY, hi: 0 };
  const large = (hw.superpage2m ? 0b010 : 0) | (hw.superpage1g ? 0b100 : 0);
  return { leafLevels: 1 | large, rights: 'any', ...(tracks && { marks: { leaf, dirty } }) };
}

/** Walks tables of the format `vtdss` in RAM. */
export class SecondStage implements PageWalker {
  readonly #ram: Ram;
  readonly #leafLevels: number;
  readonly #tracks: boolean;

  constructor(hw: IntelHardware, ram: Ram, tracks: boolean) {
    this.#ram = ram;
    this.#leafLevels = secondStagePolicy(hw, tracks).leafLevels;
    this.#tracks = tracks;
  }

  walk(root: WalkRoot, iovaG: number, access: number, out: WalkResult): WalkCode {
    if (isBeyond(root, iovaG)) return WALK_WIDTH;
    const words = this.#ram.words;
    const frames = this.#ram.frameCount;
    const low = iovaG | 0;
    const high = (iovaG * 2 ** -32) | 0;
    let table = root.pfn;
    let rights = READ | WRITE;
    for (let level = root.topLevel; ; level--) {
      if (table >= frames) return ended(WALK_UNREADABLE, level, out);
      const at = table * ROW + indexAt(low, high, level) * 2;
      const entry = words[at]!;
      rights &= entry;
      if (rights === 0) return ended(WALK_DENIED, level, out);
      table = (words[at + 1]! & 0xf_ffff) * 0x10_0000 + (entry >>> 12);
      if (level > 0 && (entry & PS) === 0) continue;
      if (level > 0 && ((this.#leafLevels >>> level) & 1) === 0) {
        return ended(WALK_RESERVED, level, out);
      }
      if ((rights & access) === 0) return ended(WALK_DENIED, level, out);
      out.prot = this.#tracks ? this.#mark(at, rights, access) : rights;
      const lg2 = LEAF_LG2[level]!;
      out.sizeLg2 = lg2;
      out.outG = level === 0 ? table : joinLeaf(table, iovaG, lg2);
      return WALK_DONE;
    }
  }

  /** Set the marks of the leaf at word `at`; the rights that may be cached. */
  #mark(at: number, rights: number, access: number): number {
    const entry = this.#ram.words[at]!;
    const marked = entry | ACCESSED | ((access & WRITE) !== 0 ? DIRTY : 0);
    if (marked !== entry) this.#ram.words[at] = marked;
    // A clean leaf is not cached as writable: the first write must come here to set D.
    return (marked & DIRTY) === 0 ? rights & ~WRITE : rights;
  }
}

function ended(code: WalkCode, level: number, out: WalkResult): WalkCode {
  out.level = level;
  return code;
}

/** Index into the table of `level` (0 has the smallest leaves) for granule high:low. */
export function indexAt(low: number, high: number, level: number): number {
  switch (level) {
    case 0:
      return low & 511;
    case 1:
      return (low >>> 9) & 511;
    case 2:
      return (low >>> 18) & 511;
    case 3:
      return (low >>> 27) | ((high & 15) << 5);
    default:
      return (high >>> 4) & 511;
  }
}

/** A large leaf's frame with the low granule bits of the address. */
export function joinLeaf(frame: number, iovaG: number, lg2: number): number {
  const size = pow2(lg2);
  return Math.floor(frame / size) * size + (iovaG % size);
}
