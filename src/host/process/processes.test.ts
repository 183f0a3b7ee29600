/** The test's own process as the caller of trapped calls: what its descriptors and its memory cannot give. */
import { closeSync, openSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EBADF, EFAULT, EMFILE, ENFILE, ENOMEM, isErrno } from '../../base/errno.ts';
import { ForeignFile, OpenFile } from '../../base/file.ts';
import { Shortage } from '../../base/shortage.ts';
import { Machine } from '../../machine/machine.ts';
import { Notification } from '../seccomp/notification.ts';
import { MemoryMap } from './memory-map.ts';
import { HostObjects } from './objects.ts';
import { Processes, type Caller } from './processes.ts';
import { RemoteMemory } from './remote-memory.ts';
import type { TaskParts } from './task.ts';
import { HOST_ERRNO, O_PATH } from '../sys/numbers.ts';

const ME = process.pid;
const said: string[] = [];
/** Entries that no program was given. */
const withdrawn: unknown[] = [];
const SHORT = -1000;
function fails(): never {
  throw new Shortage(ENFILE, 'none left');
}

/** `created`: the descriptor our FUSE mount gives or minus an errno; `installed`: what the program is given. */
function caller(created = 0, installed = 0) {
  const parts = {
    machine: new Machine(),
    transport: { addFd: () => installed },
    files: {
      of: () => undefined,
      create: () =>
        created === SHORT
          ? fails()
          : created < 0
            ? created
            : { fd: openSync('/dev/null', 'r'), entry: 'the file' },
      withdraw: (entry: unknown) => void withdrawn.push(entry),
    },
    map: new MemoryMap(
      () => undefined,
      () => false,
      () => false,
    ),
    objects: new HostObjects(),
    watches: { watchFd: () => ({ [Symbol.dispose]: () => undefined }) },
    isMounted: () => false,
    isOfOurMount: () => false,
    registers: { memoryOf: ({ tid }: Caller) => new RemoteMemory(tid) },
    eventfds: {
      get: () => fails(),
    },
    sayOnce: (text: string) => void said.push(text),
  };
  const processes = new Processes(parts as unknown as TaskParts);
  const call = Object.assign(Object.create(Notification.prototype) as Notification, { tid: ME });
  return { processes, task: processes.task(call) };
}
const file = (): OpenFile => new OpenFile('/dev/test', {}, {});

test('a descriptor is a file of the host, or EBADF when it is not open', () => {
  const { task } = caller();
  const fd = openSync('/dev/null', 'r');
  expect(task.getFile(fd)).toBeInstanceOf(ForeignFile);
  closeSync(fd);
  expect(task.getFile(fd)).toBe(EBADF);
  expect(task.getFile(-1)).toBe(EBADF);
});

test('a descriptor that only names a file is none to use', () => {
  const { task } = caller();
  const fd = openSync('/dev/null', O_PATH);
  expect(task.getFile(fd)).toBe(EBADF);
  closeSync(fd);
});

test('a file is installed in the program, or the errno says which of us ran out', () => {
  expect(caller(0, 17).task.installFile(file(), true)).toBe(17);
  const { EMFILE: full } = HOST_ERRNO;
  expect(caller(-HOST_ERRNO.EINVAL, 0).task.installFile(file(), true)).toBe(ENOMEM);
  expect(withdrawn).toEqual([]);
  expect(caller(0, -full).task.installFile(file(), true)).toBe(EMFILE);
  expect(caller(0, -1).task.installFile(file(), true)).toBe(ENOMEM);
  expect(withdrawn).toEqual(['the file', 'the file']);
});

test('what softiommu has too little for is ENFILE in an ioctl, and said', () => {
  expect(caller(SHORT).task.installFile(file(), true)).toBe(ENFILE);
  expect(caller().task.getEventfd(1)).toBe(ENFILE);
  expect(said).toEqual(['none left', 'none left']);
});

test('a process that is gone has an address space with nothing in it', () => {
  const { processes } = caller();
  const mm = processes.mm({ tid: 2 ** 22 + 1, pid: 2 ** 22 + 1 });
  expect(mm.alive).toBe(false);
  expect(mm.mem.read(0n, new Uint8Array(1))).toBe(EFAULT);
  expect(mm.mem.write(0n, new Uint8Array(1))).toBe(EFAULT);
  expect(isErrno(mm.lookup(0))).toBe(true);
});
