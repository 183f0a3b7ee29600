/** What the suites of foreign programs print and write (conformance/reports.mjs, conformance/tap.mjs). */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  junitOf,
  ktapOf,
  printCounts,
  printTable,
  reportRows,
  type Result,
} from '../conformance/reports.mjs';
import { runTap, selecting, tapResults } from '../conformance/tap.mjs';

const PASSED: Result = { suite: 'a', name: 'one # of them', seconds: 1.5, group: ['x', 1] };
const FAILED: Result = {
  suite: 'a',
  name: 'two',
  reason: 'it says\n  "<no>" & ends',
  group: ['x', 1],
};
const SKIPPED: Result = { suite: 'b', name: 'three', skipped: 'no device', group: ['y', 2] };
const ALL = [PASSED, FAILED, SKIPPED];

const lines: string[] = [];
vi.spyOn(console, 'log').mockImplementation((text: unknown) => void lines.push(String(text)));
afterEach(() => void lines.splice(0));

describe('results for machines', () => {
  it('are KTAP: a plan, a line each, the reason before it', () => {
    expect(ktapOf(ALL).split('\n')).toEqual([
      'KTAP version 1',
      '1..3',
      'ok 1 one \\# of them',
      '# it says "<no>" & ends',
      'not ok 2 two',
      'ok 3 three # SKIP no device',
      '',
    ]);
  });

  it('are JUnit: a suite for each name of one, with what it counts', () => {
    expect(junitOf(ALL).split('\n').slice(1)).toEqual([
      '<testsuites>',
      '  <testsuite name="a" tests="2" failures="1" skipped="0">',
      '    <testcase classname="a" name="one # of them" time="1.500"/>',
      '    <testcase classname="a" name="two" time="0.000">',
      '      <failure message="it says &quot;&lt;no&gt;&quot; &amp; ends"/>',
      '    </testcase>',
      '  </testsuite>',
      '  <testsuite name="b" tests="1" failures="0" skipped="1">',
      '    <testcase classname="b" name="three" time="0.000">',
      '      <skipped message="no device"/>',
      '    </testcase>',
      '  </testsuite>',
      '</testsuites>',
      '',
    ]);
  });

  it('have no byte that XML cannot have, and all others', () => {
    const reason = 'a\x00\x1b[1mb\uFFFF\uD800 ü 🙂';
    expect(junitOf([{ suite: 'a', name: 'n', reason }])).toContain('message="a[1mb ü 🙂"');
  });
});

describe('results for people', () => {
  it('are counted by group', () => {
    printCounts(['type', 'n'], ALL);
    expect(lines).toEqual([
      '| type | n | passed | failed | skipped |',
      '| ---- | - | ------ | ------ | ------- |',
      '| x    | 1 | 1      | 1      | 0       |',
      '| y    | 2 | 0      | 0      | 1       |',
    ]);
  });

  it('are a table as wide as its widest cell', () => {
    printTable(['a'], [['long'], ['b']]);
    expect(lines).toEqual(['| a    |', '| ---- |', '| long |', '| b    |']);
  });

  it('end with the total, and the reasons of what failed', () => {
    expect(reportRows(ALL, {})).toBe(1);
    expect(lines).toEqual(['\n1 of 2 passed, 1 skipped', '  two\n    it says\n  "<no>" & ends']);
  });

  it.each([
    ['all passed', [PASSED], 0],
    ['nothing but a skip', [SKIPPED], 0],
    ['one failed', ALL, 1],
    ['nothing was there to run', [], 1],
  ])('%s: the status for the shell', (_, results, status) => {
    expect(reportRows(results, {})).toBe(status);
  });

  it('are written to the files asked for', () => {
    const home = mkdtempSync(join(tmpdir(), 'reports-'));
    try {
      const [ktap, junit] = [join(home, 'ktap'), join(home, 'junit.xml')];
      reportRows(ALL, { ktap, junit });
      expect(readFileSync(ktap, 'utf8')).toBe(ktapOf(ALL));
      expect(readFileSync(junit, 'utf8')).toBe(junitOf(ALL));
    } finally {
      rmSync(home, { recursive: true });
    }
  });
});

describe('a program that prints TAP', () => {
  const where = { suite: 's', prefix: 'p: ', group: ['g'] };
  const said = async (text: string, exit = 0, beside = '# slow: terminated'): Promise<Result[]> => {
    const program = `printf '%s' "$1"; printf '%s\\n' "$3" 'last words' >&2; exit $2`;
    const run = await runTap(['sh', '-c', program, 'sh', text, String(exit), beside]);
    return tapResults(run, {
      where,
      explain: (name) => (name === 'a.b' ? 'EINVAL: r' : undefined),
    });
  };
  const row = { suite: 's', group: ['g'] };

  it('has a result for each of its tests', async () => {
    const text =
      '1..3\n#  RUN  a.b\n# a.c:12:b: Expected 1\nnot ok 1 a.b\nok 2 a.c\nok 3 d # SKIP no\n';
    expect(await said(text, 1)).toEqual([
      { ...row, name: 'p: a.b', reason: 'a.c:12:b: Expected 1; softiommu: EINVAL: r' },
      { ...row, name: 'p: a.c' },
      { ...row, name: 'p: d', skipped: 'no' },
    ]);
  });

  it('says of a test that was ended what the harness says beside it', async () => {
    expect(await said('1..1\nnot ok 1 f.slow\n', 1)).toEqual([
      { ...row, name: 'p: f.slow', reason: 'terminated' },
    ]);
  });

  it('says of an assertion what it expected, of this test', async () => {
    const beside = [
      '# /a/b.c:3:other:Expected 7',
      '# /a/b.c:9:slow:Expected 0 == rc (-110)',
      '# slow: Test terminated by assertion',
      '# /a/b.c:4:later:Expected 8',
    ];
    expect(await said('1..1\nnot ok 1 f.slow\n', 1, beside.join('\n'))).toEqual([
      { ...row, name: 'p: f.slow', reason: 'b.c:9:slow:Expected 0 == rc (-110)' },
    ]);
    expect(await said('1..1\nnot ok 1 f.v.other\n', 1, beside.join('\n'))).toMatchObject([
      { reason: 'b.c:3:other:Expected 7' },
    ]);
  });

  it('is told of one of its tests alone by its whole name, for the first of -f, -v and -t that fits decides', () => {
    expect(selecting('driver.iommufd.storm')).toEqual(['-r', 'driver.iommufd.storm']);
  });

  it('fails for the tests it planned and did not run', async () => {
    const results = await said('1..2\nok 1 a\n', 3);
    expect(results.at(-1)).toEqual({
      ...row,
      name: 'p: all of its tests',
      reason: '1 of 2 run, exit 3: last words',
    });
  });

  it('is skipped as a whole where it says so by its status, and else planned something', async () => {
    expect(await said('', 4)).toEqual([
      { ...row, name: 'p: all of its tests', skipped: '# slow: terminated' },
    ]);
    expect(await said('', 0)).toMatchObject([{ reason: '0 of unknown run, exit 0: last words' }]);
  });
});
