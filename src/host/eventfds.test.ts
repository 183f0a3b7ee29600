/** Eventfds whose programs do what would make a plain read or write of ours wait. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HostEventfd } from './eventfds.ts';
import * as libc from './libc.ts';

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

test('a signal adds one', () => {
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
