/** A real program that makes a mediated device, uses it and takes it away, in each environment (vfio.md 1.16, 6.4). */
import { afterAll, describe, expect, test } from 'vitest';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from './project.ts';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/mtty.c');
const MACHINE = join(PROJECT, '.cache/test-programs/mtty.yaml');

mkdirSync(join(PROJECT, '.cache/test-programs'), { recursive: true });
writeFileSync(MACHINE, 'kernel: { with: [mtty] }\n');

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('a mediated device lives from its UUID to its removal', () => {
    const run = softiommu([PROGRAM], { environment, flags: ['--machine', MACHINE] });
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      'name: Dual port serial',
      'create: done',
      'again: File exists',
      'available_instances: 11',
      'sample_mdev_dev: This is MDEV 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001',
      'device: 1',
      'info: 0, flags 2, 9 regions, 5 interrupts',
      'interrupt: 0',
      'signalled: 1, 1 time',
      'line status: 1, hello, 60',
      'nothing to map: 22',
      'remove: done',
      'gone: -1',
      'available_instances: 12',
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });
});
