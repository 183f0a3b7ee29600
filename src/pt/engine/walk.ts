/**
 * Looking at a table: iova_to_phys, and a walk told step by step for dumps and explanations.
 */
import { ERANGE, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { fromGranules } from '../../base/u64.ts';
import type { WalkStep } from '../page-table.ts';
import type { Table } from './table.ts';

/**
 * Output address of any byte; 0n where nothing is mapped.
 * @kernel pt_iommu_iova_to_phys
 */
export function iovaToPhys(table: Table, iova: bigint): bigint {
  const output = table.lookup(table.granule(iova));
  if (output < 0) return 0n;
  return fromGranules(output, table.granuleLg2) | BigInt.asUintN(table.granuleLg2, iova);
}

/** Every entry met on the way to an address, top first. ERANGE: the address is outside the table. */
export function walk(table: Table, iova: bigint): Result<WalkStep[], 'ERANGE'> {
  const va = table.fold(table.granule(iova));
  if (va < 0) return refuse(ERANGE, 'the address is not inside the table', { iova });
  const steps: WalkStep[] = [];
  let base = table.topWord;
  for (let level = table.topLevel; ; level--) {
    const at = table.itemWord(base, va, level);
    const step = describe(table, base, at, level);
    steps.push(step);
    if (step.kind !== 'table') return steps;
    base = table.tableWord(table.words[at]!);
  }
}

function describe(table: Table, base: number, at: number, level: number): WalkStep {
  const lo = table.words[at]!;
  const hi = table.words[at + 1]!;
  const seen = {
    level,
    entryPa: BigInt(at) * 4n,
    index: (at - base) / 2,
    entry: (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0),
  };
  if (table.isEmpty(lo, hi)) return { ...seen, kind: 'empty' };
  const prot = table.format.protOf(lo, hi);
  if (!table.isLeaf(lo, level)) {
    return { ...seen, kind: 'table', pa: BigInt(table.tableWord(lo)) * 4n, prot };
  }
  const sizeLg2 = table.leafSizeLg2(lo, hi, level);
  return {
    ...seen,
    kind: 'leaf',
    pa: fromGranules(table.leafOutput(lo, hi, level, 0), table.granuleLg2),
    sizeLg2: sizeLg2 + table.granuleLg2,
    prot,
  };
}
