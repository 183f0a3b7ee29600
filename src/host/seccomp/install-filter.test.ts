import { expect, test } from 'vitest';
import { installFilter } from './install-filter.ts';
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';

const SECCOMP_GET_ACTION_AVAIL = 2;
const EINVAL = 22;

function sockets(): [number, number] {
  const pair = libc.socketpair();
  if (typeof pair === 'number') throw new Error('no sockets');
  return pair;
}

test('what seccomp(2) gives goes over the socket in the same breath', () => {
  const [ours, theirs] = sockets();
  // An operation that installs nothing and answers 0, which is a descriptor too.
  const action = Buffer.alloc(4);
  action.writeUInt32LE(0x7fff_0000); // SECCOMP_RET_ALLOW
  const how = { operation: SECCOMP_GET_ACTION_AVAIL, flags: 0, program: action };
  expect(installFilter(how, theirs)).toEqual({ listener: 0, sent: 1 });
  const received = libc.receiveFd(ours);
  expect(libc.readlink(`/proc/self/fd/${received}`)).toBe(libc.readlink('/proc/self/fd/0'));
  for (const fd of [received, ours, theirs]) libc.close(fd);
});
test('what seccomp(2) refuses goes nowhere', () => {
  const [ours, theirs] = sockets();
  const how = { operation: 99, flags: 0, program: Buffer.alloc(16) };
  expect(installFilter(how, theirs)).toEqual({ listener: -EINVAL, sent: 0 });
  libc.close(theirs);
  expect(libc.receiveFd(ours)).toBe(-HOST_ERRNO.EBADF);
  libc.close(ours);
});
