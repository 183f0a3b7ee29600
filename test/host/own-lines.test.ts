/** Lines of softiommu that nobody takes: a full pipe stops no call, no signal and no end. */
import { describe, expect, test } from 'vitest';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ENVIRONMENTS, has } from './environments.ts';
import { MAIN, PROJECT } from './project.ts';

const PROGRAM = join(PROJECT, 'test/host/programs/unheard.py');

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const inTime = environment.skip ?? (has('python3') ? undefined : 'no python3');
  const it = inTime === undefined ? test : test.skip;
  const hear = (how: string): string => {
    const run = [...environment.prefix, process.execPath, MAIN, 'run', '--mode', environment.mode];
    const { stdout, stderr } = spawnSync('python3', [PROGRAM, how, '--', ...run], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    return stdout + stderr;
  };

  it('standard error is full: programs go on, and what was said comes when it is read', ({
    skip,
  }) => {
    skip(environment.name.startsWith('in a default container'), 'it forbids io_uring before we do');
    expect(hear('read')).toBe('went on\nended, said True\n');
  });
  it.for(['SIGTERM', 'SIGINT', 'SIGHUP'])('standard error is full: %s ends the run', (signal) => {
    expect(hear(signal)).toBe('went on\nended, said False\n');
  });
  it('standard error is full: after SIGKILL nothing is left', () => {
    expect(hear('SIGKILL')).toBe('went on\nended, said False\nleft []\n');
  });
  it('a terminal whose output is stopped stops no program', () => {
    expect(hear('stopped')).toBe('went on\n');
  });
});
