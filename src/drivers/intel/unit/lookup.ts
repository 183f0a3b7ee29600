/**
 * How a unit finds the translation of a request: root entry, context entry, PASID directory, PASID entry (formats.md 7;
 * VT-d 3.4). Reads bytes of RAM, decodes and checks them; every refusal is a fault code of formats.md 11.1.
 */
import { pow2 } from '../../../base/u64.ts';
import { FRAME_WORDS, type Ram } from '../../../pt/ram.ts';
import type { WalkRoot } from '../../../pt/walk/walker.ts';
import { FAULT_CODES as F } from '../fault-codes.ts';
import { awOfWidth, levelsOfAw, type IntelHardware } from '../hardware.ts';
import {
  hasReserved,
  legacyContext,
  legacyRoot,
  pasidDirectory,
  pasidEntry,
  PGTT_FIRST,
  PGTT_NESTED,
  PGTT_PASS_THROUGH,
  PGTT_SECOND,
  reservedMasks,
  scalableContext,
  scalableRoot,
  T_PASS_THROUGH,
  T_SECOND_STAGE_ATS,
} from '../words.ts';
import type { TagKind } from './tags.ts';

/** Where the next table is read from, and how this unit reads it. */
export interface LookupEnv {
  readonly hw: IntelHardware;
  readonly ram: Ram;
  readonly rootPfn: number;
  readonly scalable: boolean;
  /** Told each entry that is read, for explain(): name, word index in RAM, words of 64 bits. */
  readonly note?: ((name: string, at: number, count: number) => void) | undefined;
}

export interface LookupFault {
  readonly fault: number;
  /** Fault processing disabled: the fault is not recorded. */
  readonly fpd: boolean;
}

/** A decoded context entry: in legacy mode it holds the translation, in scalable mode the PASID directory. */
export interface CachedContext {
  readonly requesterId: number;
  /** Domain id, 0 in scalable mode. */
  readonly did: number;
  readonly fpd: boolean;
  readonly ats: boolean;
  /** Page requests are allowed. */
  readonly pre: boolean;
  readonly translation: Translation | undefined;
  readonly directoryPfn: number;
  readonly directoryEntries: number;
  readonly pasidEnabled: boolean;
  readonly ridPasid: number;
}

/** What a request is translated by. */
export interface Translation {
  readonly kind: TagKind;
  readonly did: number;
  readonly fpd: boolean;
  /** Fault codes of legacy mode. */
  readonly legacy: boolean;
  /** Where the walk begins; of pass-through only the width counts. */
  readonly root: WalkRoot;
  /** Accessed and dirty bits in the second stage. */
  readonly ssade: boolean;
  /** Requests in supervisor mode are allowed; what the first stage lets nobody write is closed to them too. */
  readonly sre: boolean;
  readonly wpe: boolean;
}

export function isFault(found: object): found is LookupFault {
  return 'fault' in found;
}

const LEGACY_ROOT_RESERVED = reservedMasks(legacyRoot);
const SCALABLE_ROOT_RESERVED = reservedMasks(scalableRoot);
const LEGACY_CONTEXT_RESERVED = reservedMasks(legacyContext);
const SCALABLE_CONTEXT_RESERVED = reservedMasks(scalableContext);
const PASID_DIRECTORY_RESERVED = reservedMasks(pasidDirectory);
const PASID_RESERVED = reservedMasks(pasidEntry);

function refuseAt(code: number, fpd = false): LookupFault {
  return { fault: code, fpd };
}

export function lookupContext(env: LookupEnv, requesterId: number): CachedContext | LookupFault {
  return env.scalable ? scalableLookup(env, requesterId) : legacyLookup(env, requesterId);
}

function legacyLookup(env: LookupEnv, requesterId: number): CachedContext | LookupFault {
  const { ram, note } = env;
  const words = ram.words;
  if (env.rootPfn >= ram.frameCount) return refuseAt(F.ROOT_ACCESS);
  const root = env.rootPfn * FRAME_WORDS + (requesterId >> 8) * 4;
  note?.('root entry', root, 2);
  if (legacyRoot.p.get(words, root) === 0) return refuseAt(F.ROOT_NOT_PRESENT);
  if (hasReserved(words, root, LEGACY_ROOT_RESERVED)) return refuseAt(F.ROOT_RESERVED);
  const table = legacyRoot.contextTable.get(words, root);
  if (table >= ram.frameCount) return refuseAt(F.CONTEXT_ACCESS);
  const at = table * FRAME_WORDS + (requesterId & 0xff) * 4;
  note?.('context entry', at, 2);
  const fpd = legacyContext.fpd.get(words, at) === 1;
  if (legacyContext.p.get(words, at) === 0) return refuseAt(F.CONTEXT_NOT_PRESENT, fpd);
  if (hasReserved(words, at, LEGACY_CONTEXT_RESERVED)) return refuseAt(F.CONTEXT_RESERVED, fpd);
  const translation = decodeLegacy(env, at, fpd);
  if (isFault(translation)) return translation;
  return {
    requesterId,
    did: translation.did,
    fpd,
    ats: legacyContext.t.get(words, at) === T_SECOND_STAGE_ATS,
    pre: false,
    translation,
    directoryPfn: 0,
    directoryEntries: 0,
    pasidEnabled: false,
    ridPasid: 0,
  };
}

