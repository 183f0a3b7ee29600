/** docs/abi.md is what the tables say today. */
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('docs/abi.md is fresh', { timeout: 120_000 }, () => {
  const run = () =>
    execFileSync(process.execPath, ['--import', 'tsx', 'scripts/list-abi.ts', '--check'], {
      stdio: 'pipe',
    });
  expect(run).not.toThrow();
});
