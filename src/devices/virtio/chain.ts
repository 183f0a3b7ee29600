/**
 * What a driver makes available: a chain of descriptors, as the memory it names (virtio 1.2, 2.7.5 and 2.8.5;
 * devices.md 5.4).
 *
 * Both ring layouts end here. A chain that breaks a rule of the standard is none: its queue stops.
 */
import { u16, u32, u64, struct } from '../../base/struct.ts';
import type { DeviceDma, DmaPiece } from '../port.ts';
import { readEach } from '../unit/each.ts';
import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from './numbers.ts';

/** One descriptor of a split ring; in a packed one the two last fields are the buffer id and the flags. */
const virtq_desc = struct('virtq_desc', 16, { addr: u64, len: u32, flags: u16, next: u16 });
/** One descriptor of a packed ring. */
const pvirtq_desc = struct('pvirtq_desc', 16, { addr: u64, len: u32, id: u16, flags: u16 });
/** Bytes of a descriptor of either kind. */
export const DESCRIPTOR_SIZE = 16;

/** A descriptor of either kind. */
export interface Descriptor {
  readonly addr: bigint;
  readonly len: number;
  readonly flags: number;
  /** The next of a split chain, or the buffer id. */
  readonly link: number;
}

/** Buffers of a driver: first those it filled, then those it wants filled. */
export interface Chain {
  /** What its used element names. */
  readonly id: number;
  /** Descriptors of the ring it took. */
  readonly slots: number;
  readonly readable: readonly DmaPiece[];
  readonly writable: readonly DmaPiece[];
}

/** A chain that is done. */
export interface UsedChain {
  readonly chain: Chain;
  /** Bytes written, from the beginning of what is writable. */
  readonly written: number;
}

/** What a walk of the ring found. */
export interface TakenChains {
  readonly chains: readonly Chain[];
  /** The driver broke a rule, or the ring cannot be reached: nothing comes after these. */
  readonly broken: boolean;
  /** There is more. */
  readonly more: boolean;
}

/** A ring of either layout, between a driver and a device. */
export interface VirtRing {
  /** Take what is available, at most so many chains. */
  take(limit: number): TakenChains;
  /**
   * Give chains back, together: the driver sees all of them or none. Is an interrupt wanted? Undefined: the ring cannot
   * be reached.
   */
  use(list: readonly UsedChain[]): boolean | undefined;
  /** Where both sides are: plain numbers. */
  state(): VirtRingState;
  restore(state: VirtRingState): void;
}

/** Positions of a ring by name. */
export type VirtRingState = Readonly<Record<string, number>>;

/** What a ring is made from. */
export interface VirtRingPlace {
  readonly dma: DeviceDma;
  /** Descriptors: a power of two in a split ring. */
  readonly size: number;
  /** Descriptor, driver and device areas. */
  readonly desc: bigint;
  readonly driver: bigint;
  readonly device: bigint;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
}

/** The descriptor in these bytes of a split ring. */
export function splitDescriptor(bytes: Uint8Array): Descriptor {
  const { addr, len, flags, next } = virtq_desc.view(bytes);
  return { addr, len, flags, link: next };
}
/** The descriptor in these bytes of a packed ring. */
export function packedDescriptor(bytes: Uint8Array): Descriptor {
  const { addr, len, flags, id } = pvirtq_desc.view(bytes);
  return { addr, len, flags, link: id };
}

/** Descriptors of the ring in their order; the last may be of a table in memory. */
export interface RawChain {
  readonly id: number;
  readonly list: readonly Descriptor[];
}

/** How a layout has descriptors that are in a table of memory. */
export interface TableRules {
  readonly allowed: boolean;
  /** Descriptors of one chain. */
  readonly longest: number;
  /** Those of a table in their order; undefined: a rule is broken. */
  readonly unpack: (table: Uint8Array) => readonly Descriptor[] | undefined;
}

/**
 * The chains of these, with the tables they name; the first that breaks a rule ends the list. All tables are read in one
 * transfer.
 */
export function chainsOf(
  dma: DeviceDma,
  raw: readonly RawChain[],
  rules: TableRules,
): readonly Chain[] {
  const lists = raw.map(({ list }) => tablePieces(list.at(-1), rules));
  const tables = readEach(
    dma,
    lists.map((pieces) => pieces ?? []),
  );
  const chains: Chain[] = [];
  for (const [n, { id, list }] of raw.entries()) {
    const [pieces, table] = [lists[n], tables[n]];
    if (!pieces || !table) break;
    const more = pieces.length > 0 ? rules.unpack(table) : [];
    const direct = pieces.length > 0 ? list.slice(0, -1) : list;
    const chain = more && chainOf({ id, list: [...direct, ...more] }, list.length, rules.longest);
    if (!chain) break;
    chains.push(chain);
  }
  return chains;
}

/** Where the table is that a descriptor names: no piece if it names none. Undefined: a rule is broken. */
function tablePieces(last: Descriptor | undefined, rules: TableRules): DmaPiece[] | undefined {
  if (!last || (last.flags & VIRTQ_DESC_F_INDIRECT) === 0) return [];
  const { addr, len, flags } = last;
  const entries = len / DESCRIPTOR_SIZE;
  if (!rules.allowed || (flags & VIRTQ_DESC_F_NEXT) !== 0) return undefined;
  if (!Number.isInteger(entries) || entries === 0 || entries > rules.longest) return undefined;
  return [{ at: addr, length: len }];
}

function chainOf({ id, list }: RawChain, slots: number, longest: number): Chain | undefined {
  const readable: DmaPiece[] = [];
  const writable: DmaPiece[] = [];
  let total = 0;
  let writes = false;
  if (list.length > longest) return undefined;
  for (const { addr, len, flags } of list) {
    const isWritable = (flags & VIRTQ_DESC_F_WRITE) !== 0;
    // A table names no table, and what is written comes last.
    if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0 || (writes && !isWritable)) return undefined;
    writes = isWritable;
    total += len;
    if (len > 0) (isWritable ? writable : readable).push({ at: addr, length: len });
  }
  return total >= 2 ** 32 ? undefined : { id, slots, readable, writable };
}

/** Is `event` among the `count` positions from `old` on, on a circle of so many? */
export function passes(event: number, old: number, count: number, circle: number): boolean {
  return (event - old + circle) % circle < count;
}
