/** What is kept of benchmarks, and compared. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { busyProblem, change, keep, lastOf } from '../bench/history.mjs';

const MACHINE = '2 x a processor, node 20';
let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bench-'));
  file = join(folder, 'results.jsonl');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
const row = (ratio: number | null, ours = 10) => ({ id: 'walk', ratio, ours });

test('a run is compared with the newest of its own machine', () => {
  expect(lastOf(file, MACHINE)).toBeUndefined();
  keep(file, { commit: 'a', machine: MACHINE, rows: [row(4)] });
  keep(file, { commit: 'b', machine: MACHINE, rows: [row(2)] });
  keep(file, { commit: 'c', machine: 'another', rows: [row(9)] });
  const last = lastOf(file, MACHINE);
  expect(last).toEqual({ commit: 'b', machine: MACHINE, figures: { walk: 2 } });
  expect(
    [row(2.1), row(1.5), row(2), { ...row(1), id: 'new' }].map((r) => change(r, last)),
  ).toEqual(['+5%', '-25%', '0%', '']);
});
test('what has no C beside it is compared by its nanoseconds', () => {
  keep(file, { commit: 'a', machine: MACHINE, rows: [row(null, 100)] });
  expect(change(row(null, 150), lastOf(file, MACHINE))).toBe('+50%');
});
test.for(['{', '{}', '7'])('a line that is no entry is named: %s', (line) => {
  writeFileSync(file, `\n${line}\n`);
  expect(() => lastOf(file, MACHINE)).toThrow(`results.jsonl:2: not an entry`);
});

test('figures of a busy machine are not kept', () => {
  expect(busyProblem(0.4, 2)).toBeUndefined();
  expect(busyProblem(17.08, 2)).toBe(
    '--keep: this machine is busy (a load of 17.1 on 2 cores, at most 0.5): keep the figures of a quiet one',
  );
});
