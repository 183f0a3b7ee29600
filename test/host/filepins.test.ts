/** Pages of files under `run --selftest`: which a device may be given, and that it writes none its program could not. */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { join } from 'node:path';
import { PROJECT } from './project.ts';
import { ENVIRONMENTS, softiommu, type Environment } from './environments.ts';

const PROGRAM = join(PROJECT, 'test/host/programs/filepins.py');
const lines = (text: string): string[] => text.trim().split(/\n\s*/);

function expectLines(environment: Environment, part: string, expected: string): void {
  const { stdout, stderr } = softiommu(['python3', PROGRAM, part], {
    environment,
    flags: ['--selftest'],
  });
  expect(stderr).toBe('');
  expect(lines(stdout)).toEqual(lines(expected));
}

const DISK = '/var/tmp';
const type = spawnSync('stat', ['-f', '-c', '%T', DISK], { encoding: 'utf8' }).stdout.trim();
const noDisk = ['tmpfs', 'ramfs', ''].includes(type) ? `${DISK} is no disk` : undefined;

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('a device is given shared pages of memory, and of a disk only to read', ({ skip }) => {
    skip(noDisk !== undefined, noDisk);
    expectLines(
      environment,
      'disk',
      `to be written: EFAULT
       to be read: ok
       and read: cpu
       a private mapping: ok
       tmpfs: ('ok', 'ok', 'dev')
       a memfd: ('ok', 'ok', 'dev')
       shared with children: ('ok', 'ok', 'dev')
       System V: ('ok', 'ok', 'dev')`,
    );
  });
  it('a page beyond the end of a file is EFAULT, however the file is reached', () => {
    expectLines(
      environment,
      'ends',
      `a memfd: ['EFAULT', 'EFAULT', 'ok']
       without a descriptor: ['EFAULT', 'EFAULT', 'ok']
       of a disk: ['EFAULT', 'EFAULT', 'ok']`,
    );
  });
  it('a file that its program may only read is not written by a device', () => {
    expectLines(
      environment,
      'rights',
      `the program itself: EACCES
       its descriptor: EACCES
       one that only names it: EBADF
       its mapping: EFAULT
       to be read: ok
       written all the same: EPERM
       and read: old
       the file: b'old'`,
    );
  });
  it('a memfd with pinned pages is sealed against writes to come, but not against writing', () => {
    expectLines(
      environment,
      'seals',
      `mapped by itself: ok
       against writing: EBUSY
       by a descriptor to read: EPERM
       against growing: 0
       against writing to come: 0
       the program: EPERM
       the device: ('ok', b'dev')
       not pinned any more: 0
       sealed first: 0
       and mapped: ('ok', 'ok', 'two')
       against writing: EBUSY
       against seals: 0
       too late: EPERM`,
    );
  });
});
