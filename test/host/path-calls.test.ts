/** Calls with a path that few programs make, in each environment: what is simulated answers, and no host file of its place. */
import { afterAll, describe, expect, test } from 'vitest';
import { ENVIRONMENTS, has, softiommu, strayDirectories } from './environments.ts';
import { PROJECT } from './project.ts';

const PYTHON = '/usr/bin/python3';
const PROGRAM = `${PROJECT}/test/host/programs/marks.py`;
const isRoot = process.getuid?.() === 0;

const NONE = 'EPERM EPERM EPERM EPERM EPERM';

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const skip = environment.skip ?? (has(PYTHON) ? undefined : `no ${PYTHON}`);
  const it = skip === undefined ? test : test.skip;
  const isTraps = environment.mode === 'traps';
  const asRoot = isRoot && environment.prefix.length === 0;
  const isContainer = isRoot && environment.name.includes('container');
  const says = (part: string) => {
    const { stdout, stderr } = softiommu([PYTHON, PROGRAM, part], { environment });
    return { lines: stdout.trimEnd().split('\n'), stderr };
  };

  // Only root may ask for what the tests ask for.
  (asRoot ? it : test.skip)('fanotify marks what stands for a node, or the file system', () => {
    const { lines, stderr } = says('marks');
    expect(lines).toEqual([
      'a node: 0 0 ENOENT',
      'a directory: 0 0 0',
      'its file system: 0 0',
      'nothing: ENOENT',
      'out of it: 0 0',
      `deciding: ${isTraps ? 'EPERM EPERM EPERM' : '0 EPERM 0'}`,
      'flushed: 0',
      'listed meanwhile: True',
    ]);
    expect(stderr).toMatch(/^softiommu: a program wants to decide with fanotify [^\n]*EPERM\n$/);
  });
  it('inotify hears of a directory that is no link', () => {
    expect(says('watched')).toEqual({ lines: ['watched: True', 'heard: True'], stderr: '' });
  });
  it('extended attributes are those of sysfs, by every call', () => {
    const { lines, stderr } = says('attributes');
    expect([lines, stderr]).toEqual([
      [
        'by name: ENODATA ENOTSUP 0 ENOTSUP',
        'wrong: EINVAL E2BIG EINVAL',
        'by descriptor: ENODATA ENOTSUP [] ENOTSUP',
        'by descriptor: ENODATA ENOTSUP [] ENOTSUP',
        'flags: ENOTSUP ENOTSUP EINVAL',
        'nothing: ENOENT ENOENT',
        'no path: True 0 True',
      ],
      '',
    ]);
  });
  it('accounting, swap, quotas and mounts have nothing of it', () => {
    const { lines, stderr } = says('privileged');
    // The container's root has one of the two capabilities.
    const swap = asRoot ? 'EACCES EISDIR EINVAL' : 'EPERM EPERM EPERM';
    const accounting = asRoot || isContainer ? 'EACCES EINVAL EISDIR EACCES ENOENT' : NONE;
    expect([lines.slice(0, 3), stderr]).toEqual([
      [`accounting: ${accounting}`, `swap: ${swap} ${swap}`, 'quotas: ENOTBLK ENOTBLK ENOENT'],
      '',
    ]);
    if (isTraps) expect(lines[3]).toBe(`mounts: ${asRoot ? 'EBUSY EBUSY' : 'EPERM EPERM'}`);
  });
});
