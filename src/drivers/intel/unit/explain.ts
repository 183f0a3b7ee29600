/**
 * How an address is translated now, step by step: the level-by-level view of a request (formats.md 12; VT-d 3.4 to
 * 3.9).
 *
 * Independent of the caches and of the fast walker, in bigint, so that tests can compare the two.
 */
import { isFault, lookupContext, lookupPasid, type LookupEnv, type Translation } from './lookup.ts';
import type { Explanation } from '../../../core/contract/remapping-unit.ts';
import { IOMMU_READ, IOMMU_WRITE, type WalkStep } from '../../../pt/page-table.ts';
import { bit, hex, mask } from '../../../base/u64.ts';
import { isMessageAddress } from '../../../pci/messages.ts';
import type { Ram } from '../../../pt/ram.ts';
import { faultReason } from '../fault-codes.ts';

export interface ExplainRequest {
  readonly requesterId: number;
  readonly pasid: number;
  readonly iova: bigint;
  readonly write: boolean;
}
type TableStep = Explanation['tables'][number];

const ADDRESS = mask(51, 12);
const PS = bit(7);
/** 1 GiB; above it the PS bit is reserved. Whether the unit knows the size is left to the walk. */
const LARGEST_LEAF = 2;
const RESERVED = 'a reserved bit is set: no leaf is that large';

export function explain(env: LookupEnv, enabled: boolean, request: ExplainRequest): Explanation {
  const { iova } = request;
  if (!enabled) return { tables: [], walk: [], pa: iova };
  if (request.pasid < 0 && isMessageAddress(iova)) {
    const refused = 'an address of the interrupt range is not translated';
    return request.write ? { tables: [], walk: [], pa: iova } : { tables: [], walk: [], refused };
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
  const found = walkStages(env.ram, translation, request, walk);
  if ('refused' in found) return { tables, walk, refused: found.refused };
  return { tables, walk, pa: found.pa };
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

type Found = { readonly pa: bigint } | { readonly refused: string };

function walkStages(ram: Ram, t: Translation, request: ExplainRequest, steps: WalkStep[]): Found {
  if (t.kind === 'pass') return checkWidth(t, request.iova) ?? { pa: request.iova };
  if (t.kind === 'second') return second(ram, t, request.iova, request.write, steps);
  const first = firstStage(ram, t, request, steps);
  if ('refused' in first || t.kind === 'first') return first;
  return second(ram, t, first.pa, request.write, steps);
}

function checkWidth(t: Translation, address: bigint): Found | undefined {
  if (address >> 12n < BigInt(t.ssLimitG)) return undefined;
  return { refused: 'the address is above the width of the second stage' };
}

function second(
  ram: Ram,
  t: Translation,
  address: bigint,
  write: boolean,
  steps: WalkStep[],
): Found {
  const tooWide = checkWidth(t, address);
  if (tooWide !== undefined) return tooWide;
  let table = BigInt(t.ssRoot) << 12n;
  let rights = 3n;
  for (let level = t.ssLevels - 1; ; level--) {
    const step = readStep(ram, table, address, level, (entry) => Number(entry & 3n));
    if (step === undefined) return { refused: 'a second-stage table lies outside of memory' };
    steps.push(step);
    rights &= step.entry;
    if (step.kind === 'leaf') {
      if (level > LARGEST_LEAF) return { refused: RESERVED };
      if ((rights & (write ? 2n : 1n)) === 0n) return noRight(write, 'second');
      return { pa: step.pa! | (address & (bit(step.sizeLg2!) - 1n)) };
    }
    if (step.kind === 'empty' || rights === 0n) {
      return { refused: `nothing is mapped in the second stage at level ${level}` };
    }
    table = step.pa!;
  }
}

function firstStage(ram: Ram, t: Translation, request: ExplainRequest, steps: WalkStep[]): Found {
  const width = BigInt(12 + 9 * t.fsLevels);
  const top = request.iova >> (width - 1n);
  if (top !== 0n && top !== bit(65 - Number(width)) - 1n) {
    return { refused: 'the address is not canonical' };
  }
  let table = BigInt(t.fsRoot) << 12n;
  let rights = 6n;
  for (let level = t.fsLevels - 1; ; level--) {
    if (t.kind === 'nested') {
      const host = second(ram, t, table, false, []);
      if ('refused' in host) return { refused: `first-stage table: ${host.refused}` };
      table = host.pa;
    }
    const step = readStep(ram, table, request.iova, level, firstProt);
    if (step === undefined) return { refused: 'a first-stage table lies outside of RAM' };
    steps.push(step);
    if ((step.entry & 1n) === 0n) {
      return { refused: `nothing is mapped in the first stage at level ${level}` };
    }
    rights &= step.entry;
    if (step.kind === 'leaf') return firstLeaf(step, rights, request);
    table = step.pa!;
  }
}

function firstLeaf(step: WalkStep, rights: bigint, request: ExplainRequest): Found {
  if (step.level > LARGEST_LEAF) return { refused: RESERVED };
  if ((rights & 4n) === 0n) return { refused: 'the first stage maps no user page here' };
  if (request.write && (rights & 2n) === 0n) return noRight(true, 'first');
  return { pa: step.pa! | (request.iova & (bit(step.sizeLg2!) - 1n)) };
}

function noRight(write: boolean, stage: string): Found {
  return { refused: `no ${write ? 'write' : 'read'} permission in the ${stage} stage` };
}

function firstProt(entry: bigint): number {
  if ((entry & 1n) === 0n) return 0;
  return IOMMU_READ | ((entry & 2n) !== 0n ? IOMMU_WRITE : 0);
}

function readStep(
  ram: Ram,
  table: bigint,
  address: bigint,
  level: number,
  protOf: (entry: bigint) => number,
): WalkStep | undefined {
  if (table >> 12n >= BigInt(ram.frameCount)) return undefined;
  const shift = 12 + 9 * level;
  const index = Number((address >> BigInt(shift)) & 511n);
  const entryPa = table + BigInt(index) * 8n;
  const entry = word64(ram, Number(entryPa >> 2n));
  const shared = { level, entryPa, index, entry };
  if (entry === 0n) return { ...shared, kind: 'empty' };
  if (level > 0 && (entry & PS) === 0n) {
    return { ...shared, kind: 'table', pa: entry & ADDRESS };
  }
  const pa = entry & ADDRESS & ~(bit(shift) - 1n);
  return { ...shared, kind: 'leaf', pa, sizeLg2: shift, prot: protOf(entry) };
}
