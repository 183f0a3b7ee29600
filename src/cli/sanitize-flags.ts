/** The options of `run --sanitize` as they are given. */

/** What the command line says of it. */
export interface SanitizeFlags {
  /** Kinds with commas; bare: the default ones. */
  readonly sanitize?: string | true;
  readonly errorExitcode?: number;
  readonly failOn?: string;
  readonly suppressions?: string;
  readonly findings?: string;
  readonly genSuppressions?: true;
}

/** '1' to '124': the others are what shells, signals and softiommu itself end with. Undefined: it is none. */
export function exitcodeOf(text: string): number | undefined {
  const status = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  return status >= 1 && status <= 124 ? status : undefined;
}
