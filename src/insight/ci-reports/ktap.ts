/** A run in KTAP 1, as the kernel's own selftests print it. */
import {
  checksOf,
  endText,
  programText,
  seenLines,
  type RunCheck,
  type RunOutcome,
} from './run-outcome.ts';

/** What every such file begins with. */
export const KTAP_MARK = 'KTAP version 1\n# softiommu run';

/** The whole file. */
export function ktapText(outcome: RunOutcome): string {
  const checks = checksOf(outcome);
  const count = (has: (check: RunCheck) => boolean): number => checks.filter(has).length;
  const fail = count(({ failure }) => failure !== undefined);
  const skip = count(({ skipped }) => skipped !== undefined);
  const pass = checks.length - fail - skip;
  return [
    `${KTAP_MARK} -- ${programText(outcome)}: ${endText(outcome.end)}`,
    `1..${checks.length}`,
    ...checks.flatMap(checkLines),
    `# Totals: pass:${pass} fail:${fail} xfail:0 xpass:0 skip:${skip} error:0`,
    '',
  ].join('\n');
}
function checkLines({ name, skipped, failure, seen }: RunCheck, n: number): string[] {
  const verdict = failure === undefined ? 'ok' : 'not ok';
  const directive = skipped === undefined ? '' : ` # SKIP ${skipped}`;
  return [
    // Diagnostics stand before the result that they are of.
    ...seen.flatMap((one) => seenLines(one).map((line) => `# ${line}`)),
    `${verdict} ${n + 1} ${name}${directive}`,
  ];
}
