/**
 * How an address is translated now, step by step: the level-by-level view of a request (formats.md 12; VT-d 3.4 to
 * 3.9).
 *
 * By the interpreted walker and without marks: independent of the caches and of the walkers the unit uses, so that tests
 * can compare the two.
 */
import { fromGranules, hex, pow2, toGranules } from '../../../base/u64.ts';
import type { Explanation } from '../../../core/contract/remapping-unit.ts';
import { isMessageAddress } from '../../../pci/messages.ts';
import { vtdss } from '../../../pt/formats/vtdss.ts';
import { x86_64 } from '../../../pt/formats/x86-64.ts';
import { IOMMU_READ, IOMMU_WRITE, type WalkStep } from '../../../pt/page-table.ts';
import type { Ram } from '../../../pt/ram.ts';
import { InterpretedWalker } from '../../../pt/walk/interpreted.ts';
import type { TableReader } from '../../../pt/walk/table-reader.ts';
import {
  newWalkResult,
  WALK_AT_OUTPUT,
  WALK_DONE,
  type WalkCode,
  type WalkResult,
} from '../../../pt/walk/walker.ts';
import { faultReason } from '../fault-codes.ts';
import type { IntelHardware } from '../hardware.ts';
import { isFault, lookupContext, lookupPasid, type LookupEnv, type Translation } from './lookup.ts';
import { faultOf, PASS_THROUGH } from './walk.ts';
import { firstStagePolicy, secondStagePolicy } from './walk-policy.ts';

export interface ExplainRequest {
  readonly requesterId: number;
  readonly pasid: number;
  readonly iova: bigint;
  readonly write: boolean;
}
type TableStep = Explanation['tables'][number];

/** The unit is on. */
export function explain(env: LookupEnv, reader: TableReader, request: ExplainRequest): Explanation {
  const { iova, write } = request;
  if (request.pasid < 0 && isMessageAddress(iova)) {
    const refused = 'an address of the interrupt range is not translated';
    return write ? { tables: [], walk: [], pa: iova } : { tables: [], walk: [], refused };
  }
  const tables: TableStep[] = [];
  const noting: LookupEnv = {
    ...env,
    note: (name, at, count) => tables.push(tableStep(env.ram, name, at, count)),
  };
  const context = lookupContext(noting, request.requesterId);
  if (isFault(context)) return refusedBy(context.fault, tables, []);
  const translation = lookupPasid(noting, context, request.pasid);
  if (isFault(translation)) return refusedBy(translation.fault, tables, []);
  const walk: WalkStep[] = [];
  const out = newWalkResult();
  const stages = stagesOf(env.hw, reader, walk);
  const code = stages(translation, toGranules(iova, 12), write ? IOMMU_WRITE : IOMMU_READ, out);
  if (code !== WALK_DONE)
    return refusedBy(faultOf(translation, code, write, out.level), tables, walk);
  return { tables, walk, pa: fromGranules(out.outG, 12) | BigInt.asUintN(12, iova) };
}

function refusedBy(code: number, tables: TableStep[], walk: WalkStep[]): Explanation {
  return { tables, walk, refused: `fault ${hex(code)}: ${faultReason(code)}` };
}

function tableStep(ram: Ram, name: string, at: number, count: number): TableStep {
  const words = Array.from({ length: count }, (_, n) => word64(ram, at + 2 * n));
  const present = (words[0]! & 1n) !== 0n || (name === 'root entry' && (words[1]! & 1n) !== 0n);
  return {
    name,
    pa: BigInt(at) * 4n,
    words,
    meaning: present ? 'present' : 'not present',
  };
}

function word64(ram: Ram, at: number): bigint {
  const low = BigInt(ram.words[at]! >>> 0);
  return low | (BigInt(ram.words[at + 1]! >>> 0) << 32n);
}

type Stages = (t: Translation, iovaG: number, access: number, out: WalkResult) => WalkCode;

/** What a translation is walked by, in its one or two stages; the entries met are put into `steps`. */
function stagesOf(hw: IntelHardware, memory: TableReader, steps: WalkStep[]): Stages {
  // To look leaves no mark.
  const reader: TableReader = {
    read: (pfn, offset, into) => memory.read(pfn, offset, into),
    write: () => true,
  };
  const note = (step: WalkStep): void => void steps.push(step);
  const ofSecond = { format: vtdss, policy: secondStagePolicy(hw, false), reader };
  const second = new InterpretedWalker({ ...ofSecond, note });
  const first = new InterpretedWalker({
    format: x86_64,
    policy: firstStagePolicy(hw),
    reader,
    note,
    // The way to the guest's tables is not shown.
    host: new InterpretedWalker(ofSecond),
  });
  return (t, iovaG, access, out) => {
    const { root } = t;
    if (t.kind === 'pass') return PASS_THROUGH.walk(root, iovaG, access, out);
    if (t.kind === 'second') return second.walk(root, iovaG, access, out);
    const code = first.walk(root, iovaG, access, out);
    const { pa, sizeLg2 } = steps.at(-1) ?? {};
    const reached = code === WALK_DONE || (code & WALK_AT_OUTPUT) !== 0;
    if (root.host && reached && pa !== undefined && sizeLg2 !== undefined) {
      const outputG = toGranules(pa, 12) + (iovaG % pow2(sizeLg2 - 12));
      second.walk(root.host, outputG, access, newWalkResult());
    }
    return code;
  };
}
