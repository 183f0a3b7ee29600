/** One program that can use every way to a device, on machines that have one each. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { command, compile, softiommu as run } from './environments.ts';

const folder = mkdtempSync(join(tmpdir(), 'matrix-'));
afterAll(() => rmSync(folder, { recursive: true }));
const PROGRAM = compile('examples/any-backend.c');
const BACKENDS = ['type1', 'type1v2', 'compat', 'cdev', 'noiommu-group', 'noiommu-cdev'];

const matrix = (...args: string[]) => command(['matrix', ...args], { timeout: 300_000 });
interface MatrixJson {
  readonly cells: readonly { backend: string; kernel: string; skipped?: string; end?: object }[];
  readonly rows: readonly { call: string; differs: boolean; results: (string | null)[] }[];
}
const jsonOf = (text: string) => JSON.parse(text) as MatrixJson;

describe('a program that falls back', () => {
  test.each([
    ['type1', 'mapped by type1\n'],
    ['type1v2', 'mapped by type1v2\n'],
    ['compat', 'mapped by type1v2\n'],
    ['cdev', 'mapped by cdev\n'],
    ['noiommu-group', 'mapped by group without an IOMMU\n'],
    ['noiommu-cdev', 'mapped by cdev\n'],
  ])('under run --backend %s says: %s', (backend, said) => {
    const { stdout, stderr, status } = run([PROGRAM], { flags: ['--backend', backend] });
    expect([stdout, stderr, status]).toEqual([said, '', 0]);
  });
  test('is shown call by call, with what each kernel answered', () => {
    const { stdout, stderr, status } = matrix('--json', '--', PROGRAM);
    expect([stderr, status]).toEqual(['', 0]);
    const { cells, rows } = jsonOf(stdout);
    expect(cells.map(({ backend }) => backend)).toEqual(BACKENDS);
    expect(cells.map(({ end }) => end)).toEqual(BACKENDS.map(() => ({ status: 0 })));
    const results = Object.fromEntries(rows.map(({ call, results: all }) => [call, all]));
    expect(results).toMatchObject({
      'openat /dev/vfio/vfio': ['ok', 'ok', 'ok', null, expect.anything(), null],
      'VFIO_CHECK_EXTENSION VFIO_TYPE1v2_IOMMU': ['0', '1', '1', null, null, null],
      'VFIO_SET_IOMMU VFIO_TYPE1_IOMMU': ['0', null, null, null, null, null],
      VFIO_IOMMU_MAP_DMA: ['0', '0', '0', null, null, null],
      'openat /dev/vfio/noiommu-0': [null, null, null, null, 'ok', null],
      IOMMU_IOAS_MAP: [null, null, null, '0', null, '0'],
    });
  });
  test('on a kernel that lacks a way, that way is not run, and the reason is said', () => {
    const args = ['--json', '--backends', 'type1v2,cdev', '--kernel', '6.1,6.12', '--', PROGRAM];
    const { stdout, status } = matrix(...args);
    expect(status).toBe(0);
    expect(
      jsonOf(stdout).cells.map(({ backend, kernel, skipped }) => [backend, kernel, skipped]),
    ).toEqual([
      ['type1v2', '6.1', undefined],
      ['type1v2', '6.12', undefined],
      ['cdev', '6.1', 'Linux 6.1 has no cdev: it is there since 6.6'],
      ['cdev', '6.12', undefined],
    ]);
  });
});

test('a version that is not known itself is told of once, however many run as it', () => {
  const args = ['--backends', 'type1v2,cdev', '--kernel', '6.9,6.12', '--', 'true'];
  const { stderr, status } = matrix(...args);
  expect([status, stderr]).toEqual([0, expect.stringMatching(/^softiommu: kernel 6\.9 .*\n$/)]);
});

describe('a program that knows one way', () => {
  const PYTHON = `import os; os.open('/dev/iommu', os.O_RDWR)`;
  test('fails where there is another, and the matrix with it', () => {
    const { stdout, status } = matrix('--backends', 'cdev,type1v2', '--', 'python3', '-c', PYTHON);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^1 {2}preset:default {2}cdev .* Exit status 0$/m);
    expect(stdout).toMatch(/^2 {2}preset:default {2}type1v2 .* Exit status 1$/m);
    expect(stdout).toMatch(/^openat \/dev\/iommu +ok +ENODEV$/m);
  });
  test('that does not end is ended, and counts as not well', () => {
    const { stdout, status } = matrix('--backends=cdev', '--time-limit=2', '--', 'sleep', '60');
    expect([status, stdout.split('\n')[1]]).toEqual([
      1,
      expect.stringMatching(/ did not end in time$/),
    ]);
  });
});

describe('a mistake', () => {
  const machine = join(folder, 'two.yaml');
  writeFileSync(
    machine,
    'devices:\n  - { type: edu, at: 0000:00:04.0 }\n  - { type: nothing, at: 0000:00:05.0 }\n',
  );
  test.each([
    [['--backends', 'type2', '--', 'true'], 'there are type1, type1v2, compat'],
    [['--backends', 'cdev,cdev', '--', 'true'], 'one of them is there twice'],
    [['--kernel', 'new', '--', 'true'], 'it is a version of Linux'],
    [['--machine', '/nowhere.yaml', '--', 'true'], '/nowhere.yaml cannot be read'],
    [['--machine', machine, '--', 'true'], `${machine}:3: devices[1]`],
    [['--time-limit', '0', '--', 'true'], 'whole number from 1'],
    [[], "missing required argument 'program'"],
  ])('%j is one clear line', (args, line) => {
    const { stdout, stderr, status } = matrix(...args);
    expect([stdout, status]).toEqual(['', 125]);
    expect(stderr).toContain(line);
    expect(stderr).not.toMatch(/^ +at /m);
  });
  test('a kernel that cannot have the way of run --backend', () => {
    const { stderr, status } = run(['true'], { flags: ['--kernel=6.1', '--backend=cdev'] });
    expect([status, stderr]).toEqual([
      125,
      'softiommu: --backend cdev: Linux 6.1 has no cdev: it is there since 6.6\n',
    ]);
  });
});
