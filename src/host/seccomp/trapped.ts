/**
 * The system calls of a program that are trapped, one row each: which of its calls, in which runs, and what for.
 *
 * Three things are made of the rows: the filter (filter.ts), the dispatch (calls/table.ts, where a row without a handler does
 * not compile) and the table in docs/doors.md. A call without a row runs at full speed.
 */
import {
  INJECTED_CALL,
  INJECTED_MMAP,
  MADV,
  MFD_HUGETLB,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  NR,
  NR_I386,
  PTRACE,
  KNOCKS,
  RLIMIT,
  SHM_REMAP,
  SIGBUS,
  SIGSEGV,
  UFFDIO_MOVE,
  USERFAULTFD_IOC_NEW,
} from '../sys/numbers.ts';
import { F_ADD_SEALS, F_SETDELEG } from '../sys/open-file-description.ts';
import { REGISTERS_HIGH } from './register-addresses.ts';

/** How runs differ in what they trap (FilterOptions says it of one run). */
export type RunTrait =
  | 'path-traps'
  | 'mount'
  | 'events'
  | 'bar-buffers'
  | 'own-eventfds'
  | 'own-capabilities'
  | 'own-memlock'
  | 'no-io-uring';

/** 32 bits of an argument: what a filter can load. */
export interface Half {
  readonly argument: number;
  readonly half: 'low' | 'high';
}
/** What a filter can ask of the arguments. */
export type Condition =
  | { readonly kind: 'is'; readonly of: Half; readonly values: readonly number[] }
  | {
      readonly kind: 'masked';
      readonly of: Half;
      readonly mask: number;
      readonly value: number;
    }
  | { readonly kind: 'any-bit'; readonly of: Half; readonly mask: number }
  /** Both ends belong to it. */
  | { readonly kind: 'range'; readonly of: Half; readonly first: number; readonly last: number }
  /** All 64 bits. */
  | { readonly kind: 'at-most'; readonly argument: number; readonly most: number }
  /** 0 is none; `most` bounds it. */
  | {
      readonly kind: 'multiple';
      readonly of: Half;
      readonly unit: number;
      readonly most?: number;
    };

/** One step of the decision. Steps are asked in order; the first that fits decides, and after the last the call passes. */
export interface Step {
  readonly then: 'trap' | 'pass';
  /** In words, for the documentation; empty where every call is meant. */
  readonly which: string;
  /** Absent: every call. */
  readonly if?: Condition;
  /** Only in runs of this kind. */
  readonly in?: RunTrait;
}

/** One system call that is trapped. */
export interface TrappedCall<Name extends string = string> {
  readonly nr: number;
  readonly name: Name;
  /** What for: for the documentation. */
  readonly purpose: string;
  readonly when: readonly Step[];
}

/** VFIO's ioctl type, which is also iommufd's: ';'. */
const IOCTL_TYPE = 0x3b00;
/** KVM_SET_DEVICE_ATTR: QEMU tells KVM of its VFIO group with it. */
export const KVM_SET_DEVICE_ATTR = 0x4018aee1;
/** sizeof(struct iommu_hwpt_pgfault) */
const FAULT_MESSAGE = 40;
/** sizeof(struct iommu_hwpt_page_response), and as many as are looked for at any descriptor. */
const FAULT_ANSWER = 8;
const MOST_ANSWERS = 32 * FAULT_ANSWER;
/** Bytes. sysfs takes a page with its end; longer writes are data. */
export const LONGEST_ATTRIBUTE_WRITE = 4095;
/** Descriptors of event queues are installed from here on, so that a filter can tell them by number. */
export const FIRST_STREAM_FD = 960;
/** The last of them; above it nothing is an event queue by its number. */
export const LAST_STREAM_FD = 1023;
/** Upper half of the lowest offset that only regions of ours have. */
const REGION_OFFSET_HIGH = 0x100;

const MAP_SHARED_OR_PRIVATE = 3;
const NO_FD = 0xffff_ffff;
const HIGHEST = 0xffff_ffff;
/** The lowest number below 0, of 32 bits. */
const LOWEST = 0x8000_0000;

