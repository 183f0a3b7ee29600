/** Random calls on files other than /dev/iommu's ioctls, and what programs do: fork, exec, exit, close, change rights. */
import fc from 'fast-check';
import { EBADF, EFAULT, EINVAL, ENODEV, isErrno } from '../../../src/base/errno.ts';
import {
  OpenFile,
  plainBuffer,
  type MmapRequest,
  type UserBuffer,
} from '../../../src/base/file.ts';
import { WaitQueue } from '../../../src/base/wait-queue.ts';
import { flag } from './arguments.ts';
import { otherCommand, SKIPPED, type Command } from './command.ts';
import { pick, sure, type Caller } from './picks.ts';
import { give } from './scene.ts';
import { BUFFER, SHARED } from '../../../src/testing/iommufd/process.ts';

const CAPS = [14, 17, 24];

interface Transfer {
  readonly fd: number;
  readonly bytes: Uint8Array;
  /** -1: none was given. */
  readonly offset?: number;
  /** Where the program's memory ends. */
  readonly reach?: number;
}
/** read(2), write(2): what a host does before it asks the file. */
function transfer(caller: Caller, way: 'read' | 'write', how: Transfer): unknown {
  const file = caller.openFile(how.fd);
  if (!file) return EBADF;
  const call = file.ops[way];
  if (!call) return EINVAL;
  const { bytes, offset = -1, reach = bytes.length } = how;
  const buffer = tornBuffer(bytes, reach);
  const result = call(file, caller.task, buffer, offset < 0 ? undefined : BigInt(offset));
  // Nothing to read, nothing to write: that shows nothing.
  return result instanceof WaitQueue || result === 0 ? SKIPPED : result;
}
function tornBuffer(bytes: Uint8Array, reach: number): UserBuffer {
  const whole = plainBuffer(bytes);
  const ends = (at: number, { length }: Uint8Array) => at + length > reach;
  return {
    length: whole.length,
    copyTo: (at, from) => (ends(at, from) ? EFAULT : whole.copyTo(at, from)),
    copyFrom: (at, into) => (ends(at, into) ? EFAULT : whole.copyFrom(at, into)),
  };
}
const reach = flag(4096, 0, 8, 20, 41);
function transferOf(values: Record<string, number | bigint>): Transfer {
  return {
    fd: Number(values['fd']),
    bytes: new Uint8Array(Number(values['count'])),
    offset: Number(values['offset']),
    reach: Number(values['reach']),
  };
}
const offset = flag(-1, 0, 8);

const QUEUES: readonly Command[] = [
  otherCommand(
    'read of faults',
    {
      fd: fc.oneof(sure('unread fd'), sure('fault fd')),
      count: fc.constantFrom(40, 40, 80, 400, 0, 39),
      offset,
      reach,
    },
    (caller, values) => transfer(caller, 'read', transferOf(values)),
    { weight: 4 },
  ),
  otherCommand(
    'write of responses',
    {
      fd: fc.oneof(sure('awaiting fd'), sure('awaiting fd'), sure('fault fd')),
      cookie: pick('cookie'),
      code: flag(0, 1, 2),
      count: fc.constantFrom(8, 8, 16, 0, 7),
      offset,
      reach,
    },
    (caller, { cookie, code, ...values }) => {
      const how = transferOf(values);
      const words = Uint32Array.of(Number(cookie), Number(code), Number(cookie) + 1, 0);
      how.bytes.set(new Uint8Array(words.buffer).subarray(0, how.bytes.length));
      return transfer(caller, 'write', how);
    },
    { weight: 4 },
  ),
  otherCommand(
    'read of events',
    { fd: sure('event fd'), count: fc.constantFrom(12, 12, 20, 100, 0, 7, 8), offset, reach },
    (caller, values) => transfer(caller, 'read', transferOf(values)),
    { weight: 3 },
  ),
  otherCommand(
    'write to any file',
    { fd: sure('any fd') },
    (caller, { fd }) =>
      caller.openFile(Number(fd))?.ops.write
        ? SKIPPED
        : transfer(caller, 'write', { fd: Number(fd), bytes: new Uint8Array(8) }),
    { weight: 1, always: { fails: 'only fault queues are written to, by a row of their own' } },
  ),
  otherCommand(
    'poll',
    { fd: fc.oneof(sure('fault fd'), sure('event fd'), sure('any fd')) },
    (caller, { fd }) => {
      const file = caller.openFile(Number(fd));
      return file?.ops.poll ? file.ops.poll(file).events : EBADF;
    },
  ),
];

