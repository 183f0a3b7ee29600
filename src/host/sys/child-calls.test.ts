import { expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { cString, cStrings } from './ffi.ts';
import { runInChild, runInGrandchild } from './child-calls.ts';
import * as libc from './libc.ts';
import { HOST_ERRNO, NR } from './numbers.ts';

const exit = (status: number) => ({ nr: NR.exit_group, args: [status] });
const NOTHING = Buffer.alloc(8);

test('each call is made in the child, in order, and its result is known', () => {
  const word = Buffer.alloc(4);
  const calls = [{ nr: NR.getpid, store: [word] }, { nr: NR.close, args: [-1] }, exit(7)];
  const { pid, results } = runInChild(calls);
  expect(pid).not.toBe(process.pid);
  expect(results).toEqual([pid, -HOST_ERRNO.EBADF, undefined]);
  expect(word.readInt32LE()).toBe(pid);
  expect(libc.waitFor(pid)).toEqual({ pid, status: 7 << 8 });
});

test('a call with a condition is made only if the earlier one returned exactly that', () => {
  const closed = (returned: number) => ({ nr: NR.getpid, onlyIf: { call: 0, returned } });
  const calls = [{ nr: NR.close, args: [-1] }, closed(0), closed(-HOST_ERRNO.EBADF), exit(0)];
  const { pid, results } = runInChild(calls);
  expect(results.slice(1)).toEqual([undefined, pid, undefined]);
  libc.waitFor(pid);
});

test('a result is the first argument of a later call, and the descriptors are the child’s own', () => {
  const path = cString('/dev/null');
  const calls = [
    { nr: NR.open, args: [path], store: [{ firstOf: 1 }, { firstOf: 2 }] },
    { nr: NR.close },
    { nr: NR.close },
    exit(0),
  ];
  const { pid, results } = runInChild(calls);
  expect(results[0]).toBeGreaterThan(2);
  expect(results.slice(1)).toEqual([0, -HOST_ERRNO.EBADF, undefined]);
  libc.waitFor(pid);
});

test('a program that is executed has what the list has done for it', () => {
  const [from, to] = pipe();
  const path = cString('/bin/echo');
  const argv = cStrings(['echo', 'written']);
  const { pid, results } = runInChild([
    { nr: NR.close, args: [1] },
    { nr: NR.fcntl, args: [to, 0 /* F_DUPFD */, 1] },
    { nr: NR.execve, args: [path, argv, NOTHING] },
    exit(9),
  ]);
  libc.close(to);
  expect(results).toEqual([0, 1, undefined, undefined]);
  expect(readFileSync(from, 'utf8')).toBe('written\n');
  expect(libc.waitFor(pid)?.status).toBe(0);
  libc.close(from);
});

test('a child between us makes calls before and after those of its own child, which it waits for', () => {
  const [from, to] = pipe();
  const echo = (text: string) => ({
    nr: NR.execve,
    args: [cString('/bin/echo'), cStrings(['echo', text]), NOTHING],
  });
  const output = { nr: NR.dup3, args: [to, 1, 0] };
  const group = Buffer.alloc(8);
  const { pid, outcome } = runInGrandchild(
    [{ nr: NR.getpgid, store: [group] }, output, echo('child'), exit(9)],
    {
      before: [{ nr: NR.setpgid, args: [0, 0] }],
      after: [{ nr: NR.wait4, args: [-1, NOTHING, 0, 0] }, output, echo('between'), exit(9)],
    },
  );
  expect(libc.waitFor(pid)).toEqual({ pid, status: 0 });
  libc.close(to);
  expect(readFileSync(from, 'utf8')).toBe('child\nbetween\n');
  libc.close(from);
  const child = outcome();
  expect(child.pid).not.toBe(pid);
  expect(child.results).toEqual([pid, 1, undefined, undefined]);
  expect(group.readInt32LE()).toBe(pid);
});

test('a list may end before the next begins', () => {
  const { pid, outcome } = runInGrandchild([exit(0)], {
    before: [{ nr: NR.close, args: [-1] }],
    after: [exit(3)],
  });
  expect(libc.waitFor(pid)).toEqual({ pid, status: 3 << 8 });
  expect(outcome().results).toEqual([undefined]);
});

function pipe(): [number, number] {
  const ends = libc.pipe2(0);
  if (typeof ends === 'number') throw new Error('no pipe');
  return ends;
}
