/**
 * The program's own mount namespace: /sys and /dev rebuilt from the host's with the simulated parts laid over them.
 *
 * NOT IMPLEMENTED yet.
 */
export interface NamespacePlan {
  readonly merged: readonly string[];
}
export function enterNamespace(plan: NamespacePlan): number | string {
  return `namespace mode is not built in (${plan.merged.length})`;
}
