/** What a command line says of all that is made of a run besides its trace. */
import { wantsOutcome, type OutcomeFlags } from './outcome-options.ts';

/** The options that say so. */
export interface RunReportFlags extends OutcomeFlags {
  readonly report?: string;
  /** A port; bare: any. */
  readonly inspect?: number | true;
  readonly trace?: string | true;
  readonly output?: string;
}
/** Is anything to be made? */
export function wantsReports(flags: RunReportFlags): boolean {
  return flags.report !== undefined || flags.inspect !== undefined || wantsOutcome(flags);
}
