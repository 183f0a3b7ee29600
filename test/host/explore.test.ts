/** What explore finds in programs with a planted mistake, and that it finds nothing in their mended twins. */
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { command, compile } from './environments.ts';
import { MAIN } from './project.ts';

const folder = mkdtempSync(join(tmpdir(), 'explore-'));
afterAll(() => rmSync(folder, { recursive: true }));

const softiommu = (...args: string[]) => command(args, { timeout: 600_000 });
const explore = (...args: string[]) => softiommu('explore', '--jobs', '4', ...args);
const sourceOf = (name: string) => `examples/buggy/explore/${name}.c`;

/** A device with a reset of its own. */
const WITH_RESET = [
  ...['--nodefaults', '--iommu', 'intel'],
  ...['--device', 'edu,pcie=true,bdf=0000:00:04.0'],
];
const PLANTED: [name: string, title: string, flags?: readonly string[]][] = [
  ['failed-unmap', 'crash: it ends by SIGABRT when IOMMU_IOAS_UNMAP fails'],
  ['ignored-eexist', 'crash: it ends by SIGABRT when IOMMU_IOAS_MAP fails'],
  ['leak-on-error', 'left: it leaves behind IOAS when IOMMU_IOAS_MAP fails'],
  ['double-completion', 'crash: it ends by SIGABRT when IOMMU_IOAS_MAP fails'],
  [
    'failed-reset',
    'fault: a device is let loose on memory that is not mapped when VFIO_DEVICE_RESET fails',
    WITH_RESET,
  ],
  ['missed-eintr', 'crash: it ends by SIGABRT when openat fails'],
  ['teardown-order', 'left: it leaves behind IOAS when IOMMU_IOAS_MAP fails'],
  ['short-unmap', 'crash: it ends by SIGABRT when VFIO_IOMMU_UNMAP_DMA fails'],
];

describe.each(PLANTED)('%s', (name, title, flags = []) => {
  test('is found, once', { timeout: 600_000 }, () => {
    const { stdout, status } = explore(...flags, '--', compile(sourceOf(name)));
    const found = stdout.split('\n').filter((line) => /^\d+\. /.test(line));
    expect(found).toEqual([expect.stringContaining(title)]);
    expect(status).toBe(1);
  });
  test('is not found in its twin', { timeout: 600_000 }, () => {
    const { stdout, stderr, status } = explore(...flags, '--', compile(sourceOf(name), '-DFIXED'));
    expect([stdout, stderr]).toEqual([
      expect.stringMatching(/^\d+ calls, .*: nothing found\n$/),
      '',
    ]);
    expect(status).toBe(0);
  });
});

test('parts are joined, a baseline holds what is known, and nothing is tried twice', () => {
  const program = compile(sourceOf('leak-on-error'));
  const part = (n: number) => join(folder, `part${n}`);
  const shards = [1, 2].map((n) =>
    explore('--shard', `${n}/2`, '--resume', part(n), '--faults', 'calls', '--', program),
  );
  const tried = shards.map(({ stdout }) => Number(/(\d+) failures tried/.exec(stdout)?.[1]));
  const [junit, baseline, html] = ['junit.xml', 'known.json', 'page.html'].map((name) =>
    join(folder, name),
  );
  const flags = ['--junit', junit!, '--write-baseline', baseline!, '--html', html!];
  const merged = softiommu('merge', ...flags, part(1), part(2));
  expect(merged.stdout).toContain('when IOMMU_IOAS_MAP fails, 3 times');
  expect(merged.stdout).toContain(`2 explorations, ${tried[0]! + tried[1]!} failures tried`);
  expect(merged.status).toBe(1);
  expect(readFileSync(junit!, 'utf8')).toContain('failures="3"');
  expect(readFileSync(html!, 'utf8')).toContain('when IOMMU_IOAS_MAP fails, 3 times<code>');
  const again = softiommu('merge', '--baseline', baseline!, part(1), part(2));
  expect(again.stdout).toContain('(known)');
  expect(again.status).toBe(0);
  const resumed = explore(
    '--resume',
    part(1),
    '--shard',
    '1/2',
    '--faults',
    'calls',
    '--',
    program,
  );
  expect(resumed.stdout).toContain(`${tried[0]} failures tried`);
}, 600_000);

