import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

function softiommu(...args: string[]) {
  const argv = ['--import', 'tsx', 'src/cli/main.ts', ...args];
  const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  return { status, lines: stderr.trimEnd().split('\n') };
}

test.for([
  [['frobnicate'], 125, "unknown command 'frobnicate'", 'softiommu'],
  [['run'], 125, "missing required argument 'program'", 'softiommu run'],
  [['run', '--fast', '--', 'ls'], 125, "unknown option '--fast'", 'softiommu run'],
  [['topology', '--fast'], 125, "unknown option '--fast'", 'softiommu topology'],
  [['test-attach'], 2, "missing required argument 'wishes'", 'softiommu test-attach'],
  [
    ['topology', '--machine', 'preset:mock', '--machine=preset:default'],
    125,
    "option '--machine <file>' is given twice",
    'softiommu topology',
  ],
  [
    ['run', '--trace', '--trace=x', 'ls'],
    125,
    "option '--trace [=file]' is given twice",
    'softiommu run',
  ],
] as const)(
  '%s has a status of its own, says what is wrong, and where help is',
  ([args, status, what, help]) => {
    expect(softiommu(...args)).toEqual({
      status,
      lines: [`softiommu: ${what}`, `(${help} --help shows what there is)`],
    });
  },
);

test.for([
  ['6.12', []],
  ['6.8.0-45-generic', ['6.8.0-45-generic', '6.8']],
  ['7.1', ['7.1', '6.17']],
] as const)(
  'a kernel of version %s is taken, and told of once where it is not known',
  ([version, told]) => {
    const file = join(mkdtempSync(join(tmpdir(), 'kernel-')), 'machine.yaml');
    writeFileSync(file, `kernel: { version: '${version}' }\n`);
    const { lines, status } = softiommu('topology', '--machine', file);
    const [asked, release] = told;
    const note = `softiommu: kernel ${asked} behaves as ${release}, the nearest release that is known`;
    expect([status, lines]).toEqual([0, asked === undefined ? [''] : [note]]);
  },
);

test('help that was asked for is no mistake', () => {
  expect(softiommu('test-attach', '--help').status).toBe(0);
});
