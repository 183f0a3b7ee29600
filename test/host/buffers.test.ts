/** Registers as the buffer of a system call: the kernel copies from and to a mapped BAR as from and to memory. */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/buffers.c');
const GENERIC = '0000:00:05.0';
const flags = ['--device', `generic,bdf=${GENERIC}`];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('reads, writes, sends and receives move registers', () => {
    const run = softiommu([PROGRAM, '1', GENERIC], { environment, flags });
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      'write: 9 registers',
      'write of odd bytes: 11 isters and ',
      'read: 11 from a pipe..',
      'pwrite: 9 ',
      'pread: 7 gisters.',
      'send: 9 registers',
      'sendto: 8 and more',
      'recv: 2 of.',
      'recvfrom: 11 of a socket.',
      'pwritev: 17 0123registers4567',
      'preadv: 16 egisters4.',
      'and memory: 123r567-',
      'pwritev2: 9 registersters4567',
      'nothing: 0 ',
      'no descriptor: Bad file descriptor',
      'to what is only read: Bad file descriptor',
      'nothing there: Resource temporarily unavailable',
      'interrupted: Interrupted system call',
      'waited for: 4 late',
      'beyond the end: 4 ',
      'all beyond: Bad address',
      'more than at once: 16384 ',
      'at an address of its own: 9 ',
      'read-only: Bad address',
      'memory of a process: Bad address',
      'its own file: 6 itself',
      'decode off, write: Bad address',
      'decode off, pread: Bad address',
      'in a child: 9 registers',
      'the address in another program: 6 ',
      'another mapping in its place: 10 memory now',
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });
});
