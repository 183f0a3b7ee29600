/** `npm start` where no program can be run: one line says why, and the scenario runs inside the process. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { has } from './environments.ts';

const CHECKOUT = join(import.meta.dirname, '../..');

test.skipIf(!has('python3'))('npm start without seccomp shows the scenario all the same', () => {
  const start = ['node', join(CHECKOUT, 'scripts/start.mjs')];
  const deny = [join(CHECKOUT, 'test/host/container.py'), '--no-seccomp'];
  const { status, stdout, stderr } = spawnSync('python3', [...deny, ...start], {
    cwd: CHECKOUT,
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  const lines = stdout.trim().split('\n');
  expect(lines[0]).toBe(
    'This host cannot run foreign programs: seccomp: seccomp listeners are refused; ' +
      'use Linux 5.19 or later with CONFIG_SECCOMP_FILTER; let the container allow seccomp(2)',
  );
  expect(stdout).toContain('DMA out and back');
  expect(lines.at(-1)).toBe('done: nothing is left open, pinned or mapped');
});
