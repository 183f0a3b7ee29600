/** What the host cannot give a program, met on the test's own process. */
import { expect, test } from 'vitest';
import { EBADF, EFAULT, EINVAL, ENOMEM, isErrno } from '../base/errno.ts';
import { Eventfds } from './process/eventfds.ts';
import { addressForGood } from './sys/ffi.ts';
import * as libc from './sys/libc.ts';
import { MemoryMap } from './process/memory-map.ts';
import { HostObject, HostObjects } from './process/objects.ts';
import { AddressSpace } from './process/address-space.ts';
import { RemoteMemory } from './process/remote-memory.ts';
import { HostPages } from './process/shared-memory.ts';
import { O_CLOEXEC, O_RDWR } from './sys/numbers.ts';

const ME = process.pid;
/** Nothing is ever mapped in the first page. */
const NOWHERE = 0n;

test('an address where nothing is mapped is EFAULT, to a thread and to an address space', () => {
  const memory = new RemoteMemory(ME);
  const own = Buffer.from('softiommu');
  const into = new Uint8Array(own.length);
  expect(memory.read(BigInt(addressForGood(own)), into)).toBeUndefined();
  expect(Buffer.from(into).toString()).toBe('softiommu');
  expect(memory.read(NOWHERE, into)).toBe(EFAULT);
  expect(memory.write(NOWHERE, into)).toBe(EFAULT);

  const objects = new HostObjects();
  const space = AddressSpace.open(ME, {
    map: new MemoryMap(
      () => undefined,
      () => false,
      () => false,
    ),
    objects,
    showing: () => [],
    warn: () => undefined,
    sayOnce: () => undefined,
    user: () => ME,
  });
  if (!space) throw new Error('this process cannot look into itself');
  expect(space.read(BigInt(addressForGood(own)), into)).toBeUndefined();
  expect(space.read(NOWHERE, into)).toBe(EFAULT);
  expect(space.write(NOWHERE, into)).toBe(EFAULT);
  space.close();
});

test('shared memory that no process maps any more is EFAULT', () => {
  const object = '00:01:42';
  const line = { start: 16, end: 17, readable: true, writable: true, shared: true, huge: false };
  let shown: object | undefined = { ...line, object, objectOffset: 0, name: '' };
  const space = AddressSpace.open(ME, {
    map: { find: () => shown } as unknown as MemoryMap,
    objects: new HostObjects(),
    showing: () => [],
    warn: () => undefined,
    sayOnce: () => undefined,
    user: () => ME,
  });
  const held = space!.hold(16, 1, true)!;
  shown = undefined;
  expect(held.read(0, 0, new Uint8Array(1))).toBe(EFAULT);
  expect(held.write(0, 0, new Uint8Array(1))).toBe(EFAULT);
  held.release();
  space!.close();
});

test('a memfd is written when a program has shown that it may, not beyond its end, which stays', () => {
  const fd = libc.memfdCreate('softiommu-test');
  expect(libc.ftruncate(fd, 4096)).toBe(0);
  const object = new HostObject('test', fd, false);
  expect(object.write(4088n, new Uint8Array(8).fill(7))).toBe(EFAULT);
  object.adoptWriter(libc.open(`/proc/self/fd/${fd}`, O_RDWR | O_CLOEXEC));
  expect(object.write(4088n, new Uint8Array(8).fill(7))).toBeUndefined();
  const into = new Uint8Array(8);
  expect(object.read(4088n, into)).toBeUndefined();
  expect([...into]).toEqual([7, 7, 7, 7, 7, 7, 7, 7]);
  expect(object.read(4092n, into)).toBe(EFAULT);
  expect(object.write(4092n, into)).toBe(EFAULT);
  expect(object.size()).toBe(4096n);
});

test('an eventfd is an open descriptor of one', () => {
  const eventfds = new Eventfds({
    watchFd() {
      throw new Error('nothing is watched here');
    },
  });
  const fd = libc.eventfd2(0, O_CLOEXEC);
  const other = libc.memfdCreate('softiommu-test');
  // Some containers forbid pidfd_getfd(), even of the caller's own descriptors.
  const pidfd = libc.pidfdOpen(ME);
  const copy = libc.pidfdGetfd(pidfd, fd);
  const made = eventfds.get(ME, fd);
  expect(isErrno(made) ? made : 'an eventfd').toBe(copy < 0 ? EBADF : 'an eventfd');
  if (!isErrno(made)) made.put();
  for (const open of [pidfd, copy]) if (open >= 0) libc.close(open);
  expect(eventfds.get(ME, other)).toBe(EINVAL);
  libc.close(fd);
  libc.close(other);
  expect(eventfds.get(ME, fd)).toBe(EBADF);
});

test('shared pages no file can hold are ENOMEM', () => {
  expect(HostPages.create(-1)).toBe(ENOMEM);
});
