/** A real program that lets one device reach the registers of another (vfio.md 2.10, iommufd.md 2.5), in each environment. */
import { afterAll, describe, expect, test } from 'vitest';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from './project.ts';
import { ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = ['python3', join(PROJECT, 'test/host/programs/dmabuf.py')];
const MACHINE = join(PROJECT, '.cache/test-programs/two-edus.yaml');

mkdirSync(join(PROJECT, '.cache/test-programs'), { recursive: true });
writeFileSync(
  MACHINE,
  `devices:
  - { type: edu, at: '0000:00:04.0' }
  - { type: edu, at: '0000:00:05.0' }
`,
);

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('a BAR is a dma-buf for another device, until its registers are switched off', () => {
    const flags = ['--machine', MACHINE];
    const { stdout, stderr, status } = softiommu(PROGRAM, { environment, flags });
    expect([stderr, status]).toEqual(['', 0]);
    const lines = stdout.trimEnd().split('\n');
    expect(Object.fromEntries(lines.map((line) => line.split(': ')))).toEqual({
      descriptor: 'True',
      'a page more': 'EINVAL',
      map: '0',
      'b writes a register of a': 'True',
      'without the descriptor': 'True',
      'after memory decode was off': 'False',
      unmap: '0',
    });
  });
});
