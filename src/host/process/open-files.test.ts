/** Descriptions of ours, met without a trap: what the host's kernel says of them by itself. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ENFILE } from '../../base/errno.ts';
import { Shortage } from '../../base/shortage.ts';
import { OpenFile, POLLIN, type FileOps } from '../../base/file.ts';
import { WaitQueue } from '../../base/wait-queue.ts';
import type { AttrNode } from '../../machine/files/nodes.ts';
import { syscall } from '../sys/ffi.ts';
import * as libc from '../sys/libc.ts';
import { OpenFiles, type OpenEntry } from './open-files.ts';
import { HostPages } from './shared-memory.ts';
import { HOST_ERRNO, NR, O_RDWR } from '../sys/numbers.ts';

let files: OpenFiles;
let released: OpenEntry[];
const ours: number[] = [];

beforeEach(() => {
  released = [];
  files = new OpenFiles((entry) => released.push(entry));
});
afterEach(() => {
  for (const fd of ours.splice(0)) libc.close(fd);
  files.closeAll();
});

function opened<E extends OpenEntry>(
  made: { fd: number; entry: E } | number,
): { fd: number; entry: E } {
  if (typeof made === 'number') throw new Error(`errno ${-made}`);
  ours.push(made.fd);
  return made;
}
const create = (ops: FileOps) => opened(files.create(new OpenFile('/dev/test', ops, {})));
const bytes = Buffer.alloc(5000);
/** Is a close told of that has not been looked at? */
const closesWait = (): boolean => isReadable(files.inotify);
const isReadable = (fd: number): boolean => {
  const poller = new libc.Poller();
  poller.set([fd]);
  return poller.wait(0) === 1;
};

test('a release that lacks something is told, and the closes that came with it are not lost', () => {
  const told: OpenEntry[] = [];
  const short = new OpenFiles((entry) => {
    if (told.push(entry) === 1) throw new Shortage(ENFILE, 'nothing is left');
  });
  const made = [0, 1, 2].map(() => opened(short.create(new OpenFile('/dev/test', {}, {}))));
  for (const fd of ours.splice(0)) libc.close(fd);
  expect(() => short.drainCloses()).toThrow('nothing is left');
  expect(told).toEqual(made.map(({ entry }) => entry));
  short.drainCloses();
  expect([told.length, short.count]).toEqual([3, 0]);
  short.closeAll();
});

test('files of another run are not ours, though they were made in the same order', () => {
  const other = new OpenFiles(() => undefined);
  const [mine, theirs] = [files, other].map(
    (run) => opened(run.create(new OpenFile('/dev/test', {}, {}))).entry.link,
  );
  const [own, others] = ours.slice(-2).map((fd) => `/proc/self/fd/${fd}` as const);
  expect(mine).not.toBe(theirs);
  expect(files.at(own!)?.link).toBe(mine);
  expect([files.at(others!), other.at(own!)]).toEqual([undefined, undefined]);
  other.closeAll();
});

describe('a device file', () => {
  test('a device file can be neither read nor written nor made longer', () => {
    const { fd } = create({});
    for (const length of [1, 4096]) {
      expect(libc.read(fd, bytes.subarray(0, length))).toBe(-HOST_ERRNO.EINVAL);
      expect(libc.write(fd, bytes.subarray(0, length))).toBe(-HOST_ERRNO.EINVAL);
    }
    expect(libc.pwrite(fd, bytes, 0)).toBe(-HOST_ERRNO.EPERM);
    expect(libc.ftruncate(fd, 4096)).toBe(-HOST_ERRNO.EPERM);
  });
  test('a device file is released with its last copy', () => {
    const { fd, entry } = create({});
    const copy = libc.duplicate(fd);
    libc.close(fd);
    files.drainCloses();
    expect(released).toEqual([]);
    libc.close(copy);
    files.drainCloses();
    expect(released).toEqual([entry]);
    ours.length = 0;
  });
});

test('an attribute holds its text and takes no other', () => {
  const node: AttrNode = { kind: 'attr', mode: 0o644, size: 4096, read: () => Buffer.from('7\n') };
  const attr = { path: '/sys/x', node, flags: O_RDWR };
  const { fd } = opened(files.createAttr(attr, Buffer.from('7\n')));
  expect(libc.pwrite(fd, bytes, 0)).toBe(-HOST_ERRNO.EPERM);
  expect(libc.read(fd, bytes)).toBe(2);
  expect(bytes.toString('utf8', 0, 2)).toBe('7\n');
});

