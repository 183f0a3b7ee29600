/**
 * The first stage of a VT-d unit, alone or nested in a second stage, walked without asking the format (formats.md 4, 12).
 *
 * The plain case, every table in RAM and nothing refused, goes without a call per item; everything else by the long way:
 * tables of a guest lie in pinned pages, behind the second stage.
 */
import { IOMMU_PRIV } from '../../../pt/page-table.ts';
import { FRAME_WORDS, type Ram } from '../../../pt/ram.ts';
import type { Item, TableReader } from '../../../pt/walk/table-reader.ts';
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
  WALK_UNREADABLE,
  WALK_UNWRITABLE,
  WALK_WIDTH,
  type PageWalker,
  type WalkCode,
  type WalkPolicy,
  type WalkResult,
  type WalkRoot,
} from '../../../pt/walk/walker.ts';
import type { IntelHardware } from '../hardware.ts';
import { indexAt, joinLeaf, LEAF_LG2 } from './second-stage.ts';

// Private copies: V8 folds them, while an imported constant is a load and a check each time.
const ROW = FRAME_WORDS;
const MAY_READ = 1;
const MAY_WRITE = 2;
const PRESENT = 1 << 0;
const WRITE = 1 << 1;
const USER = 1 << 2;
const ACCESSED = 1 << 5;
const DIRTY = 1 << 6;
const PS = 1 << 7;
/**
 * With IOMMU_PRIV in an access: the requester may write where the items let nobody. As a processor with write protection
 * off does.
 */
export const UNPROTECTED = 1 << 16;
/** What turns the right a write needs into the mark it leaves. */
const WRITE_TO_DIRTY = 5;

/** What a unit knows and sets in first-stage tables. */
export function firstStagePolicy(hw: IntelHardware): WalkPolicy {
  const accessed = { lo: ACCESSED, hi: 0 };
  return {
    leafLevels: hw.firstStage1g ? 0b111 : 0b011,
    rights: 'leaf',
    user: { lo: USER, hi: 0 },
    marks: { table: accessed, leaf: accessed, dirty: { lo: DIRTY, hi: 0 } },
  };
}

/** The long way under way. */
interface Walk {
  readonly root: WalkRoot;
  readonly iovaG: number;
  readonly access: number;
  readonly out: WalkResult;
  rights: number;
  /** The table in hand as the entry before named it, its frame in host memory, and the byte of the entry in it. */
  table: number;
  frame: number;
  offset: number;
}

/** Walks tables of the format `x86_64`. */
export class FirstStage implements PageWalker {
  readonly #ram: Ram;
  readonly #reader: TableReader;
  readonly #maxLeaf: number;
  readonly #host: PageWalker;
  readonly #item: Item = { lo: 0, hi: 0 };
  readonly #ofHost = newWalkResult();

  /** `host` walks the second stage of nested roots. */
  constructor(hw: IntelHardware, ram: Ram, reader: TableReader, host: PageWalker) {
    this.#ram = ram;
    this.#reader = reader;
    this.#host = host;
    this.#maxLeaf = hw.firstStage1g ? 2 : 1;
  }

