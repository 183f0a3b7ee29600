/** The walks of a VT-d unit: which stages a translation has, and what the unit calls it when one fails (formats.md 12). */
import type { UnitRequest } from '../../../core/contract/remapping-unit.ts';
import { vtdss } from '../../../pt/formats/vtdss.ts';
import { x86_64 } from '../../../pt/formats/x86-64.ts';
import { IOMMU_PRIV, IOMMU_READ, IOMMU_WRITE } from '../../../pt/page-table.ts';
import type { Ram } from '../../../pt/ram.ts';
import { createWalker } from '../../../pt/walk/create-walker.ts';
import { MemoryReader, type TableReader } from '../../../pt/walk/table-reader.ts';
import {
  isBeyond,
  WALK_AT_MARK,
  WALK_AT_TABLE,
  WALK_DENIED,
  WALK_DONE,
  WALK_EMPTY,
  WALK_PRIVILEGED,
  WALK_REASON,
  WALK_RESERVED,
  WALK_UNPROTECTED,
  WALK_UNREADABLE,
  WALK_WIDTH,
  type PageWalker,
  type WalkCode,
  type WalkRoot,
} from '../../../pt/walk/walker.ts';
import { FAULT_CODES as F } from '../fault-codes.ts';
import type { IntelHardware } from '../hardware.ts';
import type { LookupFault, Translation } from './lookup.ts';
import { firstStagePolicy, secondStagePolicy } from './walk-policy.ts';

/** Walks the second stage, which lies in RAM; `tracks`: accessed and dirty bits are on. */
export function secondStage(hw: IntelHardware, ram: Ram, tracks: boolean): PageWalker {
  const policy = secondStagePolicy(hw, tracks);
  return createWalker({ format: vtdss, ram, policy, reader: new MemoryReader(ram) });
}

/** Walks the first stage, which may lie in a guest's pages; `host` walks the second stage of nested roots. */
export function firstStage(
  hw: IntelHardware,
  ram: Ram,
  reader: TableReader,
  host: PageWalker,
): PageWalker {
  return createWalker({ format: x86_64, ram, policy: firstStagePolicy(hw), reader, host });
}

/** A unit's walkers. */
export class Walkers {
  readonly #second: PageWalker;
  /** With accessed and dirty bits of the second stage on. */
  readonly #trackingSecond: PageWalker;
  /** Alone, or nested in the second stage of the same kind. */
  readonly #first: PageWalker;
  readonly #trackingFirst: PageWalker;

  constructor(hw: IntelHardware, ram: Ram, reader: TableReader) {
    this.#second = secondStage(hw, ram, false);
    this.#trackingSecond = secondStage(hw, ram, true);
    this.#first = firstStage(hw, ram, reader, this.#second);
    this.#trackingFirst = firstStage(hw, ram, reader, this.#trackingSecond);
  }

  /** For whatever stages the translation has. */
  of({ kind, ssade }: Translation): PageWalker {
    if (kind === 'pass') return PASS_THROUGH;
    if (kind === 'second') return ssade ? this.#trackingSecond : this.#second;
    return ssade ? this.#trackingFirst : this.#first;
  }
}

/** No table: the address is the output, as far as the width goes. */
export const PASS_THROUGH: PageWalker = {
  walk(root, iovaG, _access, out) {
    if (isBeyond(root, iovaG)) return WALK_WIDTH;
    out.outG = iovaG;
    out.prot = IOMMU_READ | IOMMU_WRITE;
    out.sizeLg2 = 0;
    return WALK_DONE;
  },
};

/** What a walk is told of the attributes of a request; only the first stage has modes. */
export function modeOf(
  { kind, sre, wpe, fpd }: Translation,
  { privileged = false, execute = false }: UnitRequest,
): number | LookupFault {
  if (kind !== 'first' && kind !== 'nested') return 0;
  // No unit of this kind knows execute requests (ECAP.ERS).
  if (execute) return { fault: F.EXECUTE_NOT_ENABLED, fpd };
  if (!privileged) return 0;
  if (!sre) return { fault: F.SUPERVISOR_NOT_ENABLED, fpd };
  return IOMMU_PRIV | (wpe ? 0 : WALK_UNPROTECTED);
}

/** The fault code of a walk that failed. */
export function faultOf(t: Translation, code: WalkCode, write: boolean, level: number): number {
  const { root } = t;
  if (t.kind === 'second' || t.kind === 'pass') return secondFault(t, root, code, write, level);
  if (code < WALK_AT_TABLE) return firstFault(code, level === root.topLevel);
  const reason = code & WALK_REASON;
  const denied = reason === WALK_DENIED || reason === WALK_EMPTY;
  if ((code & WALK_AT_TABLE) !== 0 && reason === WALK_WIDTH) return F.FS_ABOVE_WIDTH;
  if ((code & WALK_AT_TABLE) !== 0 && denied) return F.NESTED_READ;
  if ((code & WALK_AT_MARK) !== 0 && denied) return F.NESTED_WRITE;
  return secondFault(t, root.host ?? root, reason, write, level);
}

function secondFault(
  t: Translation,
  root: WalkRoot,
  reason: WalkCode,
  write: boolean,
  level: number,
): number {
  switch (reason) {
    case WALK_WIDTH:
      return t.legacy ? F.ABOVE_WIDTH : F.SS_TOO_LARGE;
    case WALK_RESERVED:
      return t.legacy ? F.TABLE_RESERVED : F.SS_RESERVED;
    case WALK_UNREADABLE:
      if (t.legacy) return F.NEXT_TABLE;
      return level === root.topLevel ? F.SS_BAD_ROOT : F.SS_ACCESS;
    default:
      if (!t.legacy) return F.SS_PERMISSION;
      return write ? F.NO_WRITE : F.NO_READ;
  }
}

function firstFault(code: WalkCode, top: boolean): number {
  switch (code) {
    case WALK_WIDTH:
      return F.NOT_CANONICAL;
    case WALK_EMPTY:
      return F.FS_NOT_PRESENT;
    case WALK_RESERVED:
      return F.FS_RESERVED;
    case WALK_PRIVILEGED:
      return F.USER_BIT;
    case WALK_DENIED:
      return F.SM_NO_WRITE;
    case WALK_UNREADABLE:
      return top ? F.FS_TOP_ACCESS : F.FS_ACCESS;
    default:
      return F.FS_ACCESS;
  }
}
