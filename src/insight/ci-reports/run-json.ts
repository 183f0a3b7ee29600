/** A run as JSON: everything that the other reports are made of, with the verdicts. */
import { checksOf, levelOf, type RunOutcome } from './run-outcome.ts';

/** What every such file begins with. */
export const RUN_JSON_MARK = '{"report":"softiommu","v":1,';

/** The whole file. */
export function runJson(outcome: RunOutcome): string {
  const { seen, ...rest } = outcome;
  const checks = checksOf(outcome).map(({ name, skipped, failure }) => ({
    name,
    result: skipped !== undefined ? 'skipped' : failure === undefined ? 'passed' : 'failed',
    reason: skipped ?? failure,
  }));
  const told = seen.map((one) => ({ level: levelOf(one, outcome), ...one }));
  return `${RUN_JSON_MARK}${JSON.stringify({ ...rest, checks, seen: told }).slice(1)}\n`;
}
