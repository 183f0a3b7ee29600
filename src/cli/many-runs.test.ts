/** Runs that a command makes: what one whose time was up is taken for, and what stays of any. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import { DisturbedRuns } from './explore/disturbed-run.ts';
import { runCell } from './matrix/run-cell.ts';
import { traceLines, withManyRuns } from './many-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'many-runs-'));
afterAll(() => rmSync(root, { recursive: true }));
const endless = join(root, 'endless.mjs');
writeFileSync(endless, 'setInterval(() => undefined, 1000);\n');

/** As softiommu, a program that never comes to its run. */
const [, main = ''] = process.argv;
beforeEach(() => {
  process.argv[1] = endless;
  vi.stubEnv('TMPDIR', root);
});
afterEach(() => {
  process.argv[1] = main;
  vi.unstubAllEnvs();
});
const left = () => readdirSync(root).filter((name) => name !== 'endless.mjs');

test('a run whose time is up before its trace is there hangs, and has made no call', async () => {
  const ended = await withManyRuns((many) =>
    new DisturbedRuns({ words: ['--', 'x'], check: undefined }, many).run([], 1),
  );
  expect(ended).toMatchObject({ hung: true, record: { calls: [] } });
  expect(left()).toEqual([]);
});
test('so does one of a matrix, and softiommu is not to blame', async () => {
  const cell = { machine: 'm', backend: 'cdev', kernel: '6.1', flags: [] } as const;
  const ran = await withManyRuns((runs) =>
    runCell(cell, { runs, argv: ['x'], flags: [], limitMs: 1 }),
  );
  expect(ran).toMatchObject({ end: { hung: true }, calls: [] });
});
test('a mistake in one ends the others, and nothing of them stays', async () => {
  const seen: number[] = [];
  const command = withManyRuns(async ({ children, withFolder }) => {
    const endlessRun = withFolder((folder) => {
      seen.push(left().length);
      expect(existsSync(folder)).toBe(true);
      return children.run({
        program: process.execPath,
        args: [endless],
        limitMs: 600_000,
        env: process.env,
      });
    });
    await Promise.all([endlessRun, Promise.reject(new Error('a mistake'))]);
  });
  await expect(command).rejects.toThrow('a mistake');
  expect([seen, left()]).toEqual([[1], []]);
});
test('a trace that is not there has no lines', () => {
  expect(traceLines(join(root, 'none'))).toEqual([]);
});
