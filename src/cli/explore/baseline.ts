/** A file of findings that are known: written by one exploration, and held against later ones. */
import { readFileSync } from 'node:fs';
import { printable } from '../../machine/description/wording.ts';
import { systemReason } from '../../host/sys/system-reason.ts';
import { keyOf } from '../../insight/explore/judge.ts';
import { UserMistake } from '../user-mistake.ts';
import type { ToldFinding } from './findings.ts';

/** What every such file begins with: by it a later exploration knows that the file may be overwritten. */
export const BASELINE_MARK = '{\n  "baseline": "softiommu explore"';
interface Baseline {
  readonly baseline: 'softiommu explore';
  readonly v: 1;
  /** Their keys, sorted. */
  readonly findings: readonly string[];
}

/** The keys of all findings. */
export function baselineText(found: readonly ToldFinding[]): string {
  const findings = found.map(({ finding }) => keyOf(finding)).sort();
  const baseline: Baseline = { baseline: 'softiommu explore', v: 1, findings };
  return `${JSON.stringify(baseline, null, 2)}\n`;
}
/** The keys in a file; none without one. Throws UserMistake. */
export function readBaseline(file: string | undefined): ReadonlySet<string> {
  if (file === undefined) return new Set();
  const keys = keysIn(textOf(file));
  if (keys) return new Set(keys);
  throw new UserMistake(`${printable(file)} is no baseline: --write-baseline makes one`);
}
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UserMistake(`${printable(file)} cannot be read: ${systemReason(error)}`);
  }
}
function keysIn(text: string): readonly string[] | undefined {
  try {
    // cast: it is looked at next
    const { baseline, v, findings } = (JSON.parse(text) ?? {}) as Partial<Baseline>;
    const isOurs = baseline === 'softiommu explore' && v === 1;
    const areKeys = Array.isArray(findings) && findings.every((key) => typeof key === 'string');
    return isOurs && areKeys ? findings : undefined;
  } catch {
    return undefined;
  }
}