  // eslint-disable-next-line complexity -- written out: a call per item costs a tenth of a miss
  walk(root: WalkRoot, iovaG: number, access: number, out: WalkResult): WalkCode {
    if (isBeyond(root, iovaG)) return WALK_WIDTH;
    if (root.host !== undefined || access > MAY_WRITE)
      return this.#byTheLongWay(root, iovaG, access, out);
    const words = this.#ram.words;
    const frames = this.#ram.frameCount;
    const low = iovaG | 0;
    const high = (iovaG * 2 ** -32) | 0;
    const needed = access === MAY_WRITE ? PRESENT | USER | WRITE : PRESENT | USER;
    let rights = WRITE;
    let table = root.pfn;
    for (let level = root.topLevel; table < frames; level--) {
      const at = table * ROW + indexAt(low, high, level) * 2;
      const entry = words[at]!;
      if ((entry & needed) !== needed) break;
      rights &= entry;
      table = (words[at + 1]! & 0xf_ffff) * 0x10_0000 + (entry >>> 12);
      if (level > 0 && (entry & PS) === 0) {
        if ((entry & ACCESSED) === 0) words[at] = entry | ACCESSED;
        continue;
      }
      if (level > this.#maxLeaf) break;
      const marked = entry | ACCESSED | ((needed & WRITE) << WRITE_TO_DIRTY);
      if (marked !== entry) words[at] = marked;
      const lg2 = LEAF_LG2[level]!;
      out.sizeLg2 = lg2;
      out.outG = level === 0 ? table : joinLeaf(table, iovaG, lg2);
      // Only a dirty leaf is cached as writable, as in #leaf.
      out.prot = MAY_READ | (marked & DIRTY ? rights : 0);
      return WALK_DONE;
    }
    return this.#byTheLongWay(root, iovaG, access, out);
  }

  #byTheLongWay(root: WalkRoot, iovaG: number, access: number, out: WalkResult): WalkCode {
    const place = { table: root.pfn, frame: 0, offset: 0 };
    const walk: Walk = { root, iovaG, access, out, rights: WRITE | USER, ...place };
    const low = iovaG | 0;
    const high = (iovaG * 2 ** -32) | 0;
    for (let level = root.topLevel; ; level--) {
      out.level = level;
      walk.offset = indexAt(low, high, level) * 8;
      const code = this.#read(walk);
      if (code !== WALK_DONE) return code;
      const { lo, hi } = this.#item;
      if ((lo & PRESENT) === 0) return WALK_EMPTY;
      walk.rights &= lo;
      const next = (hi & 0xf_ffff) * 0x10_0000 + (lo >>> 12);
      if (level === 0 || (lo & PS) !== 0) return this.#leaf(walk, level, next);
      const marked = this.#mark(walk, ACCESSED);
      if (marked !== WALK_DONE) return marked;
      walk.table = next;
    }
  }

  #read(walk: Walk): WalkCode {
    const code = this.#throughHost(walk, walk.table, MAY_READ);
    if (code !== WALK_DONE) return WALK_AT_TABLE | code;
    walk.frame = this.#ofHost.outG;
    return this.#reader.read(walk.frame, walk.offset, this.#item) ? WALK_DONE : WALK_UNREADABLE;
  }

  /** The host frame of one of the guest's into #ofHost.outG; the same frame without a host stage. */
  #throughHost({ root, out }: Walk, frame: number, access: number): WalkCode {
    const found = this.#ofHost;
    found.outG = frame;
    if (root.host === undefined) return WALK_DONE;
    const code = this.#host.walk(root.host, frame, access, found);
    if (code !== WALK_DONE) out.level = found.level;
    return code;
  }

  /** Set bits in the entry just read, as the hardware does. */
  #mark(walk: Walk, bits: number): WalkCode {
    const item = this.#item;
    if ((item.lo & bits) === bits) return WALK_DONE;
    const code = this.#throughHost(walk, walk.table, MAY_WRITE);
    if (code !== WALK_DONE) return WALK_AT_MARK | code;
    item.lo |= bits;
    return this.#reader.write(walk.frame, walk.offset, item) ? WALK_DONE : WALK_UNWRITABLE;
  }

  #leaf(walk: Walk, level: number, frame: number): WalkCode {
    const { iovaG, access, out, rights } = walk;
    const write = (access & MAY_WRITE) !== 0;
    if (level > this.#maxLeaf) return WALK_RESERVED;
    const refused = refusalOf(rights, access);
    if (refused !== WALK_DONE) return refused;
    const marked = this.#mark(walk, ACCESSED | (write ? DIRTY : 0));
    if (marked !== WALK_DONE) return marked;
    const lg2 = LEAF_LG2[level]!;
    const target = lg2 === 0 ? frame : joinLeaf(frame, iovaG, lg2);
    // Only a dirty leaf is cached as writable: the first write must come here to set D.
    out.prot = MAY_READ | ((this.#item.lo & DIRTY) !== 0 ? rights & WRITE : 0);
    out.sizeLg2 = lg2;
    const code = this.#throughHost(walk, target, access);
    if (code !== WALK_DONE) return WALK_AT_OUTPUT | code;
    out.outG = this.#ofHost.outG;
    if (walk.root.host === undefined) return WALK_DONE;
    out.prot &= this.#ofHost.prot;
    out.sizeLg2 = Math.min(lg2, this.#ofHost.sizeLg2);
    return WALK_DONE;
  }
}

/** What the rights of all items together do not grant. */
function refusalOf(rights: number, access: number): WalkCode {
  if ((rights & USER) === 0 && (access & IOMMU_PRIV) === 0) return WALK_PRIVILEGED;
  const mayWrite = (rights & WRITE) !== 0 || (access & UNPROTECTED) !== 0;
  return (access & MAY_WRITE) !== 0 && !mayWrite ? WALK_DENIED : WALK_DONE;
}
