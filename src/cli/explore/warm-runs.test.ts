/** Runs in processes that go on: which process makes which run, and what is said when one is lost. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { Children } from '../children.ts';
import { WarmRuns } from './warm-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'warm-runs-'));
afterAll(() => rmSync(root, { recursive: true }));
/** As softiommu: each order is something to do, and the status is how manieth run of the process it is. */
const server = join(root, 'server.mjs');
writeFileSync(
  server,
  `let runs = 0;
   process.on('message', ({ words: [what], mark }) => {
     if (what === 'die') process.kill(process.pid, 'SIGKILL');
     if (what === 'mistake') {
       process.stderr.write('softiommu: a mistake\\n', () => process.exit(125));
       return;
     }
     if (what === 'hang') return;
     const reply = { status: ++runs, signal: null, isLast: what === 'last' };
     const behind = what === 'warns' ? 'a warning of Node\\n' : '';
     process.stderr.write('said\\n' + mark + JSON.stringify(reply) + '\\n' + behind);
     if (what === 'then-die') setTimeout(() => process.kill(process.pid, 'SIGKILL'), 1);
   });`,
);
const [, main = ''] = process.argv;
const children = new Set<Children>();
beforeEach(() => {
  process.argv[1] = server;
});
afterEach(async () => {
  process.argv[1] = main;
  for (const each of children) await each.end();
  children.clear();
});
function warmRuns(): WarmRuns {
  const own = new Children();
  children.add(own);
  return new WarmRuns(own);
}
const LONG_MS = 60_000;

test('a process makes one run after the other, as many as there are at once', async () => {
  const runs = warmRuns();
  const [one, other] = await Promise.all([runs.run(['a'], LONG_MS), runs.run(['a'], LONG_MS)]);
  expect([one.status, other.status]).toEqual([1, 1]);
  expect(await runs.run(['a'], LONG_MS)).toMatchObject({ status: 2, said: 'said\n', hung: false });
});
test('what a process says behind the reply is of no run', async () => {
  const runs = warmRuns();
  expect(await runs.run(['warns'], LONG_MS)).toMatchObject({ status: 1, said: 'said\n' });
  expect(await runs.run(['a'], LONG_MS)).toMatchObject({ status: 2, said: 'said\n' });
});
test('behind the last run of a process comes another process', async () => {
  const runs = warmRuns();
  const statuses: unknown[] = [];
  for (const what of ['a', 'last', 'a']) statuses.push((await runs.run([what], LONG_MS)).status);
  expect(statuses).toEqual([1, 2, 1]);
});
test('a run whose time is up hangs, and its process makes no other', async () => {
  const runs = warmRuns();
  await runs.run(['a'], LONG_MS);
  expect(await runs.run(['hang'], 1)).toMatchObject({ hung: true });
  expect(await runs.run(['a'], LONG_MS)).toMatchObject({ status: 1, hung: false });
});
test('a process that somebody kills while it waits is no finding: another makes the run', async () => {
  const runs = warmRuns();
  await runs.run(['then-die'], LONG_MS);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(await runs.run(['a'], LONG_MS)).toMatchObject({ status: 1, signal: null });
});
test('one that dies in the run, twice, is a failure of softiommu', async () => {
  const runs = warmRuns();
  await runs.run(['a'], LONG_MS);
  expect(await runs.run(['die'], LONG_MS)).toEqual({
    ...{ status: 125, signal: null, hung: false },
    said: 'softiommu: the process of a run has ended by itself (SIGKILL)\n',
  });
});
test('where all is stopped no other process is started', async () => {
  const runs = warmRuns();
  await runs.run(['a'], LONG_MS);
  const hanging = runs.run(['hang'], LONG_MS);
  const [own] = children;
  own!.stop();
  expect(await hanging).toMatchObject({ signal: 'SIGTERM', hung: false });
});
test('a mistake in the command line is told as it was said', async () => {
  expect(await warmRuns().run(['mistake'], LONG_MS)).toMatchObject({
    ...{ status: 125, said: 'softiommu: a mistake\n' },
  });
});