const MMAPS: readonly Command[] = [
  otherCommand(
    'mmap',
    {
      offset: fc.constantFrom(0x1000n, 0x1000n, 0x3000n, 0n),
      length: flag(0x2000n, 0x1000n, 1n),
      shared: flag(1, 0),
      exec: flag(0, 1),
    },
    (caller, { offset, length, shared, exec }, scene) => {
      const { fd } = caller;
      if (!fd) return SKIPPED;
      const request: MmapRequest = {
        offset: BigInt(offset!),
        length: BigInt(length!),
        read: true,
        write: true,
        exec: exec === 1,
        shared: shared === 1,
      };
      const mapped = fd.file.ops.mmap?.(fd.file, caller.task, request) ?? ENODEV;
      if (isErrno(mapped)) return mapped;
      if (mapped.kind === 'pages') scene.addMapping(caller.task, mapped, fd.file);
      return 0;
    },
    { weight: 4 },
  ),
  otherCommand(
    'munmap',
    { n: fc.nat(3) },
    (caller, { n }, scene) => scene.dropMapping(caller.task, Number(n)),
    { weight: 3 },
  ),
];

const FILES: readonly Command[] = [
  otherCommand(
    'open',
    { compat: flag(0, 1) },
    ({ task }, { compat }, scene) => scene.open(task, compat === 1),
    { weight: 1, always: { works: 'a context can always be had' } },
  ),
  otherCommand(
    'dup',
    { fd: sure('any fd') },
    ({ task }, { fd }) => {
      const file = task.getFile(Number(fd));
      if (isErrno(file)) return file;
      if (file instanceof OpenFile) file.get();
      return give(task, file);
    },
    { weight: 1 },
  ),
  otherCommand(
    'close',
    { fd: fc.oneof(sure('any fd'), sure('access fd'), sure('fault fd'), sure('event fd')) },
    (caller, { fd }) => {
      if (!caller.task.fds.has(Number(fd))) return EBADF;
      caller.task.close(Number(fd));
      return 0;
    },
  ),
  otherCommand(
    'send a file',
    { fd: sure('any fd'), to: fc.nat(3) },
    ({ task }, { fd, to }, scene) => {
      const file = task.getFile(Number(fd));
      if (isErrno(file)) return file;
      if (file instanceof OpenFile) file.get();
      return give(scene.taskAt(Number(to)), file);
    },
    { weight: 1 },
  ),
  otherCommand(
    'memfd_create',
    { pages: fc.constantFrom(1, 4, 4) },
    ({ task }, { pages }, scene) => task.installFile(scene.world.memfd(Number(pages))),
    { always: { works: 'the host makes it' } },
  ),
];

const NEVER = { weight: 1, always: { works: 'nothing to refuse' } } as const;

const PROGRAMS: readonly Command[] = [
  otherCommand('fork', {}, ({ task }, _values, scene) => scene.fork(task), { weight: 2 }),
  otherCommand('exit', {}, ({ task }, _values, scene) => scene.exit(task), { weight: 1 }),
  otherCommand('exec', {}, ({ task }, _values, scene) => scene.exec(task), NEVER),
  otherCommand(
    'capset',
    { cap: fc.nat(2) },
    ({ task }, { cap }) => {
      const number = CAPS[Number(cap)]!;
      if (!task.caps.delete(number)) task.caps.add(number);
    },
    NEVER,
  ),
  otherCommand(
    'setuid',
    { uid: fc.constantFrom(1000, 1001) },
    ({ task }, { uid }) => {
      task.uid = Number(uid);
    },
    NEVER,
  ),
  otherCommand(
    'setrlimit',
    { pages: fc.constantFrom(0n, 2n, 12n, 1n << 50n, 1n << 50n) },
    ({ task }, { pages }) => {
      task.rlimitMemlock = BigInt(pages!) << 12n;
    },
    NEVER,
  ),
  otherCommand(
    'munmap of memory',
    { page: fc.nat(15) },
    ({ task }, { page }) => task.mm.unmap(BUFFER + (BigInt(page!) << 12n), 1),
    NEVER,
  ),
  otherCommand(
    'mmap of memory',
    { page: fc.nat(14), writable: flag(1, 0), at: flag(BUFFER, SHARED) },
    ({ task }, { page, writable, at }) => {
      task.mm.map(BigInt(at!) + (BigInt(page!) << 12n), 2, { writable: writable === 1 });
    },
    { weight: 2, always: NEVER.always },
  ),
];

export const FILE_COMMANDS: readonly Command[] = [...QUEUES, ...MMAPS, ...FILES, ...PROGRAMS];
