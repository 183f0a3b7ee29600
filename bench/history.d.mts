/** A benchmark as run.mjs has measured it. */
export interface MeasuredRow {
  readonly id: string;
  /** Null: no C beside it. */
  readonly ratio: number | null;
  /** Nanoseconds. */
  readonly ours: number;
}
/** A run that was kept. */
export interface KeptRun {
  readonly commit: string;
  readonly machine: string;
  /** By id: the ratio, or nanoseconds where there is none. */
  readonly figures: Readonly<Record<string, number>>;
}
export function thisMachine(): string;
export function busyProblem(load: number, cores: number): string | undefined;
export function lastOf(file: string, machine: string): KeptRun | undefined;
export function change(row: MeasuredRow, entry: KeptRun | undefined): string;
export function keep(
  file: string,
  run: { readonly commit: string; readonly machine: string; readonly rows: readonly MeasuredRow[] },
): void;
