/** Reports for machines, each read by somebody else: a JSON schema, Perl's TAP parser, Python's XML parser. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import Ajv from 'ajv';
import { describe, expect, test } from 'vitest';
import { EIO } from '../../base/errno.ts';
import type { DmaEvent } from '../../base/events.ts';
import { TOLD_BY_FAULT } from '../explain/journal.ts';
import { failReasonOfEvent } from './fail-reason.ts';
import { annotations, jobSummary } from './github.ts';
import { ktapText } from './ktap.ts';
import { runJson } from './run-json.ts';
import { runJunit } from './run-junit.ts';
import { checksOf, levelOf, type RunOutcome } from './run-outcome.ts';
import { sarifText } from './sarif.ts';
import { SEEN_KINDS, type Seen, type SeenKind } from './seen.ts';

const HOSTILE = 'a\u001b[31m"<b>&|`100%,:\n::error::x\u{1F600}\ud800';
const REFUSED: Seen = {
  kind: 'refused-call',
  title: 'ioctl(3</dev/iommu>, IOMMU_IOAS_MAP) = -1 EEXIST (File exists)',
  reasons: ['the IOVA range meets a mapping (iova=0x1000, mapping=0x1000)'],
  count: 2,
  place: { function: 'map_page', file: 'src/ring.c', line: 42, module: '/bin/p' },
  others: [],
};
const FAULT: Seen = { kind: 'fault', title: HOSTILE, reasons: [], count: 1, others: [] };
const FINDING: Seen = {
  kind: 'dma-after-unmap',
  title: 'dma-after-unmap on iova 0x1000',
  reasons: ['WRITE of size 64 by 0000:00:04.0'],
  count: 1,
  place: { function: 'copy', file: '/usr/src/a b.c', line: 7, module: '/bin/p' },
  placeTitle: 'started by a store here:',
  others: [{ title: 'unmapped here:', place: { function: 'stop', module: '/bin/p' } }],
};
const GOOD: RunOutcome = {
  ...{ program: ['./p', '--self-test'], version: '1.2.3', end: { status: 0 }, seconds: 1.5 },
  ...{ seen: [], failsOn: ['finding', 'leak'], sought: undefined },
};
const BAD: RunOutcome = {
  ...{ ...GOOD, end: { signal: 'SIGSEGV' }, seen: [FINDING, FAULT, REFUSED] },
  sought: ['dma-after-unmap', 'leak'],
};
const ALL: readonly (readonly [string, RunOutcome])[] = [
  ['that went well', GOOD],
  ['with everything', BAD],
  ['that softiommu could not do', { ...GOOD, end: { failed: HOSTILE }, program: [HOSTILE] }],
];

describe('checks', () => {
  const resultsOf = (outcome: RunOutcome) =>
    checksOf(outcome).map(({ failure, skipped }) => failure ?? (skipped ? 'skipped' : 'passed'));
  test('every run has the same ones; what was not looked for is skipped', () => {
    expect(resultsOf(GOOD)).toEqual(['passed', 'passed', 'passed', 'skipped', 'skipped']);
    const names = ALL.map(([, outcome]) => checksOf(outcome).map(({ name }) => name));
    expect(new Set(names.map(String)).size).toBe(1);
  });
  test('a finding fails, a fault only where --fail-on says so, and passes never', () => {
    expect(resultsOf(BAD)).toEqual([
      'Killed by SIGSEGV',
      'skipped',
      'passed',
      FINDING.title,
      'passed',
    ]);
    expect(resultsOf({ ...BAD, failsOn: ['fault'] })[1]).toMatch(/^a\\x1b/);
    expect(checksOf(BAD)[1]!.skipped).toBe('it does not hold, and --fail-on does not name fault');
  });
  test('each kind belongs to one check, and what no DMA did is not told of DMA', () => {
    const kinds = Object.keys(SEEN_KINDS) as SeenKind[]; // cast: the keys of the record
    const ofKind = (kind: SeenKind): string[] =>
      checksOf({ ...GOOD, seen: [{ ...FAULT, kind }], sought: ['leak'] })
        .filter(({ seen }) => seen.length > 0)
        .map(({ name }) => name);
    expect(kinds.filter((kind) => ofKind(kind).length !== 1)).toEqual([]);
    const of = (name: string) => kinds.filter((kind) => ofKind(kind)[0] === name);
    expect(of('the program ends well')).toEqual([
      ...['refused-call', 'idle-call', 'waiting-call', 'register-signal', 'pulled-out'],
    ]);
    expect(of('no DMA was stopped')).toEqual(['stopped-dma', 'fault']);
    expect(of('nothing was left behind')).toEqual(['leak']);
  });
  test('DMA that never came to the IOMMU fails a run as a fault does, and once where the fault tells it', () => {
    const dma: DmaEvent = {
      kind: 'dma',
      device: { kind: 'device', id: '0000:00:04.0', born: undefined },
      ...{ write: true, iova: 0n, length: 4, pieces: [], ok: false },
    };
    const refusal = { errno: EIO, rule: 'bus mastering is off', facts: {} };
    expect(failReasonOfEvent({ ...dma, refusal })).toBe('fault');
    expect(failReasonOfEvent({ ...dma, refusal: { ...refusal, rule: TOLD_BY_FAULT } })).toBe(
      undefined,
    );
    expect(failReasonOfEvent({ ...dma, ok: true })).toBe(undefined);
  });
  test('a refused call is a note, and of a program that failed a warning', () => {
    expect(levelOf(REFUSED, { ...GOOD, seen: [REFUSED] })).toBe('note');
    expect(levelOf(REFUSED, BAD)).toBe('warning');
    expect(levelOf(FINDING, BAD)).toBe('error');
  });
});

describe('SARIF', () => {
  const require = createRequire(import.meta.url);
  const schemas = require.resolve('@microsoft/jest-sarif').replace(/index\.js$/, 'schemas/');
  const schema = JSON.parse(readFileSync(`${schemas}sarif-2.1.0-rtm.5.json`, 'utf8')) as object;
  const draft4 = JSON.parse(
    readFileSync(require.resolve('ajv/lib/refs/json-schema-draft-04.json'), 'utf8'),
  ) as object;
  const ajv = new Ajv({ schemaId: 'auto', allErrors: true });
  ajv.addMetaSchema(draft4);
  const isValid = ajv.compile(schema);

  test.each(ALL)('of a run %s is what the public schema allows', (_what, outcome) => {
    isValid(JSON.parse(sarifText(outcome)));
    expect(isValid.errors).toBeNull();
  });
  test('the schema refuses what is none', () => {
    expect(isValid({ ...(JSON.parse(sarifText(BAD)) as object), version: '3' })).toBe(false);
  });
  test('a result is at its line, with the places that belong to it', () => {
    const [run] = (JSON.parse(sarifText(BAD)) as { runs: { results: object[] }[] }).runs;
    expect(run!.results).toMatchObject([
      { ruleId: 'program-failed', level: 'error', message: { text: 'Killed by SIGSEGV' } },
      {
        ruleId: 'dma-after-unmap',
        level: 'error',
        locations: [
          {
            physicalLocation: {
              artifactLocation: { uri: 'file:///usr/src/a%20b.c' },
              region: { startLine: 7 },
            },
          },
        ],
        relatedLocations: [
          {
            physicalLocation: { artifactLocation: { uri: 'file:///bin/p' } },
            message: { text: 'unmapped here:' },
          },
        ],
      },
      { ruleId: 'fault', level: 'warning' },
      {
        ...{ ruleId: 'refused-call', level: 'warning', occurrenceCount: 2 },
        locations: [{ physicalLocation: { artifactLocation: { uri: 'src/ring.c' } } }],
        partialFingerprints: { 'softiommu/v1': 'refused-call map_page, src/ring.c:42' },
      },
    ]);
  });
});

describe('KTAP', () => {
  test('is as the kernel prints it', () => {
    expect(ktapText({ ...BAD, seen: [FINDING, REFUSED] }).split('\n')).toEqual([
      'KTAP version 1',
      '# softiommu run -- ./p --self-test: Killed by SIGSEGV',
      '1..5',
      '# ioctl(3</dev/iommu>, IOMMU_IOAS_MAP) = -1 EEXIST (File exists), 2 times',
      '# at map_page, src/ring.c:42',
      '# the IOVA range meets a mapping (iova=0x1000, mapping=0x1000)',
      'not ok 1 the program ends well',
      'ok 2 no DMA was stopped',
      'ok 3 the kernel did not warn',
      '# dma-after-unmap on iova 0x1000',
      '# WRITE of size 64 by 0000:00:04.0',
      '# started by a store here: copy, /usr/src/a b.c:7',
      '# unmapped here: stop, /bin/p',
      'not ok 4 mappings are used as they should',
      'ok 5 nothing was left behind',
      '# Totals: pass:3 fail:2 xfail:0 xpass:0 skip:0 error:0',
      '',
    ]);
  });
  const PERL = `use TAP::Parser; local $/; my $p = TAP::Parser->new({ tap => <STDIN> });
while (my $r = $p->next) {} print join ' ', scalar $p->passed, scalar $p->failed, scalar $p->skipped, scalar $p->parse_errors;`;
  const hasPerl = spawnSync('perl', ['-MTAP::Parser', '-e', '1']).status === 0;
  test.skipIf(!hasPerl)("Perl's parser of TAP counts the same, without a mistake", () => {
    const counted = ALL.map(
      ([, outcome]) =>
        spawnSync('perl', ['-e', PERL], { input: ktapText(outcome), encoding: 'utf8' }).stdout,
    );
    expect(counted).toEqual(['5 0 2 0', '3 2 1 0', '4 1 2 0']);
  });
});

describe('JUnit', () => {
  const PYTHON = `import sys, json, xml.etree.ElementTree as E
s = E.fromstring(sys.stdin.buffer.read())[0]
print(json.dumps([s.attrib, [[c.attrib['name'], c.get('line'), [(e.tag, e.get('message')) for e in c]] for c in s]]))`;
  const parsed = (text: string): unknown => {
    const { stdout, stderr } = spawnSync('python3', ['-c', PYTHON], {
      input: text,
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    return JSON.parse(stdout);
  };
  const hasPython = spawnSync('python3', ['-c', '1']).status === 0;
  test.skipIf(!hasPython)("Python's parser of XML reads the checks", () => {
    const attributes = { tests: '5', failures: '2', errors: '0', skipped: '1', time: '1.500' };
    expect(parsed(runJunit(BAD))).toMatchObject([
      { name: 'softiommu run -- ./p --self-test', ...attributes },
      [
        ['the program ends well', '42', [['failure', 'Killed by SIGSEGV']]],
        [
          'no DMA was stopped',
          null,
          [
            ['skipped', expect.anything()],
            ['system-out', null],
          ],
        ],
        ['the kernel did not warn', null, []],
        ['mappings are used as they should', '7', [['failure', FINDING.title]]],
        ['nothing was left behind', null, []],
      ],
    ]);
    for (const [, outcome] of ALL) parsed(runJunit(outcome));
  });
});

describe('GitHub', () => {
  test('an annotation is one line, at a line of source; what is said cannot begin another', () => {
    expect(annotations({ ...BAD, end: { status: 3 } })).toEqual([
      '::error title=the program did not end well::./p --self-test: Exit status 3',
      '::error file=/usr/src/a b.c,line=7,title=a device reached for an address after it was unmapped::dma-after-unmap on iova 0x1000%0AWRITE of size 64 by 0000:00:04.0%0Astarted by a store here: copy, /usr/src/a b.c:7%0Aunmapped here: stop, /bin/p',
      '::warning title=the IOMMU stopped DMA::a\\x1b[31m"<b>&|`100%25,:\\x0a::error::x\u{1F600}\\ud800',
      expect.stringMatching(/^::warning file=src\/ring\.c,line=42,title=a call /),
    ]);
    expect(annotations(GOOD)).toEqual([]);
    const strange = { ...REFUSED, place: { file: 'a,b:c%.c', line: 1 } };
    expect(annotations({ ...GOOD, seen: [strange] })[0]).toMatch(
      /^::notice file=a%2Cb%3Ac%25\.c,line=1,/,
    );
  });
  test('of many of one level ten are said, as GitHub shows no more', () => {
    const seen = Array.from({ length: 30 }, () => FAULT);
    expect(annotations({ ...BAD, seen }).map((line) => line.split(' ')[0])).toEqual([
      '::error',
      ...Array<string>(10).fill('::warning'),
    ]);
  });
  test('a summary has a row for each check', () => {
    const text = jobSummary({ ...BAD, failsOn: ['fault'] });
    expect(text).toContain('| the program ends well | ❌ Killed by SIGSEGV |');
    expect(text).toContain('| no DMA was stopped | ❌ a');
  });
  test.each(ALL)('nothing in the summary of a run %s is markup', (_what, outcome) => {
    const text = jobSummary({ ...outcome, failsOn: ['fault'], program: [HOSTILE] });
    const outside = text.replace(/^```+\n[^]*?\n```+$/gm, '');
    expect(outside).not.toMatch(/<b>|\n::error|\u001b/);
    for (const row of outside.split('\n').filter((line) => line.startsWith('|'))) {
      expect(row.replaceAll('\\|', '').split('|')).toHaveLength(4);
    }
  });
  test('a fence in what is said ends no fence of ours', () => {
    const seen = [{ ...FAULT, title: '````\n# heading' }];
    expect(jobSummary({ ...BAD, seen })).toContain('\n`````\n````\\x0a# heading\n`````\n');
  });
  test('a summary is never larger than GitHub takes', () => {
    const seen = Array.from({ length: 300 }, () => ({ ...FAULT, title: '\u{1F600}'.repeat(5000) }));
    const text = jobSummary({ ...BAD, seen: [REFUSED, ...seen] });
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(2 ** 20);
    expect(text).toContain('The rest does not fit here.');
    expect(text.match(/<details>/g)?.length).toBe(text.match(/<\/details>/g)?.length);
  });
});

test('JSON has the verdicts and all that was noticed', () => {
  expect(JSON.parse(runJson(BAD))).toMatchObject({
    ...{ report: 'softiommu', v: 1, program: ['./p', '--self-test'], end: { signal: 'SIGSEGV' } },
    checks: [
      { name: 'the program ends well', result: 'failed', reason: 'Killed by SIGSEGV' },
      { result: 'skipped' },
      { result: 'passed' },
      { result: 'failed' },
      { result: 'passed' },
    ],
    seen: [
      { level: 'error', ...FINDING },
      { level: 'warning', kind: 'fault' },
      { level: 'warning', ...REFUSED },
    ],
  });
});
