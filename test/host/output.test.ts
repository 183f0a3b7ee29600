/** What softiommu itself writes, and the status it ends with when it cannot. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ENVIRONMENTS, softiommu } from './environments.ts';
import { MAIN } from './project.ts';

const folder = mkdtempSync(join(tmpdir(), 'output-of-softiommu-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** A line for the shell, with softiommu as `$S`. */
function sh(line: string) {
  const env = { ...process.env, S: `${process.execPath} ${MAIN}` };
  const options = { encoding: 'utf8', env, cwd: folder, timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync('sh', ['-c', line], options);
  return { status, stdout, stderr };
}

test('--trace takes no word: what follows is the program, and stays whole', () => {
  const program = join(folder, 'program');
  copyFileSync('/bin/true', program);
  chmodSync(program, 0o755);
  const bare = sh('$S run --trace ./program');
  expect(bare.status).toBe(0);
  expect(bare.stderr).not.toContain('softiommu:');
  const named = sh('$S run --trace=program ./program');
  expect(named.stderr).toBe(
    'softiommu: the trace cannot be written to program: it is a program, and --trace=FILE would overwrite it\n',
  );
  expect(named.status).toBe(125);
  expect(readFileSync(program).equals(readFileSync('/bin/true'))).toBe(true);
});

test.for([
  // The first trace is written, the second one over it; what follows a full device is not said again.
  [
    'a trace',
    '$S run --explain never --trace=t -- cat /dev/vfio/none; $S run --trace=t -- ls /dev/vfio',
    0,
    '',
  ],
  [
    'an explanation on a full device',
    '{ $S run -- cat /dev/vfio/none; echo $? >&3; } 3>&2 2>/dev/full',
    0,
    '1\n',
  ],
  [
    'a trace on a full device',
    '$S run --trace=/dev/full -- sh -c "cat /dev/vfio/vfio; exit 0"',
    125,
    'softiommu: the trace ends here, it cannot be written: no space is left on the device\n',
  ],
  [
    'a trace on a full device, of a program that fails',
    '$S run --trace=/dev/full -- sh -c "cat /dev/vfio/vfio; exit 7"',
    7,
    'softiommu: the trace ends here, it cannot be written: no space is left on the device\n',
  ],
  [
    'a trace that nobody reads',
    '{ $S run --trace -- sh -c "ls /dev/vfio; exit 7" 2>&1 >&3; echo $? >&3; } 3>&2 | true',
    0,
    'devices\nvfio\n7\n',
  ],
  [
    'a command on a full device',
    '$S topology >/dev/full',
    125,
    'softiommu: standard output cannot be written: no space is left on the device\n',
  ],
  ['a command that nobody reads', '{ $S topology; echo $? >&2; } | true', 0, '141\n'],
  ['a mistake that cannot be said', '$S topology --machine none 2>/dev/full', 125, ''],
] as const)('%s', ([, line, status, stderr]) => {
  const found = sh(line);
  expect(found.stderr.replace(/^cat: .*\n/m, '').replace(/^0\n/m, '')).toBe(stderr);
  expect(found.status).toBe(status);
});

test('a program in a folder that may not be searched is 126', ({ skip }) => {
  const environment = ENVIRONMENTS.find(({ name }) => name.startsWith('as an ordinary user'))!;
  skip(environment.skip !== undefined, environment.skip);
  const hidden = join(folder, 'hidden');
  chmodSync(folder, 0o755);
  spawnSync('mkdir', ['-m', '700', hidden]);
  writeFileSync(join(hidden, 'program'), '#!/bin/sh\n', { mode: 0o755 });
  const { status, stderr } = softiommu([join(hidden, 'program')], { environment });
  expect([status, stderr.replace(/^.*: a folder/, 'a folder')]).toEqual([
    126,
    'a folder on the way to it may not be searched\n',
  ]);
});
