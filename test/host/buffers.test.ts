/** Registers as the buffer of a system call: the kernel copies from and to a mapped BAR as from and to memory. */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/buffers.c');
const VECTORS = compile('test/host/programs/vectors.c');
const GENERIC = '0000:00:05.0';
const flags = ['--device', `generic,bdf=${GENERIC},bar=trap`];

/** What the kernel looks at first, and how a call ends: whoever answers it. */
const AT_ENDS = [
  'nothing there: EAGAIN',
  'interrupted: EINTR',
  'no descriptor: EBADF',
  'no socket: ENOTSOCK',
  'beyond the end: EFAULT',
  'no header: EFAULT',
  'too many: EMSGSIZE',
];

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
      'no descriptor: EBADF',
      'to what is only read: EBADF',
      'nothing there: EAGAIN',
      'interrupted: EINTR',
      'waited for: 4 late',
      'beyond the end: 4 ',
      'all beyond: EFAULT',
      'more than at once: 16384 ',
      'at an address of its own: 9 ',
      'read-only: EFAULT',
      'memory of a process: EFAULT',
      'its own file: 6 itself',
      'decode off, write: EFAULT',
      'decode off, pread: EFAULT',
      'in a child: 9 registers',
      'the address in another program: 6 ',
      'another mapping in its place: 10 memory now',
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });

  it('vectors and messages move registers, wherever they are, with --bar-buffers all', () => {
    const run = softiommu([VECTORS, '1', GENERIC], {
      environment,
      flags: [...flags, '--bar-buffers', 'all'],
    });
    expect([run.stderr, run.status]).toEqual(['', 0]);
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      'writev: 17 0123registers4567',
      'readv: 11  a pi.',
      'and memory: frompe',
      'a negative length: EINVAL',
      'too many: EINVAL',
      'sendmsg: 11 ',
      'recvmsg: 11 frre.',
      'and memory: gisters, a descriptor: 1, flags 0',
      'a part of it: 14 long.',
      'cut: 1',
      'sendmmsg: 3 ',
      'lengths: 4 6 6',
      '  greg',
      '  isters',
      '  memory',
      'recvmmsg: 2 on......and two.',
      'lengths: 3 7, memory: e',
      ...AT_ENDS,
      'at a place of its own',
      'write: 9 registers',
      'read: 7 into it.',
      'send: 9 registers',
      'recv: 11 of a socket.',
    ]);
  });
  it('without it they are EFAULT, and the report says so of a program that put them elsewhere', () => {
    const options = { environment, flags: [...flags, '--explain', 'always'], explained: true };
    const run = softiommu([VECTORS, '1', GENERIC], options);
    expect(run.status).toBe(0);
    // A short write is looked at in any case, where attributes are.
    const write = environment.mode === 'traps' ? '9 registers' : 'EFAULT';
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      'writev: EFAULT',
      'readv: EFAULT',
      'and memory: from45',
      'a negative length: EINVAL',
      'too many: EINVAL',
      'sendmsg: EFAULT',
      'recvmsg: EFAULT',
      'a part of it: EFAULT',
      'sendmmsg: EFAULT',
      'recvmmsg: EFAULT',
      ...AT_ENDS,
      'at a place of its own',
      `write: ${write}`,
      'read: EFAULT',
      'send: EFAULT',
      'recv: EFAULT',
    ]);
    expect(run.stderr).toMatch(
      /0000:00:05\.0.* is mapped at 0x100000000 by the program itself: .* is EFAULT.*--bar-buffers all/,
    );
  });
});
