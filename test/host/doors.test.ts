/**
 * All doors of /dev/iommu under `run`: contexts, copies of descriptors, processes, event queues, signals, mappings
 * (docs/doors.md). Each line is what a program saw; the answers are Linux's.
 */
import { describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu } from './environments.ts';

const SELFTEST = ['--selftest'];

interface Door {
  readonly program: string;
  readonly flags: readonly string[];
  readonly args?: readonly string[];
  readonly expected: string;
  /** Only in this mode. */
  readonly mode?: 'traps';
}

const DOORS: Readonly<Record<string, Door>> = {
  'contexts, and one through dup, fork, exec and sockets': {
    program: 'doors-contexts',
    flags: SELFTEST,
    expected: `
      an IOAS of the first: 1
      another of the first: 2
      the first of the second: 1
      the first's other, destroyed through the second: ENOENT
      and used: ENOENT
      memory mapped in the first: 0
      and in the second: 0
      through the second it is found: 0
      when the first is closed: 0
      the bytes: both
      unmapped: 4096
      destroyed: 0
      an IOAS by the first descriptor: 1
      by its copy: 2
      by one above 500: 3
      by standard input: 4
      by 900: 5
      by the closed one: EBADF
      opened again by its name in /proc, a context of its own: 1
      and as standard input: 1
      which leaves the first as it was: 6
      a copy replaced by a copy: 7
      a child, when its parent has closed: 2
      the child maps: 0
      a context afterwards: 1
      after exec, what was kept: 2
      what was to be closed: EBADF
      the queue of a closed iommufd: 40
      its fault: 5
      descriptors as low as they are free: 1
      an iommufd over a socket: 4
      its fault queue: 40
      the fault: 9
      its answer: 8
      an event queue: 12
      the event: 0x77
      the cdev before it is bound: EINVAL
      bound here: 0
      and then: 0
      the device while the other process has it: EINVAL
      when it has ended: 0
      the device while it is under way: EINVAL
      when the socket is gone: 0
      of calls during closes, anything but success and EBADF: nothing
      who polls a queue is woken by a fault, and finds it closed: 1
      but cannot read it: EBADF
      the queue is gone with its last user: 0`,
  },
  'queues of faults and events': {
    program: 'doors-queues',
    flags: SELFTEST,
    expected: `
      at the lowest number: 1
      opened: 1
      close-on-exec: 1
      nothing to read: 0
      without blocking: 0
      its flag: 1
      blocking again: 0
      a part of a message: ESPIPE
      a message and a half: ESPIPE
      no byte: EINVAL
      at an offset: ESPIPE
      a seek: ESPIPE
      to a bad address: EFAULT
      to the edge of memory: EFAULT
      the fault is still there: 40 1
      two of three: 80 1 2
      the third: 40 3
      two buffers: 80 4 5
      the second too short: 40 6
      both too short: ESPIPE
      the second nowhere: 40 7
      what it would have got: 40 8
      no buffer: 0
      preadv2 at the position: 0
      with a flag: EOPNOTSUPP
      an unknown cookie: EINVAL
      a part of an answer: ESPIPE
      nothing: 0
      at an offset: ESPIPE
      from a bad address: EFAULT
      an unknown code: EINVAL
      from a child: 8
      a second time: EINVAL
      good and bad: 8
      good, bad and good: 8
      forty at once: 40
      and forty answers: 320
      an empty queue: OUT
      one with a fault: IN RDNORM OUT
      one that was read: OUT
      ppoll in vain: 0
      poll until a thread's fault: 1
      select until a child's: 1
      ready for answers: 1
      epoll: 1
      and again: 1
      edges: 1
      no new one: 0
      a new fault, the old one unread: 1
      a read that leaves one: 0
      which the level shows: 1
      no more: 0
      dropped with its device: OUT
      of 200 faults of a child, read by one of two threads and two children: 200
      anything else: 0
      ready: IN RDNORM OUT
      a part of a message: ESPIPE
      one fault: 40 1
      ready for the next: IN RDNORM OUT
      read from standard input: 40 2
      answered there: 8
      empty: OUT
      and read: 0
      an empty event queue:
      nothing: 0
      without blocking: 0
      less than a header: EINVAL
      a write: EINVAL
      one by a low number: EINVAL
      with an event: IN RDNORM
      an edge: 1
      another: 1
      a header alone: EINVAL
      to a bad address: EFAULT
      an event: 12
      it: 0 0 0x77
      two and the loss: 32
      they: 0 1 0x77, 0 2 0x77, 1 3
      nothing more: 0
      poll until a child's: 1
      it can be read: 12
      destroyed while open: EBUSY
      while its copy is: EBUSY
      when it is closed: 0`,
  },
  signals: {
    program: 'doors-signals',
    flags: SELFTEST,
    expected: `
      ends poll: a handler, EINTR
      epoll_wait: a handler, EINTR
      select: a handler, EINTR
      ends poll: one with SA_RESTART, EINTR
      epoll_wait: one with SA_RESTART, EINTR
      select: one with SA_RESTART, EINTR
      a signal let through by ppoll alone: EINTR
      handled: 1
      a waiting child ended by a signal: 1
      a waiting child ended by a signal: 1
      the queue goes on: 40
      stopped: 1
      a child that was stopped and continued reads: 40
      a waiting thread can be cancelled: 1
      another gets the fault: 1
      all of it: 40
      in a storm of signals: handlers that restart, all of 1000 calls done or never begun: 1, anything else: 0, signals came: 1
      never begun: 0
      the next id is the next: 0
      in a storm of signals: handlers that do not, all of 1000 calls done or never begun: 1, anything else: 0, signals came: 1
      the next id is the next: 0
      faults reported, read and answered in a storm: 200
      and none left: 0
      threads with a wrong id under signals of their own: 0
      a device bound: 0
      an ioctl meanwhile: 2
      an unbind whose file was closed and that got signals still waits: 1
      when the device is closed: 12
      and then the signals are handled: 1
      bound again: 12`,
  },
  'pages of a vIOMMU': {
    program: 'doors-mappings',
    flags: SELFTEST,
    expected: `
      published: 1
      mapped privately: EINVAL
      to execute: EPERM
      a page of it: ENXIO
      its second page: ENXIO
      more than it has: ENXIO
      nothing that was published: ENXIO
      through another context: ENXIO
      shown: 0xabcd
      stores are seen in all: 1
      the vIOMMU destroyed: EBUSY
      with one mapping left: EBUSY
      which still shows: 0xabcd
      with one made since: EBUSY
      with half of it: EBUSY
      the other half: 0xabcd
      with that moved: EBUSY
      with the child's: EBUSY
      a child sees it when its parent has unmapped: 0xabcd
      still: EBUSY
      with none: 0
      a mapping outlives the descriptors: 0xabcd 9`,
  },
  'files for ioctls only': {
    program: 'doors-mappings',
    flags: [],
    args: ['control'],
    expected: `
      an iommufd: read EINVAL, of 40 bytes EINVAL, of a page EINVAL, readv EINVAL, pread EINVAL, write EINVAL, of a page EINVAL, writev EINVAL, pwrite EINVAL, mmap ENXIO, ftruncate EINVAL, fallocate ENODEV, poll 0x5, epoll EPERM
      a container: read EINVAL, of 40 bytes EINVAL, of a page EINVAL, readv EINVAL, pread EINVAL, write EINVAL, of a page EINVAL, writev EINVAL, pwrite EINVAL, mmap ENODEV, ftruncate EINVAL, fallocate ENODEV, poll 0x5, epoll EPERM
      a group: read EINVAL, of 40 bytes EINVAL, of a page EINVAL, readv EINVAL, pread EINVAL, write EINVAL, of a page EINVAL, writev EINVAL, pwrite EINVAL, mmap ENODEV, ftruncate EINVAL, fallocate ENODEV, poll 0x5, epoll EPERM
      a cdev: read EINVAL, of 40 bytes EINVAL, of a page EINVAL, readv EINVAL, pread EINVAL, write EINVAL, of a page EINVAL, writev EINVAL, pwrite EINVAL, mmap EINVAL, ftruncate EINVAL, fallocate ENODEV, poll 0x5, epoll EPERM
      an empty fault queue at 50: poll: 0x4
      read of it: 0
      of two messages: 0
      an answer to nothing: EINVAL
      a part of a message where it was made: ESPIPE
      opened by its name in /proc: ENXIO`,
  },
  'what the names of descriptors say': {
    program: 'doors-mappings',
    flags: [],
    args: ['names'],
    expected: `
      an iommufd: /dev/iommu, a character device, the same
      a cdev: /dev/vfio/devices/vfio0, a character device, the same
      a queue: anon_inode:[iommufd-pgfault], no device, the same`,
    // With a mount, stat(2) of a path is the kernel's own, which sees what our descriptors are made of.
    mode: 'traps',
  },
};

const lines = (text: string): string[] => text.trim().split(/ *\n\s*/);

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  const doors = Object.entries(DOORS).filter(
    ([, { mode }]) => (mode ?? environment.mode) === environment.mode,
  );
  it.for(doors)('a program at the doors gets the answers of Linux: %s', ([, door]) => {
    const program = compile(`test/host/programs/${door.program}.c`);
    const argv = [program, ...(door.args ?? [])];
    const { stdout, stderr, status } = softiommu(argv, { environment, flags: door.flags });
    expect(stderr).toBe('');
    expect(lines(stdout)).toEqual(lines(door.expected));
    expect(status).toBe(0);
  });
});
