/** Eventfds whose programs do what would make a plain read or write of ours wait. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EBADF } from '../../base/errno.ts';
import { Eventfds, HostEventfd } from './eventfds.ts';
import * as libc from '../sys/libc.ts';
import { CallBytes, Notification } from '../seccomp/notification.ts';
import { NR } from '../sys/numbers.ts';

const BLOCKING = 0;
let fd: number;
let ready: () => void;
let eventfd: HostEventfd;
let heard: number;

beforeEach(() => {
  fd = libc.eventfd2(0, BLOCKING);
  heard = 0;
  eventfd = new HostEventfd('1', fd, {
    watchFd: (_fd, run) => {
      ready = run;
      return { [Symbol.dispose]: () => undefined };
    },
  });
  eventfd.listen(() => heard++);
});
afterEach(() => eventfd.put());

function add(value: bigint): void {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  expect(libc.write(fd, bytes)).toBe(8);
}
function count(): bigint {
  const bytes = Buffer.alloc(8);
  expect(libc.read(fd, bytes)).toBe(8);
  return bytes.readBigUInt64LE();
}

test('a signal adds one to an eventfd', () => {
  eventfd.signal();
  eventfd.signal();
  expect(count()).toBe(2n);
});
test('a counter that is full stays full, and nobody waits', () => {
  const full = (1n << 64n) - 2n;
  add(full);
  eventfd.signal();
  expect(count()).toBe(full);
});
test('a listener hears of what was written and takes it', () => {
  add(3n);
  ready();
  expect(heard).toBe(1);
  add(1n);
  expect(count()).toBe(1n);
});
test('a listener that comes after the program has read it hears nothing, and nobody waits', () => {
  add(1n);
  count();
  ready();
  expect(heard).toBe(0);
});

describe('eventfds made for programs', () => {
  const watches = { watchFd: () => ({ [Symbol.dispose]: () => undefined }) };
  const transport = { addFd: () => 5 };
  function eventfd2(): Notification {
    const bytes = Buffer.alloc(80);
    bytes.writeInt32LE(NR.eventfd2, 16);
    return new Notification(new CallBytes(bytes));
  }
  test('eventfds made for programs that no program has any more are not kept for ever', () => {
    const eventfds = new Eventfds(watches, { processes: () => [], getfd: () => -1 });
    for (let n = 0; n < 3000; n++) expect(eventfds.create(transport, eventfd2(), 0)).toBe(5);
    expect(eventfds.kept).toBeLessThanOrEqual(1024);
    eventfds.closeAll();
  });
  test('eventfds made for programs that one has open are kept', () => {
    // This process has them all.
    const eventfds = new Eventfds(watches, { processes: () => [process.pid], getfd: () => -1 });
    for (let n = 0; n < 1500; n++) eventfds.create(transport, eventfd2(), 0);
    expect(eventfds.kept).toBe(1500);
    eventfds.closeAll();
  });
});

test('an eventfd that is another one than the program means is EBADF', () => {
  const [meant, other] = [libc.eventfd2(0, BLOCKING), libc.eventfd2(0, BLOCKING)];
  const watches = { watchFd: () => ({ [Symbol.dispose]: () => undefined }) };
  let got = other;
  // As before Linux 6.9, where the table of another thread is looked into.
  const eventfds = new Eventfds(watches, {
    processes: () => [],
    getfd: () => libc.duplicate(got),
  });
  expect(eventfds.get(process.pid, meant)).toBe(EBADF);
  got = meant;
  expect(eventfds.get(process.pid, meant)).toBeInstanceOf(HostEventfd);
});
