/** What was said of a run, by option. */
export type ConformanceOptions = Readonly<Record<string, string | boolean | undefined>>;
export function readOptions(
  args: readonly string[],
  suites: readonly string[],
): { readonly suite: string; readonly values: ConformanceOptions };
