/** A run as a JUnit file: its checks are the cases. */
import { junitText } from './junit.ts';
import { checksOf, programText, seenText, type RunOutcome } from './run-outcome.ts';

/** The whole file. */
export function runJunit(outcome: RunOutcome): string {
  const cases = checksOf(outcome).map(({ name, skipped, failure, seen }) => {
    const details = seenText(...seen);
    const source = seen.find(({ place }) => place?.file !== undefined)?.place;
    return {
      name,
      ...(skipped !== undefined && { skipped }),
      ...(failure !== undefined && { failure }),
      ...(details !== '' && { details }),
      ...(source?.file !== undefined && { file: source.file, line: source.line! }),
    };
  });
  return junitText(`softiommu run -- ${programText(outcome)}`, cases, outcome.seconds);
}
