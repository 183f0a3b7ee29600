/** One run of a matrix, as `softiommu run` in a process of its own. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProgramEnd } from '../../insight/ci-reports/run-outcome.ts';
import { callLog } from '../../insight/matrix/call-log.ts';
import type { MatrixCell } from '../../insight/matrix/matrix-report.ts';
import { ownCommand, type Children } from '../children.ts';
import { UserMistake } from '../user-mistake.ts';
import type { PlannedCell } from './cells.ts';

/** How each is run. */
export interface CellRun {
  readonly children: Children;
  readonly argv: readonly string[];
  /** Options of `run` that all have. */
  readonly flags: readonly string[];
  readonly limitMs: number;
}

/** The cell with what the program did there. Rejects with UserMistake when softiommu could not run it. */
export async function runCell(
  { flags: own, ...cell }: PlannedCell,
  { children, argv, flags, limitMs }: CellRun,
): Promise<MatrixCell> {
  const isOver = (): boolean => children.isOver;
  if (cell.skipped !== undefined || isOver()) return { ...cell, calls: [] };
  const folder = mkdtempSync(join(tmpdir(), 'softiommu-matrix-'));
  try {
    const [trace, outcome] = [join(folder, 'trace.jsonl'), join(folder, 'outcome.json')];
    const words = ['run', '--explain=never', `--trace=${trace}`, `--json=${outcome}`];
    const command = ownCommand([...words, ...own, ...flags, '--', ...argv], limitMs);
    const { hung, said } = await children.run(command);
    if (isOver()) return { ...cell, calls: [] };
    const end = hung ? { failed: 'its time was up' } : endIn(outcome);
    if (!end || (!hung && end.failed !== undefined)) {
      throw new UserMistake(end?.failed ?? said.replace(/^softiommu: /, '').trimEnd());
    }
    return { ...cell, end, calls: callLog(linesOf(trace)) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
/** None of a run whose time was up before it began. */
function linesOf(trace: string): string[] {
  return existsSync(trace) ? readFileSync(trace, 'utf8').split('\n') : [];
}
/** Undefined: it has not come so far. */
function endIn(file: string): ProgramEnd | undefined {
  try {
    // cast: we have written it
    return (JSON.parse(readFileSync(file, 'utf8')) as { readonly end: ProgramEnd }).end;
  } catch {
    return undefined;
  }
}
