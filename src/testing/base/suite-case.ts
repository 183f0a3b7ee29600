/** What the suites of softiommu/testing are made of. */

/** One thing that is to hold. */
export interface SuiteCase {
  readonly name: string;
  /** Why it cannot be tried, of what has not the property; then it is to be skipped. */
  readonly skip?: string;
  /** Throws when it does not hold. */
  run(): void;
}
