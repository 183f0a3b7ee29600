/** Parts of an exploration, its folder, and what is told of its findings. */
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { TrialResult } from './trial-source.ts';
import { baselineText, readBaseline } from './baseline.ts';
import { findingsOf, findingsText } from './findings.ts';
import { contentOf } from './identity.ts';
import { ReportFiles } from './report-files.ts';
import { joined, ResultsFolder } from './results-folder.ts';
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
    expect(() => ResultsFolder.read(root)).toThrow(/holds no results: softiommu explore --resume/);
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
  const known = ['crash\tit ends by SIGABRT\ta', 'crash\tit ends by SIGABRT\tb'];
  expect(JSON.parse(baselineText(found))).toMatchObject({ findings: known });
  const file = join(root, 'known.json');
  writeFileSync(file, baselineText(found));
  expect([...readBaseline(file)]).toEqual(known);
});
test('what somebody else has found writes no escapes, and is one word a word', () => {
  const finding = { kind: 'crash', text: 'it\x1b[2J\nends', targets: ['a'] } as const;
  const found = findingsOf([{ expressions: ['x'], finding }], new Set());
  expect(findingsText(found, ['--', 'my prog', '$(id)', '\x1b[2J'])).toEqual([
    String.raw`1. crash: it\x1b[2J\x0aends when a fails`,
    String.raw`   softiommu run --inject-token 1~x -- 'my prog' '$(id)' $'\033[2J'`,
  ]);
});
test('of parts that tried the same, the one that found something counts', () => {
  const [bad, good] = [crash('a', 'x'), { expressions: ['x'] }];
  expect(joined([[bad], [good]])).toEqual([bad]);
  expect(joined([[good], [bad, { expressions: ['y'] }]])).toEqual([bad, { expressions: ['y'] }]);
});

describe('a baseline', () => {
  test.each(['[]', 'null', '{', '{"baseline":"softiommu explore","v":1,"findings":[1]}'])(
    'is not %s',
    (text) => {
      const file = join(root, 'none.json');
      writeFileSync(file, text);
      expect(() => readBaseline(file)).toThrow('is no baseline: --write-baseline makes one');
    },
  );
});

describe('files of an exploration', () => {
  const TEXTS = { writeBaseline: () => baselineText([]), junit: () => 'j', html: () => 'h' };
  const kept = (name: string, text: string): string => {
    writeFileSync(join(root, name), text);
    return join(root, name);
  };
  test('that cannot be written, or are something else, are told before anything runs', () => {
    const source = kept('prog.c', 'int main;');
    expect(() => new ReportFiles({ writeBaseline: source })).toThrow('is no baseline of softiommu');
    expect(() => new ReportFiles({ html: join(root, 'no', 'x') })).toThrow('there is no such file');
    expect(() => new ReportFiles({ junit: root })).toThrow('it is a directory');
    expect(readFileSync(source, 'utf8')).toBe('int main;');
  });
  test('that two options name are refused', () => {
    const file = join(root, 'both');
    expect(() => new ReportFiles({ junit: file, html: file })).toThrow('a file of its own');
  });
  test('keep what is in them until they are written, shorter or longer', () => {
    const long = baselineText(findingsOf([crash('a', 'x')], new Set()));
    const file = kept('baseline.json', long);
    const files = new ReportFiles({ writeBaseline: file });
    expect(readFileSync(file, 'utf8')).toBe(long);
    expect(files.write(TEXTS)).toEqual([]);
    expect(readFileSync(file, 'utf8')).toBe(baselineText([]));
  });
  test('that cannot take it all are a line each', () => {
    expect(new ReportFiles({ html: '/dev/full' }).write(TEXTS)).toEqual([
      '/dev/full cannot be written: no space is left on the device',
    ]);
  });
});

describe('a program is known by', () => {
  const file = join(root, 'script.py');
  test.each([
    ['a file it is given', ['--', '/bin/sh', file], undefined],
    ['the value of an option', ['--', 'prog', `--config=${file}`], undefined],
    ['its machine', ['--machine', file, '--', 'prog'], undefined],
    ['what stands on PATH', ['--', 'script.py'], `/nowhere:${root}`],
  ])('the content of %s', (_what, words, path) => {
    writeFileSync(file, 'one');
    chmodSync(file, 0o755);
    const one = contentOf(words, path);
    expect(contentOf(words, path)).toBe(one);
    writeFileSync(file, 'two');
    expect(contentOf(words, path)).not.toBe(one);
  });
  test('its words, where they name no file', () => {
    const name = 'x'.repeat(5000);
    const words = ['--', 'none', name, '\0', root];
    expect(contentOf(words, '')).toBe(contentOf(words, ''));
    expect(contentOf(words, '')).not.toBe(contentOf([...words, 'more'], ''));
  });
});
