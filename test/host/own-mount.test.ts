/** With pages pinned, files that calls change are looked at: those of our own mount too, which nobody but us answers for. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ENVIRONMENTS, softiommu } from './environments.ts';
import { PROJECT } from './project.ts';

const PROGRAM = join(PROJECT, 'test/host/programs/own-mount.py');

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('an attribute is emptied, cut, and no memory for a device, by whatever name', () => {
    const flags = ['--selftest'];
    // Traps do not see where a link of the host leads.
    const names = environment.mode === 'traps' ? ['name', 'root'] : ['name', 'root', 'link'];
    const { stdout, stderr } = softiommu(['python3', PROGRAM, ...names], { environment, flags });
    expect(stderr).toBe('');
    const lines = stdout.trimEnd().split('\n');
    const outcomes = ['ok', 'ok', 'ok', 'EINVAL'];
    expect(lines).toEqual(names.flatMap((name) => outcomes.map((outcome) => `${name} ${outcome}`)));
  });
});