/** FSCONFIG_SET_PATH, FSCONFIG_SET_PATH_EMPTY */
const FSCONFIG_PATHS = [3, 4] as const;

const low = (argument: number): Half => ({ argument, half: 'low' });
const high = (argument: number): Half => ({ argument, half: 'high' });
const is = (of: Half, ...values: number[]): Condition => ({ kind: 'is', of, values });
const anyBit = (of: Half, mask: number): Condition => ({ kind: 'any-bit', of, mask });

/** Only when it fits; every call when there is no condition. */
function trap(which = '', condition?: Condition): Step {
  return { then: 'trap', which, ...(condition && { if: condition }) };
}
function pass(which: string, condition: Condition): Step {
  return { then: 'pass', which, if: condition };
}
function inRuns(trait: RunTrait, step: Step = trap()): Step {
  return { ...step, in: trait };
}
function row<Name extends keyof typeof NR>(
  name: Name,
  purpose: string,
  ...when: readonly Step[]
): TrappedCall<Name> {
  return { nr: NR[name], name, purpose, when };
}

const OURS = 'our own';
const notInjected = pass(OURS, is(high(5), Number(INJECTED_CALL)));
/** A call that a program makes itself with a path of ours is not trapped again. */
const byPath = [notInjected, trap()] as const;
const streamFd = trap(`descriptors ${FIRST_STREAM_FD} to ${LAST_STREAM_FD}`, {
  ...{ kind: 'range', of: low(0), first: FIRST_STREAM_FD, last: LAST_STREAM_FD },
});
const takesAway = (argument: number): Step =>
  trap('advices that take pages away', is(low(argument), ...Object.values(MADV)));

const ofType = (type: number): Condition => ({
  ...{ kind: 'masked', of: low(1), mask: 0xff00, value: type },
});
const COMMON_TYPES: readonly (readonly [type: number, whose: string])[] = [
  [0x5400, 'terminals'],
  [0x8900, 'sockets'],
  [0xae00, 'KVM'],
  [0xaa00, 'userfaultfd'],
  [0x6400, 'graphics'],
  [0x1200, 'block devices'],
];
/** Bytes. What plain reads and writes of a device file are long: registers. */
const REGISTER = 4;
const register = (argument: number): Step =>
  trap(`${REGISTER} bytes: a register`, is(low(argument), REGISTER));

const REGISTERS = 'buffers that are registers';
/** Of an address: where registers are mapped. */
const registers = (argument: number): Step =>
  trap('buffers among mapped registers', { kind: 'range', of: high(argument), ...REGISTERS_HIGH });
/** Every one of them: an event queue may have any number, and registers be mapped anywhere. */
const everyBuffer = [inRuns('events'), inRuns('bar-buffers')] as const;
const memlock = (argument: number): Step =>
  inRuns('own-memlock', trap('`RLIMIT_MEMLOCK`', is(low(argument), RLIMIT.memlock)));

const DEVICES = 'device files';
const LOCKED = 'the limit of locked memory that `--memlock` gives';
const TREE = 'the simulated tree';
const MOUNTS = 'the simulated tree, and where a program sees it';
const QUEUES = 'event queues';
const PINS = 'pages that devices have pinned';
const FILLED = 'memory whose pages a program fills, or a file system that a program serves';
const OPENED = `${TREE}; ${PINS}, when a file is emptied`;

