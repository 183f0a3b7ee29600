/** The totals of a run of vitest, from its JSON report, after the tests that passed only at their second try. */
import { readFileSync } from 'node:fs';

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));

for (const file of report.testResults) {
  for (const { fullName, status, failureMessages } of file.assertionResults) {
    if (status !== 'passed' || failureMessages.length === 0) continue;
    const [reason] = failureMessages[0].split('\n');
    console.log(`passed at the second try: ${file.name}: ${fullName}: ${reason}`);
  }
}
const skipped = report.numPendingTests + report.numTodoTests;
console.log(
  `\n${report.numPassedTests} passed, ${report.numFailedTests} failed, ${skipped} skipped`,
);
