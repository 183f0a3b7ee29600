/** One run of a matrix, as `softiommu run` in a process of its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProgramEnd } from '../../insight/ci-reports/run-outcome.ts';
import { callLog } from '../../insight/matrix/call-log.ts';
import type { CellEnd, MatrixCell } from '../../insight/matrix/matrix-report.ts';
import { ownCommand } from '../children.ts';
import { traceLines, type ManyRuns } from '../many-runs.ts';
import { UserMistake } from '../user-mistake.ts';
import type { PlannedCell } from './cells.ts';

/** How each is run. */
export interface CellRun {
  readonly runs: ManyRuns;
  readonly argv: readonly string[];
  /** Options of `run` that all have. */
  readonly flags: readonly string[];
  readonly limitMs: number;
}

/** The cell with what the program did there. Rejects with UserMistake when softiommu could not run it. */
export async function runCell(
  { flags: own, ...cell }: PlannedCell,
  { runs: { children, withFolder }, argv, flags, limitMs }: CellRun,
): Promise<MatrixCell> {
  if (cell.skipped !== undefined || children.isOver()) return { ...cell, calls: [] };
  return withFolder(async (folder) => {
    const [trace, outcome] = [join(folder, 'trace.jsonl'), join(folder, 'outcome.json')];
    const words = ['run', '--explain=never', `--trace=${trace}`, `--json=${outcome}`];
    const command = ownCommand([...words, ...own, ...flags, '--', ...argv], limitMs);
    const { hung, said } = await children.run(command);
    if (children.isOver()) return { ...cell, calls: [] };
    const end: CellEnd | undefined = hung ? { hung: true } : endIn(outcome);
    if (!end || end.failed !== undefined) {
      throw new UserMistake(end?.failed ?? said.replace(/^softiommu: /, '').trimEnd());
    }
    return { ...cell, end, calls: callLog(traceLines(trace)) };
  });
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
