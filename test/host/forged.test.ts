/**
 * Descriptors that are not what they are called, and such as could not be given: memory of a program with the name of a
 * device file is memory, and a device that no number was free for is let go of once.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/forged.c');
const GENERIC = '0000:00:05.0';
const flags = ['--device', `generic,bdf=${GENERIC}`];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('a name makes no device, and a device that finds no number is released once', () => {
    const run = softiommu([PROGRAM, '1', GENERIC], { environment, flags });
    expect([run.stderr, run.status]).toEqual(['', 0]);
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      'the device: done',
      'of its name: ENOTTY',
      'no region: 0',
      'as it was called: 1',
      'nothing is in it',
      'its own: 7 1',
      'the register: 5',
      'no number is free: EMFILE',
      'one is: done',
    ]);
  });
});
