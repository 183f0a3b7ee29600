/** What a report knows of a run besides its events. */
import type { ReservedFact } from './reserved.ts';

/** Plain data: it goes into the page as JSON. */
export interface RunFacts {
  /** The program and its arguments, or the name of the trace. */
  readonly title: string;
  /** How it ended: 'exit status 1', 'killed by SIGSEGV'; undefined: the trace does not say. */
  readonly ending?: string;
  /** What did not work, as `--explain` says it; absent where only the trace is known. */
  readonly explanation?: readonly string[];
  /** The machine as `softiommu topology` shows it. */
  readonly topology?: string;
  /** Addresses that no mapping may take; absent where only the trace is known. */
  readonly reserved?: readonly ReservedFact[];
  /** The release of softiommu that wrote the page. */
  readonly version: string;
}
