/** Pinned pages of real programs: a device sees what a pinned page would show, whatever becomes of the mapping. */
import { describe, expect, test } from 'vitest';
import { join } from 'node:path';
import { PROJECT } from './build.ts';
import { ENVIRONMENTS, softiommu } from './environments.ts';

const PROGRAM = join(PROJECT, 'test/host/programs/pins.py');

const EXPECTED = {
  unmap: `
    after munmap: old
    written there: ok
    behind a new mapping: dev
    the new one: new
    mapped as well: ok
    is another page: ('dev', 'new')
    and written by itself: ('two', 'dev')`,
  over: `
    a mapping over the middle: ['old', 'old', 'old']
    its neighbours are the program's: one
    munmap of one page: ['one', 'old', 'old']
    at a bad address: (-1, 'EINVAL')
    with a bad descriptor: (None, 'EBADF')
    leaves it the program's: two`,
  remap: `
    moved: True
    the device follows: dev
    and sees: cpu
    shrunk: True
    the tail is kept: cpu
    the head is the program's: now
    another page in its place: ('end', 'now')`,
  advice: `
    thrown away: ...
    the device keeps: old
    and shares the next: cpu`,
  heap: `
    a new page: ...
    the device has: ('cpu', 'two')`,
  cow: `
    a child's store is its own: ('old', 'old')
    the parent's is seen: cpu
    and the device's: dev
    the child has: kid`,
  protect: `
    no access for the program: old
    much of it: 8
    written: ok
    seen: dev`,
  ended: `
    after exit: end
    written: ok
    read: dev`,
  execed: `
    after exec: old
    after an exec that failed: new`,
  shared: `
    a child still maps it: old
    and writes: kid
    nobody maps it: kid
    nobody ever did but we: two`,
  truncated: `
    a memfd: ok
    a hole: ...
    the program: ['cpu', 'new', '...', 'p..']
    the device: ['cpu', 'pg1', 'pg2', 'p..']
    nothing left: cpu`,
};

function lines(text: string): string[] {
  return text.trim().split(/\n\s*/);
}

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  it.for(Object.entries(EXPECTED))('%s', ([part, expected]) => {
    const { stdout, stderr } = softiommu(['python3', PROGRAM, part], {
      environment,
      flags: ['--selftest'],
    });
    expect(stderr).toBe('');
    expect(lines(stdout)).toEqual(lines(expected));
  });
  it('what ends by SIGKILL is lost, which is said', () => {
    const { stdout, stderr } = softiommu(['python3', PROGRAM, 'killed'], {
      environment,
      flags: ['--selftest'],
    });
    expect(lines(stdout)).toEqual(['status: 9', 'after SIGKILL: EFAULT']);
    expect(stderr).toMatch(/^softiommu: a device lost its pages of process \d+, which was killed/);
  });
});
