// Writes down which refusal was met in which test, one file per test file, for scripts/list-refusals.mjs.
import { mkdirSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { afterAll, beforeEach, expect } from 'vitest';
import { observeRefusals } from '../src/base/refuse.ts';

const DIR = '.cache/refusals';
const met = new Map<string, string>();
let current = '';

observeRefusals((refusal) => {
  const key = `${refusal.errno.name}\t${refusal.rule}`;
  if (!met.has(key)) met.set(key, current);
});
beforeEach(() => {
  current = expect.getState().currentTestName ?? '';
});
afterAll(() => {
  const file = relative(process.cwd(), expect.getState().testPath ?? 'unknown');
  mkdirSync(DIR, { recursive: true });
  writeFileSync(
    `${DIR}/${file.replaceAll('/', '__')}.json`,
    JSON.stringify({ file, met: [...met] }),
  );
});
