/**
 * Page walks of a VT-d unit: second stage, first stage, nested (formats.md 3, 4, 12; VT-d 3.6 to 3.8).
 *
 * Reads entries as pairs of 32-bit words; addresses are granule numbers of 4 KiB. Results stand in fields of the
 * walker so that nothing is allocated. First-stage tables of a guest live in pinned pages outside the RAM arena
 * and are read through PhysicalMemory.
 */
import type { PhysicalMemory } from '../../../base/physical-memory.ts';
import { pow2 } from '../../../base/u64.ts';
import { FRAME_WORDS, type Ram } from '../../../pt/ram.ts';
import { FAULT_CODES as F } from '../fault-codes.ts';
import type { IntelHardware } from '../hardware.ts';
import { TLB_READ, TLB_WRITE } from './iotlb.ts';
import type { Translation } from './lookup.ts';

// Private copies: V8 folds them, while an imported constant is a load and a check each time.
const ROW = FRAME_WORDS;
const MAY_READ = TLB_READ;
const MAY_WRITE = TLB_WRITE;
const SS_READ = 1 << 0;
const SS_WRITE = 1 << 1;
const PS = 1 << 7;
const SS_ACCESSED = 1 << 8;
const SS_DIRTY = 1 << 9;
const FS_PRESENT = 1 << 0;
const FS_WRITE = 1 << 1;
const FS_USER = 1 << 2;
const FS_ACCESSED = 1 << 5;
const FS_DIRTY = 1 << 6;
/** What turns the right a write needs into the mark it leaves. */
const FS_WRITE_TO_DIRTY = 5;
/** Granules of a leaf at level 0, 1, 2. */
const LEAF_LG2 = [0, 9, 18];

export class Walker {
  readonly #ram: Ram;
  readonly #memory: PhysicalMemory | undefined;
  readonly #maxLeafSs: number;
  readonly #maxLeafFs: number;
  readonly #superpage2m: boolean;
  readonly #entry = new DataView(new ArrayBuffer(8));
  readonly #entryBytes = new Uint8Array(this.#entry.buffer);

  /** Fault code, 0 when the walk succeeded. */
  fault = 0;
  /** Output granule of the walk. */
  out = 0;
  /** MAY_READ and MAY_WRITE as they may be cached. */
  permissions = 0;
  /** Granules (lg2) of the leaf, the smaller one when nested. */
  leafLg2 = 0;
  #low = 0;
  #high = 0;

  constructor(hw: IntelHardware, ram: Ram, memory: PhysicalMemory | undefined) {
    this.#ram = ram;
    this.#memory = memory;
    this.#superpage2m = hw.superpage2m;
    this.#maxLeafSs = hw.superpage1g ? 2 : hw.superpage2m ? 1 : 0;
    this.#maxLeafFs = hw.firstStage1g ? 2 : 1;
  }

  /** Walk whatever stages the translation has; false means `fault` tells why. */
  walk(t: Translation, iovaG: number, write: boolean): boolean {
    this.fault = 0;
    if (t.kind === 'second') return this.#second(t, iovaG, write);
    if (t.kind === 'pass') return this.#pass(t, iovaG);
    if (t.kind === 'first' && this.#firstInRam(t, iovaG, write)) return true;
    return this.#first(t, iovaG, write);
  }

  #fail(code: number): false {
    this.fault = code;
    return false;
  }

