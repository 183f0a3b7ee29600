/** Signals of a program come whole while softiommu makes calls in its threads, or carries out their accesses to registers. */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/whole-signals.c');
const GENERIC = '0000:00:05.0';
const flags = ['--device', `generic,bdf=${GENERIC},bar=trap`];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it.for([
    ['calls for us', ['chdir']],
    ['calls for us, under a filter of its own', ['filtered']],
    ['accesses to registers', ['loads', '1', GENERIC]],
  ] as const)('every signal arrives once, with all that is told of it: %s', ([, words]) => {
    const { stdout, stderr } = softiommu([PROGRAM, ...words], { environment, flags });
    expect(stdout.trimEnd().split('\n')).toEqual([
      'delivered: 0 calls failed, 0 numbers of another count, 0 of another kind',
      'blocked: 0 calls failed, 0 lost, 0 of another kind',
    ]);
    expect(stderr).toBe('');
  });
});
