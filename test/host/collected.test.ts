/** Memory of ours that the host's kernel was given, while the collector of garbage is as eager as it can be. */
import { expect, test } from 'vitest';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { MAIN, PROJECT } from './project.ts';
import { compile } from './environments.ts';

/** Memory is collected and moved all the time, and what is freed is overwritten. */
const EAGER = ['--gc-interval=200', '--stress-compaction'];
const env = { ...process.env, MALLOC_PERTURB_: '165' };

/** A run whose own memory is collected so. */
function run(flags: readonly string[], ...argv: readonly string[]) {
  const args = [...EAGER, MAIN, 'run', ...flags, '--', ...argv];
  const options = { encoding: 'utf8', env, timeout: 110_000 } as const;
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, options);
  return { status, signal, stdout, stderr };
}

const resample = ['python3', join(PROJECT, 'test/host/programs/resample.py')];

test('each interrupt and each of its resamplings comes through', () => {
  const { stdout, stderr, status } = run([], ...resample);
  expect(stderr).toBe('');
  expect(stdout).toBe('20 interrupts, 20 heard, 20 masked again\n');
  expect(status).toBe(0);
});
test('registers, memory and interrupts are reached', () => {
  const { stdout, status } = run([], compile('examples/edu-dma.c'));
  expect(stdout).toContain('came back the same, each time with an interrupt');
  expect(status).toBe(0);
});
test('vector instructions find their registers', () => {
  const { stdout, status } = run([], compile('test/host/programs/mmio.c'));
  expect(stdout).toBe('0 differences\n');
  expect(status).toBe(0);
});
test.skipIf(process.getuid?.() !== 0)('a mount namespace is built and answered', () => {
  const { stdout, status } = run(['--mode', 'namespace'], compile('examples/edu-dma.c'));
  expect(stdout).toContain('came back the same, each time with an interrupt');
  expect(status).toBe(0);
});
