/** What `run` writes for machines of real programs, and what it does with files it may not write. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { command, compile, ENVIRONMENTS } from './environments.ts';

const folder = mkdtempSync(join(tmpdir(), 'ci-reports-'));
afterAll(() => rmSync(folder, { recursive: true }));
spawnSync('chmod', ['1777', folder]);

const AFTER_UNMAP = compile('examples/buggy/dma-after-unmap.c', '-O0', '-g');
const MAPS_TWICE = compile('test/host/programs/maps-twice.c', '-O0', '-g');
const DECODE_OFF = compile('test/host/programs/decode-off.c');
const at = (name: string): string => join(folder, name);

interface RunJson {
  readonly end: object;
  readonly checks: readonly { readonly name: string; readonly result: string }[];
  readonly seen: readonly {
    readonly kind: string;
    readonly title: string;
    readonly place?: object;
  }[];
}
const jsonOf = (name: string) => JSON.parse(readFileSync(at(name), 'utf8')) as RunJson;
const resultsOf = ({ checks }: RunJson) => checks.map(({ result }) => result);

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  it('a run writes all its reports; status and output stay the program’s', () => {
    const name = environment.name.replace(/\W+/g, '-');
    const files = ['json', 'junit', 'ktap', 'sarif'].map((form) => at(`${name}.${form}`));
    const flags = ['json', 'junit', 'ktap', 'sarif'].map((form, n) => `--${form}=${files[n]}`);
    const { prefix, mode } = environment;
    const run = ['run', '--mode', mode, '--explain', 'never', ...flags, '--', MAPS_TWICE];
    const { status, stderr } = command(run, { prefix });
    expect([stderr, status]).toEqual(['', 3]);
    const said = jsonOf(`${name}.json`);
    expect(said.end).toEqual({ status: 3 });
    expect(resultsOf(said)).toEqual(['failed', 'passed', 'passed', 'skipped', 'skipped']);
    expect(said.seen).toMatchObject([{ kind: 'refused-call', place: { line: 22 } }]);
    for (const file of files) expect(statSync(file).size).toBeGreaterThan(200);
  });
});

describe('what a run says', () => {
  test('a finding fails its check whatever the status of the program', () => {
    const flags = ['--sanitize=all', `--json=${at('found.json')}`];
    const { status } = command(['run', ...flags, '--', AFTER_UNMAP]);
    expect(status).toBe(0);
    const said = jsonOf('found.json');
    expect(resultsOf(said)).toEqual(['passed', 'skipped', 'passed', 'failed', 'passed']);
    expect(said.seen.map(({ kind }) => kind)).toEqual(['dma-after-unmap', 'fault']);
    // Without the sign it has in a trace: a bundle that is read as other characters would find none to leave out.
    expect(said.seen[1]!.title).toMatch(/^dmar0: 0000:00:04\.0 write 0x100000: fault 0x71, /);
    expect(said.seen[0]!.place).toMatchObject({ function: 'edu_copy', line: expect.any(Number) });
  });
  test('the program ends as it ends, also where --error-exitcode makes the status', () => {
    const flags = ['--sanitize', '--error-exitcode=9', '--fail-on=fault'];
    const reports = [`--json=${at('status.json')}`, `--report=${at('status.html')}`];
    const run = ['run', ...flags, ...reports, '--', AFTER_UNMAP];
    expect(command(run).status).toBe(9);
    expect(jsonOf('status.json').end).toEqual({ status: 0 });
    expect(readFileSync(at('status.html'), 'utf8')).toContain('"ending":"Exit status 0"');
    expect(resultsOf(jsonOf('status.json'))[1]).toBe('failed');
  });
  test('a program that a signal ends, one that is not there, and a run that cannot be', () => {
    const endOf = (name: string, ...words: string[]) => {
      command(['run', `--json=${at(name)}`, ...words]);
      return jsonOf(name).end;
    };
    expect(endOf('signal.json', '--', 'sh', '-c', 'kill -SEGV $$')).toEqual({ signal: 'SIGSEGV' });
    expect(endOf('none.json', '--', '/no/such/program')).toEqual({ status: 127 });
    expect(endOf('failed.json', '--trace=/nowhere/trace', '--', 'true')).toMatchObject({
      failed: expect.stringContaining('/nowhere/trace') as string,
    });
  });
  test('source below the root of a checkout is named from there', () => {
    const root = { GITHUB_WORKSPACE: join(MAPS_TWICE, '../../..') };
    command(['run', `--json=${at('root.json')}`, '--', MAPS_TWICE], { env: root });
    const [seen] = jsonOf('root.json').seen;
    expect(seen!.place).toMatchObject({ file: 'test/host/programs/maps-twice.c', line: 22 });
  });
});

test('- is standard error', () => {
  const { stdout, stderr, status } = command(['run', '--ktap', '-', '--', 'echo', 'hello']);
  expect([stdout, status]).toEqual(['hello\n', 0]);
  expect(stderr).toMatch(/^KTAP version 1\n[^]*\n# Totals: pass:3 fail:0 .*\n$/);
});
test('a SIGBUS of registers is told as such, and is no DMA that was stopped', () => {
  const run = ['run', '--explain=never', `--json=${at('sigbus.json')}`];
  for (const flags of [[], ['--sanitize', '--fail-on', 'fault', '--error-exitcode', '9']]) {
    const { signal, status } = command([...run, ...flags, '--', DECODE_OFF]);
    expect([signal, status]).toEqual(['SIGBUS', null]);
    const said = jsonOf('sigbus.json');
    expect(said.seen.map(({ kind }) => kind)).toEqual(['register-signal']);
    expect(resultsOf(said).slice(0, 2)).toEqual(['failed', 'passed']);
  }
});
describe('--github', () => {
  test('annotations on standard error, and a summary behind those of earlier steps', () => {
    const summary = at('summary.md');
    writeFileSync(summary, 'earlier\n');
    const env = { GITHUB_STEP_SUMMARY: summary };
    const run = ['run', '--explain=never', '--github', '--', MAPS_TWICE];
    const { stdout, stderr, status } = command(run, { env });
    expect([stdout, status]).toEqual(['', 3]);
    expect(stderr.trimEnd().split('\n')).toEqual([
      '',
      expect.stringMatching(/^::error title=the program did not end well::.*Exit status 3$/),
      expect.stringMatching(/^::warning file=.*maps-twice\.c,line=22,title=a call /),
    ]);
    const text = readFileSync(summary, 'utf8');
    expect(text).toMatch(/^earlier\n### ❌ /);
    expect(text).toContain('| the program ends well | ❌ Exit status 3 |');
  });
  test('an annotation begins a line, also where the program has not ended its last one', () => {
    const { stderr } = command(['run', '--github', '--', 'sh', '-c', 'printf half >&2; exit 2']);
    expect(stderr).toMatch(/^half\n::error title=the program did not end well::/);
  });
  test('a summary that cannot be written fails a run that went well', () => {
    const env = { GITHUB_STEP_SUMMARY: '/nowhere/summary' };
    const { stderr, status } = command(['run', '--github', '--', 'true'], { env });
    expect(status).toBe(125);
    expect(stderr).toMatch(
      /^softiommu: a report cannot be written to \/nowhere\/summary \(GITHUB_STEP_SUMMARY\): .*\n$/,
    );
  });
});

describe('a file', () => {
  test('an earlier report stays as it is when another option is wrong', () => {
    const report = `--junit=${at('earlier.xml')}`;
    expect(command(['run', report, '--', 'true']).status).toBe(0);
    const earlier = readFileSync(at('earlier.xml'), 'utf8');
    const { status } = command(['run', report, '--machine=/nowhere', '--', 'true']);
    expect([status, readFileSync(at('earlier.xml'), 'utf8')]).toEqual([125, earlier]);
    expect(earlier).toContain('the program ends well');
  });
  test('all earlier reports stay as they are when one cannot be made, or a port not be had', async () => {
    const forms = ['report', 'json', 'junit', 'ktap', 'sarif'];
    const flags = forms.map((form) => `--${form}=${at(`all.${form}`)}`);
    const texts = () => forms.map((form) => readFileSync(at(`all.${form}`), 'utf8'));
    expect(command(['run', ...flags, '--', 'true']).status).toBe(0);
    const earlier = texts();
    for (const text of earlier) expect(text).not.toBe('');
    const last = `--sarif=${join(folder, 'none', 'x.sarif')}`;
    expect(refused(...flags.slice(0, -1), last)).toContain('--sarif /none/x.sarif: it cannot be');
    expect(texts()).toEqual(earlier);
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo; // cast: it listens at a port
    expect(refused(...flags, `--inspect=${port}`)).toContain(`port ${port} cannot be used`);
    expect(texts()).toEqual(earlier);
    server.close();
  });
  const refused = (...flags: string[]) => {
    const { status, stderr } = command(['run', ...flags, '--', 'touch', at('ran')]);
    expect([status, existsSync(at('ran'))]).toEqual([125, false]);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    return stderr.replaceAll(folder, '');
  };
  test('that cannot be made is told before anything runs', () => {
    expect(refused('--junit=/nowhere/x.xml')).toContain('--junit /nowhere/x.xml: it cannot be');
    expect(refused(`--sarif=${folder}`)).toContain('it is a directory');
  });
  test('that cannot be made leaves no socket of a wire behind', () => {
    const wire = ['--device=igb,wire=lan', '--wire', `lan,listen=${at('lan.sock')}`];
    expect(refused(...wire, '--junit=/nowhere/x.xml')).toContain('--junit /nowhere/x.xml');
    expect(existsSync(at('lan.sock'))).toBe(false);
    expect(command(['run', ...wire, '--', 'test', '-S', at('lan.sock')]).status).toBe(0);
  });
  test('of somebody else stays as it is; one of an earlier run is written anew', () => {
    writeFileSync(at('thesis.xml'), '<?xml version="1.0" encoding="UTF-8"?>\n<thesis/>');
    expect(refused(`--junit=${at('thesis.xml')}`)).toContain(
      'it is there already and is no report of softiommu',
    );
    expect(readFileSync(at('thesis.xml'), 'utf8')).toContain('<thesis/>');
    const flags = ['json', 'junit', 'ktap', 'sarif'].map(
      (form) => `--${form}=${at(`again.${form}`)}`,
    );
    const statuses = [0, 1].map(() => command(['run', ...flags, '--', 'true']).status);
    expect(statuses).toEqual([0, 0]);
  });
  test('is of one report only, by whatever name', () => {
    writeFileSync(at('one'), '');
    symlinkSync('one', at('other'));
    const both = (a: string, b: string) => refused(`${a}=${at('one')}`, `${b}=${at('other')}`);
    expect(both('--junit', '--ktap')).toContain('--junit and --ktap both write to /other');
    expect(both('--report', '--sarif')).toContain('--report and --sarif both write');
    const fresh = refused(`--trace=${at('new')}`, `--json=${at('new')}`);
    expect(fresh).toContain('--trace and --json both write to /new: each needs a file of its own');
    const twice = command(['run', '--junit=a', '--junit=b', '--', 'true']);
    expect([twice.status, twice.stderr]).toEqual([
      125,
      expect.stringContaining("option '--junit <file>' is given twice"),
    ]);
  });
  test('that is full at the end fails a run that went well, and says so', () => {
    const { status, stderr } = command(['run', '--junit=/dev/full', '--', 'true']);
    expect([status, stderr]).toEqual([
      125,
      'softiommu: a report cannot be written to /dev/full: no space is left on the device\n',
    ]);
    expect(command(['run', '--junit=/dev/full', '--', 'sh', '-c', 'exit 4']).status).toBe(4);
  });
});

describe('--json of other commands', () => {
  const json = (...args: string[]): unknown => JSON.parse(command(args).stdout);
  test('doctor: the same diagnoses, and the same status', () => {
    const [{ stdout, status }, text] = [command(['doctor', '--json']), command(['doctor'])];
    const { diagnoses } = JSON.parse(stdout) as { diagnoses: { verdict: string; topic: string }[] };
    expect(status).toBe(text.status);
    const topics = text.stdout.split('\n').flatMap((line) => /^(\w+) +(.{16})/.exec(line) ?? []);
    expect(diagnoses.length).toBeGreaterThan(5);
    for (const { topic } of diagnoses) expect(topics.join()).toContain(topic);
  });
  test('topology: functions, what they are behind, groups and whether they can be taken', () => {
    expect(json('topology', '--json', '--device', 'edu,driver=none')).toMatchObject({
      v: 1,
      iommus: [{ name: 'dmar0' }],
      functions: [
        { address: '0000:00:04.0', type: 'edu', vendor: 0x1234, driver: 'vfio-pci', group: 0 },
        { address: '0000:00:05.0', driver: null, behind: null, iommu: 'dmar0' },
      ],
      groups: [
        { node: '0', obstacle: null, devices: [{ address: '0000:00:04.0', cdev: 'vfio0' }] },
      ],
    });
  });
  test('explore: each finding with its token', () => {
    const program = compile('examples/buggy/explore/leak-on-error.c');
    const { stdout, status } = command(['explore', '--json', '--', program]);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ v: 1, words: ['--', program], left: 0, stopped: false },
      findings: [
        {
          ...{ kind: 'left', targets: ['IOMMU_IOAS_MAP'], known: false },
          token: expect.stringContaining('1~inject=IOMMU_IOAS_MAP') as string,
        },
      ],
    });
  });
});
