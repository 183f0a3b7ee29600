/** Several logs of calls beside each other: equal calls stand in one row, in the order every log has them. */
import type { LoggedCall } from './call-log.ts';

/** A call, and what it answered in each log; undefined: it is not there. */
export interface CallRow {
  readonly call: string;
  readonly results: readonly (string | undefined)[];
}

/**
 * The rows. Each log is merged into those before it, along a longest common subsequence of the calls; where logs have nothing in
 * common any more for this many calls, they stand one behind the other.
 */
export function alignLogs(logs: readonly (readonly LoggedCall[])[]): CallRow[] {
  let rows: CallRow[] = [];
  for (const [n, log] of logs.entries()) rows = merged(rows, log, n);
  return rows.map(({ call, results }) => ({
    call,
    results: Array.from(logs, (_log, n) => results[n]),
  }));
}
/** Is the answer another one in one of the logs, or the call not there? */
export function differs({ results }: CallRow): boolean {
  return results.some((result) => result !== results[0]);
}
/** More differences than these are not searched through: it takes their square. */
export const MOST_DIFFERENCES = 1000;

function merged(rows: readonly CallRow[], log: readonly LoggedCall[], column: number): CallRow[] {
  const out: CallRow[] = [];
  let [row, entry] = [0, 0];
  const takeRows = (end: number): void => void out.push(...rows.slice(row, end));
  const takeLog = (end: number): void => {
    for (const one of log.slice(entry, end))
      out.push(withResult({ call: one.call, results: [] }, column, one));
  };
  for (const [sameRow, sameEntry] of matches(
    rows.map(({ call }) => call),
    log.map(({ call }) => call),
  )) {
    takeRows(sameRow);
    takeLog(sameEntry);
    out.push(withResult(rows[sameRow]!, column, log[sameEntry]!));
    [row, entry] = [sameRow + 1, sameEntry + 1];
  }
  takeRows(rows.length);
  takeLog(log.length);
  return out;
}
function withResult(
  { call, results }: CallRow,
  column: number,
  { result, times }: LoggedCall,
): CallRow {
  const all = [...results];
  all[column] = times > 1 ? `${result} x ${times}` : result;
  return { call, results: all };
}

type Match = readonly [a: number, b: number];

/** Pairs of equal places, ascending: Myers' greedy algorithm, behind what both begin with. */
function matches(a: readonly string[], b: readonly string[]): Match[] {
  let begin = 0;
  while (begin < a.length && begin < b.length && a[begin] === b[begin]) begin++;
  const head = Array.from({ length: begin }, (_x, n): Match => [n, n]);
  const rest = greedy(a.slice(begin), b.slice(begin));
  return [...head, ...rest.map(([x, y]): Match => [x + begin, y + begin])];
}
function greedy(a: readonly string[], b: readonly string[]): Match[] {
  const most = Math.min(a.length + b.length, MOST_DIFFERENCES);
  /** The furthest place in `a` on each diagonal, by the number of differences. */
  const steps: Map<number, number>[] = [];
  let furthest = new Map([[1, 0]]);
  for (let differences = 0; differences <= most; differences++) {
    steps.push(furthest);
    furthest = new Map(furthest);
    for (let k = -differences; k <= differences; k += 2) {
      let x = startOn(k, differences, furthest).start;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      furthest.set(k, x);
      if (x >= a.length && x - k >= b.length) return walkBack(steps, a.length, b.length);
    }
  }
  return [];
}
/** Where the diagonal begins, and whether it was come to from the one above, by an entry that only the second has. */
function startOn(
  k: number,
  differences: number,
  furthest: ReadonlyMap<number, number>,
): { readonly start: number; readonly fromAbove: boolean } {
  const [below, above] = [furthest.get(k - 1) ?? -1, furthest.get(k + 1) ?? -1];
  const fromAbove = k === -differences || (k !== differences && below < above);
  return { start: fromAbove ? above : below + 1, fromAbove };
}
function walkBack(
  steps: readonly ReadonlyMap<number, number>[],
  fromX: number,
  fromY: number,
): Match[] {
  const found: Match[] = [];
  let [x, y] = [fromX, fromY];
  for (let differences = steps.length - 1; differences >= 0; differences--) {
    const k = x - y;
    const { start, fromAbove } = startOn(k, differences, steps[differences]!);
    while (x > start && y > start - k) found.push([--x, --y]);
    if (differences === 0) break;
    [x, y] = fromAbove ? [start, start - (k + 1)] : [start - 1, start - 1 - (k - 1)];
  }
  return found.reverse();
}