function decodeLegacy(env: LookupEnv, at: number, fpd: boolean): Translation | LookupFault {
  const { hw, ram } = env;
  const t = legacyContext.t.get(ram.words, at);
  const aw = legacyContext.aw.get(ram.words, at);
  const pass = t === T_PASS_THROUGH;
  if (t > T_PASS_THROUGH || (pass && !hw.passThrough)) return refuseAt(F.CONTEXT_INVALID, fpd);
  if (t === T_SECOND_STAGE_ATS && !hw.ats) return refuseAt(F.CONTEXT_INVALID, fpd);
  if (!supportsAw(hw, aw)) return refuseAt(F.CONTEXT_INVALID, fpd);
  return {
    kind: pass ? 'pass' : 'second',
    did: legacyContext.did.get(ram.words, at),
    fpd,
    legacy: true,
    root: secondStage(hw, aw, pass ? 0 : legacyContext.ssptptr.get(ram.words, at)),
    ssade: false,
    sre: false,
    wpe: false,
  };
}

function scalableLookup(env: LookupEnv, requesterId: number): CachedContext | LookupFault {
  const { ram, note } = env;
  const words = ram.words;
  if (!env.hw.scalable) return refuseAt(F.BAD_ROOT_TABLE);
  if (env.rootPfn >= ram.frameCount) return refuseAt(F.SM_ROOT_ACCESS);
  const root = env.rootPfn * FRAME_WORDS + (requesterId >> 8) * 4;
  note?.('root entry', root, 2);
  const upper = (requesterId & 0x80) !== 0;
  const present = upper ? scalableRoot.up : scalableRoot.lp;
  if (present.get(words, root) === 0) return refuseAt(F.SM_ROOT_NOT_PRESENT);
  if (hasReserved(words, root, SCALABLE_ROOT_RESERVED)) return refuseAt(F.SM_ROOT_RESERVED);
  const table = (upper ? scalableRoot.upperTable : scalableRoot.lowerTable).get(words, root);
  if (table >= ram.frameCount) return refuseAt(F.SM_CONTEXT_ACCESS);
  const at = table * FRAME_WORDS + (requesterId & 0x7f) * 8;
  note?.('context entry', at, 4);
  const fpd = scalableContext.fpd.get(words, at) === 1;
  if (scalableContext.p.get(words, at) === 0) return refuseAt(F.SM_CONTEXT_NOT_PRESENT, fpd);
  if (hasReserved(words, at, SCALABLE_CONTEXT_RESERVED)) {
    return refuseAt(F.SM_CONTEXT_RESERVED, fpd);
  }
  return decodeScalable(env, requesterId, at, fpd);
}

function decodeScalable(
  env: LookupEnv,
  requesterId: number,
  at: number,
  fpd: boolean,
): CachedContext | LookupFault {
  const { hw } = env;
  const words = env.ram.words;
  const ats = scalableContext.dte.get(words, at) === 1;
  const pasidEnabled = scalableContext.paside.get(words, at) === 1;
  const unsupported = (ats && !hw.ats) || (pasidEnabled && hw.pasidBits === 0);
  if (unsupported) return refuseAt(F.SM_CONTEXT_INVALID, fpd);
  return {
    requesterId,
    did: 0,
    fpd,
    ats,
    pre: scalableContext.pre.get(words, at) === 1,
    translation: undefined,
    directoryPfn: scalableContext.pasiddirptr.get(words, at),
    directoryEntries: pow2(scalableContext.pdts.get(words, at) + 7),
    pasidEnabled,
    ridPasid: scalableContext.rid_pasid.get(words, at),
  };
}

/** The translation of a request with `pasid`, or -1 for one without. */
export function lookupPasid(
  env: LookupEnv,
  context: CachedContext,
  pasid: number,
): Translation | LookupFault {
  if (context.translation !== undefined) {
    if (pasid >= 0) return refuseAt(F.PASID_IN_LEGACY_MODE, context.fpd);
    return context.translation;
  }
  if (pasid >= 0 && !context.pasidEnabled) return refuseAt(F.PASID_NOT_ENABLED, context.fpd);
  const wanted = pasid >= 0 ? pasid : context.ridPasid;
  if (wanted >= context.directoryEntries * 64) {
    return refuseAt(pasid >= 0 ? F.PASID_TOO_LARGE : F.RID_PASID, context.fpd);
  }
  return readPasidEntry(env, context, wanted);
}