describe('a mistake is one line', () => {
  test.each([
    [['--', 'true'], 'the program makes no call that could fail, and ends with 0'],
    [['--machine', '/nowhere', '--', 'true'], '/nowhere'],
    [['--shard', '3/2', '--', 'true'], '--shard 3/2: there is no such part'],
    [['--jobs', '0', '--', 'true'], 'from 1 on'],
    [['--queue', 'http://here', '--', 'true'], '--queue: it is redis://'],
    [['--queue', 'redis://here/x', '--', 'true'], '--queue: it is redis://'],
    [['--queue', 'redis://here', '--shard', '1/2', '--', 'true'], 'one is enough'],
  ])('%o', (args, said) => {
    const { stdout, stderr, status } = softiommu('explore', ...args);
    expect([stdout, status]).toEqual(['', 125]);
    expect(stderr).toMatch(/^softiommu: .*\n(\(.*\)\n)?$/);
    expect(stderr).toContain(said);
  });
});

describe('a report that cannot be written', () => {
  const source = join(folder, 'prog.c');
  writeFileSync(source, 'int main;');
  test.each([
    [['--write-baseline', source], 'it is there already and is no baseline of softiommu'],
    [['--junit', '/nowhere/x'], 'there is no such file'],
    [['--html', '/'], 'it is a directory'],
    [['--baseline', '/nowhere/x'], '/nowhere/x cannot be read'],
  ])('%j is told before anything runs', (args, said) => {
    const ran = join(folder, 'ran');
    const { stdout, stderr, status } = explore(...args, '--', 'touch', ran);
    expect([stdout, status, existsSync(ran)]).toEqual(['', 125, false]);
    expect(stderr).toContain(said);
    expect(readFileSync(source, 'utf8')).toBe('int main;');
  });
  test('to its end costs no finding', { timeout: 600_000 }, () => {
    const program = compile(sourceOf('leak-on-error'));
    const { stdout, stderr, status } = explore('--html', '/dev/full', '--', program);
    expect(stdout).toContain('1. left: it leaves behind IOAS when IOMMU_IOAS_MAP fails');
    expect([stderr, status]).toEqual([
      'softiommu: /dev/full cannot be written: no space is left on the device\n',
      125,
    ]);
  });
});

describe('one that is asked to end leaves no folder of its own', () => {
  /** An exploration whose first run goes on. */
  async function begun(name: string, seconds = '20') {
    const temporary = join(folder, name);
    mkdirSync(temporary);
    const argv = [MAIN, 'explore', '--', 'sleep', seconds];
    const child = spawn(process.execPath, argv, {
      stdio: 'ignore',
      env: { ...process.env, TMPDIR: temporary },
    });
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const traces = () => readdirSync(temporary, { recursive: true, encoding: 'utf8' });
    while (!traces().some((file) => file.endsWith('trace.jsonl'))) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    // What its runs have besides is theirs, and goes when they do.
    const own = () =>
      readdirSync(temporary).filter((one) => one.startsWith(`softiommu-${child.pid}-`));
    expect(own()).toHaveLength(1);
    return { child, ended, temporary, own };
  }
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('by %s', async (signal) => {
    const { child, ended, own } = await begun(signal);
    child.kill(signal);
    expect([await ended, own()]).toEqual([130, []]);
  });
  test('and after one that was killed, the next one sweeps', async () => {
    const { child, ended, temporary, own } = await begun('SIGKILL', '2');
    child.kill('SIGKILL');
    await ended;
    expect(own()).toHaveLength(1);
    const next = command(['explore', '--', 'true'], { env: { TMPDIR: temporary } });
    expect([next.status, own()]).toEqual([125, []]);
    // The run that nobody waits for ends with its program.
    while (readdirSync(temporary).length > 0) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
});

/** As if it were not installed. */
const WITHOUT_BULLMQ = `data:text/javascript,${encodeURIComponent(`
  import { register } from 'node:module';
  register('data:text/javascript,' + encodeURIComponent(\`
    export function resolve(name, context, next) {
      if (name !== 'bullmq') return next(name, context);
      throw Object.assign(new Error(name), { code: 'ERR_MODULE_NOT_FOUND' });
    }\`));`)}`;

test('a queue needs BullMQ, and says so', () => {
  const argv = ['--import', WITHOUT_BULLMQ, MAIN, 'explore', '--queue', 'redis://127.0.0.1:1'];
  const { stderr, status } = spawnSync(process.execPath, [...argv, '--', 'true'], {
    encoding: 'utf8',
  });
  expect([stderr, status]).toEqual([
    'softiommu: --queue needs BullMQ, which is not installed: npm install bullmq\n',
    125,
  ]);
});
