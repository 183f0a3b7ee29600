import type { Result } from './reports.mjs';

/** What a program said in TAP, and how it ended. */
export type TapRun = { name: string; outcome: 'passed' | 'failed' | 'skipped'; note: string }[] & {
  planned: number;
  exit: number | string;
  stderr: string;
};
export function runTap(command: readonly string[], how?: object): Promise<TapRun>;
export function selecting(name: string): string[];
export function tapResults(
  results: TapRun,
  how: {
    readonly where: Omit<Result, 'name' | 'reason' | 'skipped'> & { readonly prefix?: string };
    readonly explain: (name: string) => string | undefined;
  },
): Result[];