function readPasidEntry(
  env: LookupEnv,
  context: CachedContext,
  pasid: number,
): Translation | LookupFault {
  const { ram, note } = env;
  const words = ram.words;
  const dir = context.directoryPfn * FRAME_WORDS + (pasid >> 6) * 2;
  if (dir + 2 > words.length) return refuseAt(F.PASID_DIR_ACCESS, context.fpd);
  note?.('PASID directory entry', dir, 1);
  const dirFpd = context.fpd || pasidDirectory.fpd.get(words, dir) === 1;
  if (pasidDirectory.p.get(words, dir) === 0) return refuseAt(F.PASID_DIR_NOT_PRESENT, dirFpd);
  if (hasReserved(words, dir, PASID_DIRECTORY_RESERVED)) {
    return refuseAt(F.PASID_DIR_RESERVED, dirFpd);
  }
  const table = pasidDirectory.table.get(words, dir);
  if (table >= ram.frameCount) return refuseAt(F.PASID_ACCESS, dirFpd);
  const at = table * FRAME_WORDS + (pasid & 63) * 16;
  note?.('PASID entry', at, 8);
  const fpd = dirFpd || pasidEntry.fpd.get(words, at) === 1;
  if (pasidEntry.p.get(words, at) === 0) return refuseAt(F.PASID_NOT_PRESENT, fpd);
  if (hasReserved(words, at, PASID_RESERVED)) return refuseAt(F.PASID_RESERVED, fpd);
  return decodePasid(env.hw, words, at, fpd);
}

const PGTT_KINDS = new Map<number, TagKind>([
  [PGTT_FIRST, 'first'],
  [PGTT_SECOND, 'second'],
  [PGTT_NESTED, 'nested'],
  [PGTT_PASS_THROUGH, 'pass'],
]);

function decodePasid(
  hw: IntelHardware,
  words: Int32Array,
  at: number,
  fpd: boolean,
): Translation | LookupFault {
  const kind = PGTT_KINDS.get(pasidEntry.pgtt.get(words, at));
  const aw = pasidEntry.aw.get(words, at);
  const ssade = pasidEntry.ssade.get(words, at) === 1;
  const fspm = pasidEntry.fspm.get(words, at);
  if (kind === undefined || !pasidSupported(hw, kind, aw, fspm) || (ssade && !hw.ssade)) {
    return refuseAt(F.PASID_INVALID, fpd);
  }
  const pfn = kind === 'pass' ? 0 : pasidEntry.ssptptr.get(words, at);
  const second = secondStage(hw, aw, pfn);
  return {
    kind,
    did: pasidEntry.did.get(words, at),
    fpd,
    legacy: false,
    root:
      kind === 'first' || kind === 'nested'
        ? firstStage(
            pasidEntry.fsptptr.get(words, at),
            fspm,
            kind === 'nested' ? second : undefined,
          )
        : second,
    ssade,
    sre: pasidEntry.sre.get(words, at) === 1,
    wpe: pasidEntry.wpe.get(words, at) === 1,
  };
}

function pasidSupported(hw: IntelHardware, kind: TagKind, aw: number, fspm: number): boolean {
  if (kind === 'pass') return hw.passThrough && supportsAw(hw, aw);
  if (kind === 'second') return hw.secondStage && supportsAw(hw, aw);
  const first = hw.firstStage && (fspm === 0 || (fspm === 1 && hw.firstStage5));
  return kind === 'first' ? first : first && hw.nested && supportsAw(hw, aw);
}

function supportsAw(hw: IntelHardware, aw: number): boolean {
  return hw.widths.some((width) => awOfWidth(width) === aw);
}

function secondStage(hw: IntelHardware, aw: number, pfn: number): WalkRoot {
  const limitG = pow2(Math.min(9 * aw + 30, hw.mgaw) - 12);
  return { pfn, topLevel: levelsOfAw(aw) - 1, limitG, upperG: undefined, host: undefined };
}

/** Canonical addresses: the bits above the width are copies of its top bit. */
function firstStage(pfn: number, fspm: number, host: WalkRoot | undefined): WalkRoot {
  const halfG = pow2(9 * (4 + fspm) - 1);
  return { pfn, topLevel: 3 + fspm, limitG: halfG, upperG: pow2(52) - halfG, host };
}
