/** A real program that takes the state of one device to another, and asks what was written (vfio.md 2.10). */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/migrate.c');
const [A, B] = ['0000:00:05.0', '0000:00:06.0'];
const edu = (at: string) => [
  '--device',
  `edu,bdf=${at},pcie=true,dma_delay_us=1000000,migration=pre-copy`,
];
const flags = [...edu(A), ...edu(B)];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('a device in the middle of its work is taken to another one', () => {
    const run = softiommu([PROGRAM, '1', A, '2', B], { environment, flags });
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      'features: 0, 7',
      'log: 0',
      'PRE_COPY: 1',
      'info: 0, 1',
      'readable: 1',
      'a buffer that is nowhere: Bad address',
      'as many as was said: 1, then none for now',
      'STOP_COPY: -1',
      'size is told: 1',
      'no info: 22',
      'the rest in another process: 0',
      'moved while stopped: 0',
      'registers while stopped: ffffffff',
      'STOP: -1',
      'RUNNING: -1',
      'the register: 1234',
      'the transfer: a5',
      'logged by the second, at most: 1',
      'logged: 8000000000000020',
      'once: 8000000000000000',
      'no way: -23, state 2',
      'the first goes on: -1, state 2',
      'log: 0',
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });
});
