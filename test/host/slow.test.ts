/**
 * Pages that a program has to fill, given to calls: the caller waits for them, as on Linux, and nobody else does. Those who
 * fill them make calls of their own before.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu } from './environments.ts';
import { PROJECT } from './project.ts';

const FLAGS = ['--selftest'];

const FILLED = `a device opened: 0
a host's file opened: 0
nothing opened: ENOENT
a stat: 0
of a directory: 1
a path in two pages: 0
a directory entered: 0
and its name: /sys/bus/pci
an IOAS: 0
its number: 1
a device on it: 0
slow pages pinned: 0
read by a device: 0
which finds: pinned
written where stores wait: 0
into a slow page: 0
which has:  pages
unmapped: 0
bytes: 8192
an IOAS, where stores wait: 0
its number: 5
the one after it: 6
a register: 0x10000ed
SIGBUS ignored: 0
which was: (nil)
the register again: 0x10000ed
pages filled: 15 of 15
`;

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  const isRoot = environment.name.startsWith('as root');

  it('pages of a userfaultfd are filled before a call goes on, or EFAULT where it may not wait', () => {
    const program = compile('test/host/programs/slow.c');
    const { stdout, stderr, status } = softiommu([program], { environment, flags: FLAGS });
    expect(status).toBe(0);
    if (stdout !== 'a userfaultfd: EPERM\n') {
      expect([stdout, stderr]).toEqual([FILLED, '']);
      return;
    }
    expect(isRoot).toBe(false);
    // Without a privilege only faults in the program itself wait.
    const users = softiommu([program, 'user'], { environment, flags: FLAGS });
    expect(users.stdout).toMatch(
      /^(a userfaultfd: EPERM\n|a device opened: EFAULT\n(.*\n)*pages filled: \d+ of 13\n)$/,
    );
  });

  it('pages of a file are filled by a FUSE server of the run before a call goes on', ({ skip }) => {
    skip(!isRoot, 'only root mounts where programs see it');
    const program = join(PROJECT, 'test/host/programs/slow-fuse.py');
    const mount = mkdtempSync(join(tmpdir(), 'slow-'));
    const { stdout, stderr } = softiommu(['/usr/bin/python3', program, mount], {
      environment,
      flags: FLAGS,
    });
    rmSync(mount, { recursive: true });
    expect(stderr).toBe('');
    expect(stdout).toBe(
      'a device ok\na directory ok\nnothing No such file or directory\npinned ok\npinned when its mount is gone ok\n',
    );
  });
});
