// `npm run conformance -- host`: our own tests of real programs, test/host; of use with --sanitize, which looks for false
// findings in them. `--test WORD` chooses files.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { reportRows } from './reports.mjs';

const HOME = 'test/host';
/** They look at the sanitizer itself, and at what a run says that has findings. */
const OWN = new Set([
  'sanitize.test.ts',
  'explore.test.ts',
  'ci-reports.test.ts',
  'inspect.test.ts',
]);

export async function host(options) {
  const files = readdirSync(HOME).filter(
    (name) => name.endsWith('.test.ts') && !OWN.has(name) && name.includes(options.test ?? ''),
  );
  const results = files.map((name) => {
    const args = ['vitest', 'run', '--project', 'host', `${HOME}/${name}`];
    const { status, stdout } = spawnSync('npx', args, { encoding: 'utf8' });
    const failed = /^.*FAIL.*$/m
      .exec(stdout)?.[0]
      .replaceAll(/\u001b\[\d+m/g, '')
      .trim();
    console.log(`${status === 0 ? 'passed' : 'FAILED'} ${name}`);
    return { suite: 'host', name, ...(status !== 0 && { reason: failed ?? `exit ${status}` }) };
  });
  return reportRows(results, options);
}