describe('an event queue', () => {
  function queue(write?: () => number) {
    const wakes = new WaitQueue();
    const state = { events: 0 };
    const ops: FileOps = {
      stream: true,
      poll: () => ({ ...state, wakes }),
      ...(write && { write }),
    };
    const { fd, entry } = create(ops);
    const event = (): void => {
      state.events = POLLIN;
      wakes.wakeAll();
    };
    const read = (): void => {
      state.events = 0;
      entry.readiness!.update();
    };
    return { fd, event, read };
  }
  test('an event queue is readable from its first event until it is read', () => {
    const { fd, event, read } = queue();
    expect(isReadable(fd)).toBe(false);
    event();
    expect(isReadable(fd)).toBe(true);
    read();
    expect(isReadable(fd)).toBe(false);
  });
  test('an event queue stays readable however many events come, each an edge', () => {
    const { fd, event, read } = queue();
    const epoll = syscall(291, 0);
    ours.push(epoll);
    const what = Buffer.alloc(12);
    what.writeUInt32LE(0x8000_0000 + POLLIN, 0);
    expect(syscall(233, epoll, 1, fd, what)).toBe(0);
    const edges = (): number => syscall(232, epoll, what, 1, 0);
    for (let n = 0; n < 3000; n++) {
      event();
      expect(edges()).toBe(1);
      expect(edges()).toBe(0);
    }
    read();
    expect(isReadable(fd)).toBe(false);
  });
  test('an event queue that cannot be written is not, whoever tries', () => {
    expect(libc.write(queue().fd, bytes)).toBe(-HOST_ERRNO.EBADF);
  });
});

/** A mapping of ours as a program has one: its address. */
function mapped(pages: HostPages, closed: () => void): number {
  const mark = files.newMark();
  const fd = pages.reopen(mark);
  files.watchMapping({ fd: pages.fd, object: pages.object, mark, closed });
  const at = syscall(NR.mmap, 0, 8192, 1, 1, fd, 0);
  libc.close(fd);
  return at;
}
describe('pages shared with programs', () => {
  test('each mapping of shared pages counts, also when several go between two looks', () => {
    const pages = HostPages.create(8192) as HostPages;
    const gone: number[] = [];
    const at = [0, 1, 2].map((n) => mapped(pages, () => gone.push(n)));
    files.drainCloses();
    expect(gone).toEqual([]);
    syscall(NR.munmap, at[0]!, 8192);
    syscall(NR.munmap, at[1]!, 8192);
    files.drainCloses();
    expect(gone).toEqual([0, 1]);
    syscall(NR.munmap, at[2]!, 4096);
    files.drainCloses();
    expect(gone).toEqual([0, 1]);
    syscall(NR.munmap, at[2]! + 4096, 4096);
    files.drainCloses();
    expect(gone).toEqual([0, 1, 2]);
    pages.free();
  });
});
describe('the end of a mapping of shared pages', () => {
  test('a mapping is asked once when it is made, and then when one of its file was closed', () => {
    const pages = HostPages.create(8192) as HostPages;
    expect(files.mustAsk).toBe(false);
    const at = [0, 1].map(() => mapped(pages, () => undefined));
    expect(files.mustAsk).toBe(true);
    files.drainCloses();
    expect([files.mustAsk, closesWait()]).toEqual([false, false]);
    syscall(NR.munmap, at[0]!, 8192);
    expect([files.mustAsk, closesWait()]).toEqual([false, true]);
    syscall(NR.munmap, at[1]!, 8192);
    files.drainCloses();
    expect(files.mustAsk).toBe(false);
    pages.free();
  });
  test('one that has gone before it was watched is found at the next look', () => {
    const pages = HostPages.create(8192) as HostPages;
    const closed = vi.fn();
    libc.close(pages.reopen(1));
    files.watchMapping({ fd: pages.fd, object: pages.object, mark: 1, closed });
    expect([files.mustAsk, closesWait()]).toEqual([true, false]);
    files.drainCloses();
    expect([files.mustAsk, closed.mock.calls.length]).toEqual([false, 1]);
    pages.free();
  });
  test('where the host has no watch for it, a mapping is asked before each call', () => {
    const pages = HostPages.create(8192) as HostPages;
    const closed = vi.fn();
    const unwatched = new OpenFiles(() => undefined);
    libc.close(unwatched.inotify);
    const fd = pages.reopen(1);
    unwatched.watchMapping({ fd: pages.fd, object: pages.object, mark: 1, closed });
    for (const look of [1, 2]) {
      unwatched.drainCloses();
      const [asks, told] = [unwatched.mustAsk, closed.mock.calls.length];
      expect({ look, asks, told }).toEqual({ look, asks: true, told: 0 });
    }
    libc.close(fd);
    unwatched.drainCloses();
    expect(closed).toHaveBeenCalledOnce();
    unwatched.drainCloses();
    expect(unwatched.mustAsk).toBe(false);
    pages.free();
  });
});
