/** A real program with a device without an IOMMU (iommufd.md 4.7), in each environment. */
import { afterAll, describe, expect, test } from 'vitest';
import { join } from 'node:path';
import { PROJECT } from './project.ts';
import { ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = ['python3', join(PROJECT, 'test/host/programs/noiommu.py')];

/** In the order of the program. */
const SAID = {
  open: 'ok',
  'info before bind': 'EINVAL',
  'bind to -1': 'EINVAL',
  'bind to 999': 'EBADF',
  'bind to a directory': 'EBADFD',
  'device id': '1',
  'bind again': 'EINVAL',
  info: 'ok',
  'attach to nothing': 'ENOENT',
  'attach to itself': 'EINVAL',
  attach: 'ok',
  'destroy while attached': 'EBUSY',
  detach: 'ok',
  'detach again': 'ok',
  'attach again': 'ok',
  reset: 'EINVAL',
  'region 0': '0x100000',
  'map 1': "('ok', True, 'ENOENT')",
  'map 2': "('ok', True, 'ENOENT')",
  'map 4': "('ok', True, 'ENOENT')",
  'map 8': "('ok', True, 'ENOENT')",
  'inside a page': '(128, 0)',
  'length 0': 'EINVAL',
  'length 1': '1',
  'the device copied page 0 to page 7': 'True',
  'closed first, it stays bound': 'ok',
};

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  const run = (...more: readonly string[]) => {
    const flags = ['--machine', 'preset:noiommu', ...more];
    const { stdout, stderr, status } = softiommu(PROGRAM, { environment, flags });
    expect([stderr, status]).toEqual(['', 0]);
    return Object.fromEntries(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(': ')),
    );
  };

  it('a program without an IOMMU binds, attaches, learns physical addresses, and the device uses them', () => {
    // The simulated machine of the selftest has no lesser user than root.
    expect(run('--selftest')).toEqual(SAID);
  });
  it('noiommu is for who has CAP_SYS_RAWIO', () => {
    const allowed = environment.name.startsWith('as root');
    expect(run()).toEqual(allowed ? SAID : { open: 'EPERM' });
  });
});