  #pass(t: Translation, iovaG: number): boolean {
    if (iovaG >= t.ssLimitG) return this.#fail(t.legacy ? F.ABOVE_WIDTH : F.SS_TOO_LARGE);
    this.out = iovaG;
    this.permissions = MAY_READ | MAY_WRITE;
    this.leafLg2 = 0;
    return true;
  }

  #second(t: Translation, iovaG: number, write: boolean): boolean {
    if (iovaG >= t.ssLimitG) return this.#fail(t.legacy ? F.ABOVE_WIDTH : F.SS_TOO_LARGE);
    const words = this.#ram.words;
    const frames = this.#ram.frameCount;
    const low = iovaG | 0;
    const high = (iovaG * 2 ** -32) | 0;
    let table = t.ssRoot;
    let rights = SS_READ | SS_WRITE;
    for (let level = t.ssLevels - 1; ; level--) {
      if (table >= frames) return this.#fail(ssPointerFault(t, level));
      const at = table * ROW + indexAt(low, high, level) * 2;
      const entry = words[at]!;
      rights &= entry;
      if (rights === 0) return this.#fail(ssPermissionFault(t, write));
      table = (words[at + 1]! & 0xf_ffff) * 0x10_0000 + (entry >>> 12);
      if (level > 0 && (entry & PS) === 0) continue;
      if (!this.#ssMark(t, at, level, rights, write)) return false;
      this.out = level === 0 ? table : joinLeaf(table, iovaG, LEAF_LG2[level]!);
      return true;
    }
  }

  #ssLeafAllowed(level: number): boolean {
    return level === 1 ? this.#superpage2m : level <= this.#maxLeafSs;
  }

  /** Check the leaf at word `at`, set its A and D, and say what may be cached. */
  #ssMark(t: Translation, at: number, level: number, rights: number, write: boolean): boolean {
    if (level > 0 && !this.#ssLeafAllowed(level)) {
      return this.#fail(t.legacy ? F.TABLE_RESERVED : F.SS_RESERVED);
    }
    if ((rights & (write ? SS_WRITE : SS_READ)) === 0) {
      return this.#fail(ssPermissionFault(t, write));
    }
    let cached = rights & (MAY_READ | MAY_WRITE);
    if (t.ssade) {
      const entry = this.#ram.words[at]!;
      const marked = entry | SS_ACCESSED | (write ? SS_DIRTY : 0);
      if (marked !== entry) this.#ram.words[at] = marked;
      // A clean leaf is not cached as writable: the first write must come here to set D.
      if ((marked & SS_DIRTY) === 0) cached &= ~MAY_WRITE;
    }
    this.permissions = cached;
    this.leafLg2 = LEAF_LG2[level]!;
    return true;
  }

  /** The plain case without allocation: every table in RAM, nothing refused. False: walk again, in full. */
  #firstInRam(t: Translation, iovaG: number, write: boolean): boolean {
    if (!canonical(iovaG, t.fsLevels)) return false;
    const words = this.#ram.words;
    const frames = this.#ram.frameCount;
    const low = iovaG | 0;
    const high = (iovaG * 2 ** -32) | 0;
    const needed = write ? FS_PRESENT | FS_USER | FS_WRITE : FS_PRESENT | FS_USER;
    let rights = FS_WRITE;
    let table = t.fsRoot;
    for (let level = t.fsLevels - 1; table < frames; level--) {
      const at = table * ROW + indexAt(low, high, level) * 2;
      const entry = words[at]!;
      if ((entry & needed) !== needed) return false;
      rights &= entry;
      table = (words[at + 1]! & 0xf_ffff) * 0x10_0000 + (entry >>> 12);
      if (level > 0 && (entry & PS) === 0) {
        if ((entry & FS_ACCESSED) === 0) words[at] = entry | FS_ACCESSED;
        continue;
      }
      if (level > this.#maxLeafFs) return false;
      const marked = entry | FS_ACCESSED | ((needed & FS_WRITE) << FS_WRITE_TO_DIRTY);
      if (marked !== entry) words[at] = marked;
      this.leafLg2 = LEAF_LG2[level]!;
      this.out = level === 0 ? table : joinLeaf(table, iovaG, this.leafLg2);
      // Only a dirty leaf is cached as writable, as in #fsLeaf.
      this.permissions = MAY_READ | (marked & FS_DIRTY ? rights : 0);
      return true;
    }
    return false;
  }

  #first(t: Translation, iovaG: number, write: boolean): boolean {
    const levels = t.fsLevels;
    if (!canonical(iovaG, levels)) return this.#fail(F.NOT_CANONICAL);
    const low = iovaG | 0;
    const high = (iovaG * 2 ** -32) | 0;
    let table = t.fsRoot;
    let rights = FS_WRITE | FS_USER;
    for (let level = levels - 1; ; level--) {
      const offset = indexAt(low, high, level) * 8;
      const frame = this.#tableFrame(t, table);
      if (frame < 0) return false;
      if (!this.#readEntry(frame, offset)) {
        return this.#fail(level === levels - 1 ? F.FS_TOP_ACCESS : F.FS_ACCESS);
      }
      const entry = this.#low;
      if ((entry & FS_PRESENT) === 0) return this.#fail(F.FS_NOT_PRESENT);
      rights &= entry;
      const next = (this.#high & 0xf_ffff) * 0x10_0000 + (entry >>> 12);
      const place = { guestPfn: table, frame, offset };
      if (level === 0 || (entry & PS) !== 0) {
        return this.#fsLeaf(t, place, { next, level, rights, iovaG, write });
      }
      if (!this.#markFirst(t, place, FS_ACCESSED)) return false;
      table = next;
    }
  }

  /** Where a first-stage table is in host memory: behind the second stage when nested; -1 after a fault. */
  #tableFrame(t: Translation, guestPfn: number): number {
    if (t.kind !== 'nested') return guestPfn;
    if (guestPfn >= t.ssLimitG) {
      this.#fail(F.FS_ABOVE_WIDTH);
      return -1;
    }
    if (this.#second(t, guestPfn, false)) return this.out;
    if (this.fault === F.SS_PERMISSION) this.fault = F.NESTED_READ;
    return -1;
  }

  #readEntry(frame: number, offset: number): boolean {
    if (frame < this.#ram.frameCount) {
      const at = frame * ROW + (offset >> 2);
      this.#low = this.#ram.words[at]!;
      this.#high = this.#ram.words[at + 1]!;
      return true;
    }
    if (this.#memory === undefined) return false;
    if (this.#memory.read(frame, offset, this.#entryBytes) !== undefined) return false;
    this.#low = this.#entry.getInt32(0, true);
    this.#high = this.#entry.getInt32(4, true);
    return true;
  }

  /** Set A and D in the entry just read, as the hardware does. */
  #markFirst(t: Translation, place: FsPlace, bits: number): boolean {
    const { guestPfn, frame, offset } = place;
    const marked = this.#low | bits;
    if (marked === this.#low) return true;
    if (t.kind === 'nested' && !this.#second(t, guestPfn, true)) {
      if (this.fault === F.SS_PERMISSION) this.fault = F.NESTED_WRITE;
      return false;
    }
    if (frame < this.#ram.frameCount) {
      this.#ram.words[frame * ROW + (offset >> 2)] = marked;
      return true;
    }
    this.#entry.setInt32(0, marked, true);
    this.#entry.setInt32(4, this.#high, true);
    return this.#memory?.write(frame, offset, this.#entryBytes) === undefined
      ? true
      : this.#fail(F.FS_ACCESS);
  }

  #fsLeaf(t: Translation, place: FsPlace, leaf: FsLeaf): boolean {
    if (leaf.level > this.#maxLeafFs) return this.#fail(F.FS_RESERVED);
    const code = fsRightsFault(leaf.rights, leaf.write);
    if (code !== 0) return this.#fail(code);
    if (!this.#markFirst(t, place, FS_ACCESSED | (leaf.write ? FS_DIRTY : 0))) return false;
    const lg2 = LEAF_LG2[leaf.level]!;
    const target = lg2 === 0 ? leaf.next : joinLeaf(leaf.next, leaf.iovaG, lg2);
    // Only a dirty leaf is cached as writable: the first write must come here to set D.
    const writable = leaf.write || ((this.#low & FS_DIRTY) !== 0 && (leaf.rights & FS_WRITE) !== 0);
    const cached = MAY_READ | (writable ? MAY_WRITE : 0);
    if (t.kind !== 'nested') {
      this.out = target;
      this.permissions = cached;
      this.leafLg2 = lg2;
      return true;
    }
    if (!this.#second(t, target, leaf.write)) return false;
    this.permissions &= cached;
    this.leafLg2 = Math.min(this.leafLg2, lg2);
    return true;
  }
}

/** Where a first-stage entry stands: its table as the guest names it, and in host memory. */
interface FsPlace {
  guestPfn: number;
  frame: number;
  offset: number;
}
interface FsLeaf {
  next: number;
  level: number;
  rights: number;
  iovaG: number;
  write: boolean;
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
function joinLeaf(frame: number, iovaG: number, lg2: number): number {
  const size = pow2(lg2);
  return Math.floor(frame / size) * size + (iovaG % size);
}

/** Are the bits above the first stage's width copies of its top bit? */
export function canonical(iovaG: number, levels: number): boolean {
  const half = pow2(9 * levels - 1);
  return iovaG < half || iovaG >= 0x10_0000_0000_0000 - half;
}

function ssPermissionFault(t: Translation, write: boolean): number {
  if (!t.legacy) return F.SS_PERMISSION;
  return write ? F.NO_WRITE : F.NO_READ;
}

function ssPointerFault(t: Translation, level: number): number {
  if (t.legacy) return F.NEXT_TABLE;
  return level === t.ssLevels - 1 ? F.SS_BAD_ROOT : F.SS_ACCESS;
}

function fsRightsFault(rights: number, write: boolean): number {
  if ((rights & FS_USER) === 0) return F.USER_BIT;
  return write && (rights & FS_WRITE) === 0 ? F.SM_NO_WRITE : 0;
}