/** Frequent calls first: the filter asks in this order. */
export const TRAPPED_CALLS = [
  row(
    'ioctl',
    'device files; directories of the tree; KVM that is told of a device; pinned pages that are moved; pages that programs fill',
    trap(
      '`KVM_SET_DEVICE_ATTR`, `UFFDIO_MOVE`, `USERFAULTFD_IOC_NEW`',
      is(low(1), KVM_SET_DEVICE_ATTR, UFFDIO_MOVE, USERFAULTFD_IOC_NEW),
    ),
    trap('commands of type 0x3b', ofType(IOCTL_TYPE)),
    // A device file knows no other types, but what it answers to them is its own. Those that other files get often pass.
    ...COMMON_TYPES.map(([type, whose]) => pass(whose, ofType(type))),
    trap('other types'),
  ),
  row(
    'mmap',
    `${DEVICES}; huge pages a host has none of; ${PINS}, in whose place something is mapped`,
    pass(OURS, is(high(4), Number(INJECTED_MMAP))),
    trap('`MAP_HUGETLB`, `MAP_FIXED`', anyBit(low(3), MAP_HUGETLB | MAP_FIXED)),
    pass('without a file', is(low(4), NO_FD)),
    pass('anonymous', anyBit(low(3), MAP_ANONYMOUS)),
    // Private ones too: attributes cannot be mapped, and in a mount a look at one would be a call to ourselves.
    trap('of a file', anyBit(low(3), MAP_SHARED_OR_PRIVATE)),
    trap('from 2^40 on', {
      ...{ kind: 'range', of: high(5), first: REGION_OFFSET_HIGH, last: HIGHEST },
    }),
  ),
  row(
    'read',
    `${QUEUES}, ${DEVICES}, ${REGISTERS}`,
    ...everyBuffer,
    registers(1),
    // Whole messages of a fault queue: dup() or a socket may have given it any number.
    trap('as long as fault messages', { kind: 'multiple', of: low(2), unit: FAULT_MESSAGE }),
    register(2),
    streamFd,
  ),
  row(
    'write',
    `${QUEUES}, ${DEVICES}, attributes, ${REGISTERS}`,
    ...everyBuffer,
    registers(1),
    inRuns(
      'path-traps',
      trap(`${LONGEST_ATTRIBUTE_WRITE} bytes at most`, {
        ...{ kind: 'at-most', argument: 2, most: LONGEST_ATTRIBUTE_WRITE },
      }),
    ),
    // Some answers to faults: natively they would go into the pipe that stands for the queue.
    inRuns(
      'mount',
      trap('as long as some answers to faults', {
        ...{ kind: 'multiple', of: low(2), unit: FAULT_ANSWER, most: MOST_ANSWERS },
      }),
    ),
    inRuns('mount', register(2)),
    streamFd,
  ),
  row('recvfrom', REGISTERS, inRuns('bar-buffers'), registers(1)),
  row('sendto', REGISTERS, inRuns('bar-buffers'), registers(1)),
  row('readv', `${QUEUES}, ${REGISTERS}`, ...everyBuffer, streamFd),
  row('writev', `${QUEUES}, ${REGISTERS}`, ...everyBuffer, streamFd),
  row('recvmsg', REGISTERS, inRuns('bar-buffers')),
  // The listener itself is sent when the filter is there already (launch/start-program.ts).
  row('sendmsg', REGISTERS, inRuns('bar-buffers', notInjected), inRuns('bar-buffers')),
  row('recvmmsg', REGISTERS, inRuns('bar-buffers')),
  row('sendmmsg', REGISTERS, inRuns('bar-buffers')),
  row('pread64', DEVICES, trap()),
  row('pwrite64', DEVICES, trap()),
  row('preadv', DEVICES, trap()),
  row('pwritev', DEVICES, trap()),
  row('preadv2', DEVICES, trap()),
  row('pwritev2', DEVICES, trap()),
  row(
    'memfd_create',
    'huge pages a host has none of',
    trap('`MFD_HUGETLB`', anyBit(low(1), MFD_HUGETLB)),
  ),

  row('munmap', PINS, notInjected, trap()),
  row('mremap', `${PINS}; mappings of devices, which do not grow`, notInjected, trap()),
  row('brk', PINS, notInjected, trap()),
  row('madvise', PINS, notInjected, takesAway(2)),
  row('process_madvise', PINS, notInjected, takesAway(3)),
  row('shmat', PINS, notInjected, trap('`SHM_REMAP`', anyBit(low(2), SHM_REMAP))),
  row('shmdt', PINS, notInjected, trap()),
  row('truncate', `${TREE}; ${PINS}`, notInjected, trap()),
  row('ftruncate', `${PINS}, ${DEVICES}`, notInjected, trap()),
  row('fallocate', `${PINS}, ${DEVICES}`, notInjected, trap()),
  row(
    'fcntl',
    `${PINS}, which no seal against writing goes with; ${TREE}`,
    notInjected,
    trap('`F_ADD_SEALS`, `F_SETDELEG`', is(low(1), F_ADD_SEALS, F_SETDELEG)),
  ),
  // The mark of calls of ours is no secret, and what these two and mount change must be known whoever makes them.
  row('execve', `${TREE}; ${PINS}`, trap()),
  row('execveat', `${TREE}; ${PINS}`, trap()),
  row('exit', PINS, trap()),
  row('exit_group', PINS, trap()),
  row(
    'ptrace',
    'threads whose registers we serve, when somebody else is to trace them, or traces them',
    notInjected,
    trap('`TRACEME`, `ATTACH`, `DETACH`, `SEIZE`', is(low(0), ...Object.values(PTRACE))),
    trap('with a signal to go on that we have to do with', is(low(3), SIGBUS, SIGSEGV, ...KNOCKS)),
  ),
  row(
    'kill',
    'signals to process groups: softiommu is in that of its program',
    trap('0', is(low(0), 0)),
    trap('below 0', { kind: 'range', of: low(0), first: LOWEST, last: HIGHEST }),
  ),
  row(
    'rt_sigaction',
    'the signals by which loads and stores of registers come',
    notInjected,
    trap('of SIGBUS and SIGSEGV', is(low(0), SIGBUS, SIGSEGV)),
  ),

  row('open', OPENED, notInjected, trap()),
  row('openat', OPENED, notInjected, trap()),
  row('openat2', OPENED, notInjected, trap()),
  row('creat', OPENED, notInjected, trap()),
  row('stat', TREE, ...byPath),
  row('lstat', TREE, ...byPath),
  row('access', TREE, ...byPath),
  row('faccessat', TREE, ...byPath),
  row('faccessat2', TREE, ...byPath),
  row('chdir', TREE, ...byPath),
  row('getcwd', TREE, ...byPath),
  row('getxattr', TREE, ...byPath),
  row('lgetxattr', TREE, ...byPath),
  row('listxattr', TREE, ...byPath),
  row('llistxattr', TREE, ...byPath),
  row('mkdir', TREE, ...byPath),
  row('mkdirat', TREE, ...byPath),
  row('mknod', TREE, ...byPath),
  row('mknodat', TREE, ...byPath),
  row('symlink', TREE, ...byPath),
  row('symlinkat', TREE, ...byPath),
  row('link', TREE, ...byPath),
  row('linkat', TREE, ...byPath),
  row('rename', TREE, ...byPath),
  row('renameat', TREE, ...byPath),
  row('renameat2', TREE, ...byPath),
  row('unlink', TREE, ...byPath),
  row('unlinkat', TREE, ...byPath),
  row('rmdir', TREE, ...byPath),
  row('chmod', TREE, ...byPath),
  row('fchmod', TREE, ...byPath),
  row('fchmodat', TREE, ...byPath),
  row('fchmodat2', TREE, ...byPath),
  row('chown', TREE, ...byPath),
  row('lchown', TREE, ...byPath),
  row('fchown', TREE, ...byPath),
  row('fchownat', TREE, ...byPath),
  row('utime', TREE, ...byPath),
  row('utimes', TREE, ...byPath),
  row('futimesat', TREE, ...byPath),
  row('utimensat', TREE, ...byPath),
  row('setxattr', TREE, ...byPath),
  row('lsetxattr', TREE, ...byPath),
  row('removexattr', TREE, ...byPath),
  row('lremovexattr', TREE, ...byPath),
  row('fsetxattr', TREE, ...byPath),
  row('fgetxattr', TREE, ...byPath),
  row('flistxattr', TREE, ...byPath),
  row('fremovexattr', TREE, ...byPath),
  row('setxattrat', TREE, trap()),
  row('getxattrat', TREE, trap()),
  row('listxattrat', TREE, ...byPath),
  row('removexattrat', TREE, ...byPath),
  row('file_getattr', TREE, ...byPath),
  row('file_setattr', TREE, ...byPath),
  row('inotify_add_watch', TREE, ...byPath),
  row('fanotify_mark', TREE, ...byPath),
  row('acct', TREE, ...byPath),
  row('swapon', TREE, ...byPath),
  row('swapoff', TREE, ...byPath),
  row('quotactl', TREE, ...byPath),
  row('quotactl_fd', TREE, trap()),
  row('uselib', TREE, ...byPath),
  row('chroot', TREE, ...byPath),
  row('name_to_handle_at', TREE, ...byPath),
  row('getdents', TREE, ...byPath),
  row('getdents64', TREE, ...byPath),
  row('bind', `${TREE}: sockets`, ...byPath),
  row('connect', `${TREE}: sockets`, ...byPath),
  row('newfstatat', TREE, ...byPath),
  row('statx', TREE, ...byPath),
  row('fstat', DEVICES, trap()),
  // What a mount does not say rightly: names behind /proc/self/fd, and that sysfs is sysfs.
  row('readlink', TREE, notInjected, trap()),
  row('readlinkat', TREE, notInjected, trap()),
  row('statfs', TREE, notInjected, trap()),
  row('fstatfs', TREE, trap()),

  row('userfaultfd', FILLED, trap()),
  row('fsopen', FILLED, trap()),
  row('mount', `${MOUNTS}; ${FILLED}`, trap()),
  row('umount2', MOUNTS, notInjected, trap()),
  row('pivot_root', MOUNTS, notInjected, trap()),
  row('open_tree', MOUNTS, notInjected, trap()),
  row('open_tree_attr', MOUNTS, notInjected, trap()),
  row(
    'fsconfig',
    MOUNTS,
    notInjected,
    trap('`FSCONFIG_SET_PATH`, `FSCONFIG_SET_PATH_EMPTY`', is(low(1), ...FSCONFIG_PATHS)),
  ),
  row('move_mount', MOUNTS, notInjected, trap()),
  row('fspick', MOUNTS, notInjected, trap()),
  row('mount_setattr', MOUNTS, notInjected, trap()),

  row('delete_module', 'modules of the simulated kernel, which the host may have too', trap()),
  row('capget', 'capabilities of the simulated machine', inRuns('own-capabilities')),
  row('capset', 'capabilities of the simulated machine', inRuns('own-capabilities')),
  row('getrlimit', LOCKED, memlock(0)),
  row('setrlimit', LOCKED, memlock(0)),
  row('prlimit64', LOCKED, memlock(1)),
  row('io_uring_setup', 'requests that would go past us', inRuns('no-io-uring')),
  row('eventfd', 'eventfds that devices signal', inRuns('own-eventfds')),
  row('eventfd2', 'eventfds that devices signal', inRuns('own-eventfds')),
] as const;

/**
 * Of programs of 32 bits (i386): what they open and execute, signals, memory that a program fills, what it maps of a mount of
 * ours, and io_uring.
 */
export const FOREIGN_CALLS: readonly { readonly nr: number; readonly in?: RunTrait }[] = [
  { nr: NR_I386.open },
  { nr: NR_I386.openat },
  { nr: NR_I386.execve },
  { nr: NR_I386.execveat },
  { nr: NR_I386.mmap, in: 'mount' },
  { nr: NR_I386.mmap2, in: 'mount' },
  { nr: NR_I386.mount },
  { nr: NR_I386.kill },
  { nr: NR_I386.userfaultfd },
  { nr: NR.fsopen },
  { nr: NR.io_uring_setup, in: 'no-io-uring' },
];

/** What a system call is called that is trapped. */
export function trappedName(nr: number): TrappedName | undefined {
  return TRAPPED_CALLS.find((row) => row.nr === nr)?.name;
}
/** A system call that is trapped, by name. */
export type TrappedName = (typeof TRAPPED_CALLS)[number]['name'];
