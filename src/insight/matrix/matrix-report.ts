/** What a program did on several machines, for people and for programs. */
import { onOneLine } from '../../machine/description/wording.ts';
import { endedWell, endText, type ProgramEnd } from '../ci-reports/run-outcome.ts';
import { columns } from '../views/columns.ts';
import { alignLogs, differs, type CallRow } from './align.ts';
import type { LoggedCall } from './call-log.ts';

/** How a run ended, or that its time was up before. */
export interface CellEnd extends ProgramEnd {
  readonly hung?: true;
}
/** One machine. */
export interface MatrixCell {
  readonly machine: string;
  readonly backend: string;
  readonly kernel: string;
  /** Why there is no such machine. */
  readonly skipped?: string;
  readonly end?: CellEnd;
  readonly calls: readonly LoggedCall[];
}

/** Cells of machines there are. */
function ranCells(cells: readonly MatrixCell[]): MatrixCell[] {
  return cells.filter(({ skipped }) => skipped === undefined);
}
/** Did the program end well on every machine there is, and is there one? */
export function allWell(cells: readonly MatrixCell[]): boolean {
  const ran = ranCells(cells);
  return ran.length > 0 && ran.every(({ end }) => end !== undefined && !end.hung && endedWell(end));
}

/** Everything, as plain data: rows have a result for each cell that ran, in their order. */
export function matrixData(program: readonly string[], cells: readonly MatrixCell[]): object {
  const rows = alignLogs(ranCells(cells).map(({ calls }) => calls));
  return {
    v: 1,
    program,
    cells: cells.map(({ machine, backend, kernel, skipped, end }) => {
      return { machine, backend, kernel, skipped, end };
    }),
    rows: rows.map((row) => ({
      call: row.call,
      differs: differs(row),
      results: row.results.map((result) => result ?? null),
    })),
  };
}

/** Two tables: how each run ended, and the calls that differed, a column a run. */
export function matrixText(cells: readonly MatrixCell[]): string {
  const ran = ranCells(cells);
  const rows = alignLogs(ran.map(({ calls }) => calls));
  const different = rows.filter(differs);
  const numbers = ran.map((_cell, n) => String(n + 1));
  const ends = tableOf([
    ['', 'machine', 'backend', 'kernel', 'the program'],
    ...cells.map((cell) => {
      const n = ran.indexOf(cell);
      const { machine, backend, kernel } = cell;
      return [n < 0 ? '-' : numbers[n]!, machine, backend, kernel, endOf(cell)];
    }),
  ]);
  const summary = `${rows.length} calls, ${different.length} of them not the same everywhere`;
  if (different.length === 0) return `${ends}\n\n${summary}\n`;
  const table = tableOf([['call', ...numbers], ...different.map(cellsOf)]);
  return `${ends}\n\n${table}\n\n${summary}\n`;
}
function endOf({ skipped, end }: MatrixCell): string {
  if (skipped !== undefined) return `not run: ${skipped}`;
  if (end === undefined) return 'was stopped';
  return end.hung ? 'did not end in time' : endText(end);
}
function cellsOf({ call, results }: CallRow): string[] {
  return [call, ...results.map((result) => result ?? '-')];
}
/** What a trace or a file names moves no cursor. */
function tableOf(rows: readonly (readonly string[])[]): string {
  return columns(rows.map((row) => row.map(onOneLine)));
}
