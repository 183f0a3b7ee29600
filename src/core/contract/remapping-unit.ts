/**
 * The translating side of an IOMMU: what stands between a device and memory.
 *
 * A driver writes bytes into RAM; its unit reads those bytes. They share nothing else, so that a forgotten
 * invalidation shows as a stale translation. Units are implemented in drivers/, used by machine/.
 *
 * What can come up to a unit from the bus is one call each: plain reads and writes (`translate`), requests that say more
 * of themselves or ask for a translation (`request`), interrupt messages (`message`), page requests (`requestPage`).
 */
import type { WalkStep } from '../../pt/page-table.ts';

/** Hardware that translates: what stands between a device and memory. */
export interface RemappingUnit {
  readonly name: string;
  /** Translation granule: 12, or 11 for the mock. */
  readonly granuleLg2: number;
  /**
   * Writes without a PASID to these granules are messages and never reach memory, whatever a table says.
   * Undefined: a message is a write like any other.
   */
  readonly messages: GranuleSpan | undefined;

  /**
   * Translate one granule for a plain read or write of `requesterId` (bus << 8 | devfn), with `pasid` or -1.
   * Returns the output granule, or -1: blocked, recorded as a fault by the unit. No allocation on the way of a hit.
   */
  translate(requesterId: number, pasid: number, iovaG: number, write: boolean): number;
  /** Any other request for an address: with attributes, or for the translation itself (ATS). */
  request(request: UnitRequest): UnitAnswer;
  /** Where a write of 4 bytes ends that may be an interrupt, and what it says then. Undefined: blocked, and recorded. */
  message(requesterId: number, message: BusMessage): BusMessage | undefined;
  /**
   * A device asks for a page to be made present (PRI). True: `respond` is called, once, when software answers the group,
   * which may be before this returns: with 0 success, 1 invalid, 15 failure, as PCIe has them. False: the device may not
   * ask, or the queue is full; nothing more will come.
   */
  requestPage(request: PageRequest, respond: (code: number) => void): boolean;
  /** How an address is translated now, level by level, without touching caches or recording faults. */
  explain(requesterId: number, pasid: number, iova: bigint, write: boolean): Explanation;
}

/** Granule numbers, both inclusive. */
export interface GranuleSpan {
  readonly firstG: number;
  readonly lastG: number;
}

/** What a device wants of an address: to read it, to write it, or (ATS) to be told where it is. */
export type UnitAccess = 'read' | 'write' | 'ats';

/** One request for one granule. */
export interface UnitRequest {
  /** bus << 8 | devfn. */
  readonly requesterId: number;
  /** -1: none. */
  readonly pasid: number;
  readonly iovaG: number;
  readonly access: UnitAccess;
  /** For `ats`: the device will only read, and the page need not be made dirty. */
  readonly noWrite?: boolean;
  /** Of a read or write with a PASID: in supervisor mode; to fetch instructions. */
  readonly privileged?: boolean;
  readonly execute?: boolean;
}

/**
 * How a request ends: with an address; for ATS, with the news that nothing is mapped there, which is no fault; refused as
 * a request that may not be made; or blocked by a fault.
 */
export type UnitOutcome = 'translated' | 'empty' | 'unsupported' | 'aborted';

/** The completion of a request. */
export interface UnitAnswer {
  readonly outcome: UnitOutcome;
  /** Output granule, -1 unless translated. */
  readonly outG: number;
  /** IOMMU_READ and IOMMU_WRITE: what the address may be used for. For a plain access the right it needed. */
  readonly prot: number;
  /** The answer holds for the aligned 2^sizeLg2 granules around. */
  readonly sizeLg2: number;
}

/** A write of 4 bytes as it stands on the bus. */
export interface BusMessage {
  readonly addressLo: number;
  readonly addressHi: number;
  readonly data: number;
}

/** What a device asks for when a page is missing. */
export interface PageRequest {
  readonly requesterId: number;
  /** -1 without PASID. */
  readonly pasid: number;
  readonly iovaG: number;
  readonly read: boolean;
  readonly write: boolean;
  readonly execute?: boolean;
  readonly privileged?: boolean;
  /** The last of its group: the response to the group comes after it. */
  readonly last: boolean;
  /** 0…511, chosen by the device. */
  readonly group: number;
}

/** A request that was answered with no address. */
export function unanswered(outcome: Exclude<UnitOutcome, 'translated'>): UnitAnswer {
  return { outcome, outG: -1, prot: 0, sizeLg2: 0 };
}

/** How an address is translated, level by level. */
export interface Explanation {
  /** Device-table steps in order: root entry, context entry, PASID entry… each with its raw words. */
  readonly tables: readonly {
    readonly name: string;
    readonly pa: bigint;
    readonly words: readonly bigint[];
    readonly meaning: string;
  }[];
  readonly walk: readonly WalkStep[];
  /** The address, or why not. */
  readonly pa?: bigint;
  readonly refused?: string;
}
