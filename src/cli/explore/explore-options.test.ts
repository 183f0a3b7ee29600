/** Parts of an exploration, its folder, and what is told of its findings. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { TrialResult } from './trial-source.ts';
import { findingsOf, findingsText, baselineText } from './findings.ts';
import { ResultsFolder } from './results-folder.ts';
import { shardOf } from './shard.ts';

const root = mkdtempSync(join(tmpdir(), 'explore-test-'));
afterAll(() => rmSync(root, { recursive: true }));

describe('a shard', () => {
  test.each([
    [undefined, {}, { index: 0, total: 1 }],
    ['2/5', {}, { index: 1, total: 5 }],
    ['2/5', { CI_NODE_INDEX: '1', CI_NODE_TOTAL: '9' }, { index: 1, total: 5 }],
    [undefined, { CI_NODE_INDEX: '3', CI_NODE_TOTAL: '3' }, { index: 2, total: 3 }],
    ['4', { JOB_COMPLETION_INDEX: '0' }, { index: 0, total: 4 }],
  ])('%s with %o', (text, env, shard) => {
    expect(shardOf(text, env)).toEqual(shard);
  });
  test.each([
    ['0/5', {}],
    ['6/5', {}],
    ['x', {}],
    ['4', {}],
    ['4', { JOB_COMPLETION_INDEX: '4' }],
    [undefined, { CI_NODE_INDEX: '0', CI_NODE_TOTAL: '2' }],
  ])('%s with %o is refused', (text, env) => {
    expect(() => shardOf(text, env)).toThrow(/--shard|CI_NODE/);
  });
});

const crash = (target: string, ...expressions: string[]): TrialResult => ({
  expressions,
  finding: { kind: 'crash', text: 'it ends by SIGABRT', targets: [target] },
});

describe('a folder', () => {
  test('is gone on with, also behind a line that was cut', () => {
    const name = join(root, 'one');
    const folder = ResultsFolder.open(name, ['prog']);
    folder.add({ expressions: ['a'] });
    appendFileSync(join(name, 'results.jsonl'), '{"expressions":["b"');
    const again = ResultsFolder.open(name, ['prog']);
    expect(again.known).toEqual([{ expressions: ['a'] }]);
    again.add(crash('x', 'c'));
    expect(ResultsFolder.read(name).known).toEqual([{ expressions: ['a'] }, crash('x', 'c')]);
    expect(readFileSync(join(name, 'results.jsonl'), 'utf8').split('\n')).toHaveLength(5);
  });
  test('of another program, or of something else, is refused', () => {
    const name = join(root, 'two');
    ResultsFolder.open(name, ['prog', 'x']);
    expect(() => ResultsFolder.open(name, ['prog'])).toThrow(
      'is of another program or machine: prog x',
    );
    writeFileSync(join(name, 'results.jsonl'), 'mine\n');
    expect(() => ResultsFolder.open(name, ['prog'])).toThrow('is not of softiommu explore');
    expect(() => ResultsFolder.read(join(root, 'none'))).toThrow(/none: /);
  });
});

test('equal findings are told once, with the shortest token', () => {
  const results = [crash('a', 'x=1', 'y'), crash('a', 'x=10'), crash('a', 'x=1'), crash('b', 'z')];
  const found = findingsOf(results, new Set(['crash\tit ends by SIGABRT\tb']));
  expect(findingsText(found, ['--', 'prog', '-v'])).toEqual([
    '1. crash: it ends by SIGABRT when a fails, 3 times',
    '   softiommu run --inject-token 1~x=1 -- prog -v',
    '2. crash: it ends by SIGABRT when b fails (known)',
    '   softiommu run --inject-token 1~z -- prog -v',
  ]);
  expect(JSON.parse(baselineText(found))).toEqual([
    'crash\tit ends by SIGABRT\ta',
    'crash\tit ends by SIGABRT\tb',
  ]);
});
