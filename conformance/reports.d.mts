/** One test of a suite: passed, unless it has a reason or was skipped. */
export interface Result {
  readonly suite: string;
  readonly name: string;
  readonly reason?: string | undefined;
  readonly skipped?: string | undefined;
  readonly seconds?: number;
  readonly group?: readonly (string | number)[];
}
export function liveTable(
  columns: readonly (readonly [string, number])[],
): (cells: readonly (string | number)[]) => void;
export function printTable(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): void;
export function printCounts(head: readonly string[], results: readonly Result[]): void;
export function reportRows(
  results: readonly Result[],
  files: { readonly ktap?: string; readonly junit?: string },
): number;
export function ktapOf(results: readonly Result[]): string;
export function junitOf(results: readonly Result[]): string;
