/**
 * Which system calls of a program are trapped. Everything else runs at full speed.
 *
 * Path calls are trapped in both modes, because opening a device node must give one of our files; with path traps
 * all calls that name a path are, and short writes, which may be meant for a sysfs attribute.
 */
import {
  ARCH_X86_64,
  DATA,
  FilterAssembler,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_USER_NOTIF,
} from '../sys/bpf.ts';
import { MAP_FIXED, NR } from '../sys/libc.ts';
import { INJECTED_CALL, INJECTED_MMAP } from '../sys/numbers.ts';
import { UFFDIO_MOVE } from '../sys/numbers.ts';
import { SHM_REMAP } from '../sys/numbers.ts';
import { MADV } from '../sys/numbers.ts';

export interface FilterOptions {
  /** Answer all path calls ourselves; otherwise a mount namespace shows the tree and only opens are looked at. */
  readonly pathTraps: boolean;
  /** Make the program's eventfds ourselves, where pidfd_getfd is forbidden. */
  readonly eventfds: boolean;
  /** The program has the capabilities of the simulated machine, not the host's (capabilities.ts). */
  readonly capabilities?: boolean;
  /** Event queues can have events: any read or write may be of one, whatever number its descriptor was given. */
  readonly events?: boolean;
}

/** VFIO's ioctl type, which is also iommufd's: ';'. */
const IOCTL_TYPE = 0x3b00;
/** KVM_SET_DEVICE_ATTR: QEMU tells KVM of its VFIO group with it. */
const KVM_SET_DEVICE_ATTR = 0x4018aee1;
/** sizeof(struct iommu_hwpt_pgfault) */
const FAULT_MESSAGE = 40;
/** sizeof(struct iommu_hwpt_page_response), and as many as are looked for at any descriptor. */
const FAULT_ANSWER = 8;
const MOST_ANSWERS = 32 * FAULT_ANSWER;
/** sysfs values are short; longer writes are data. */
export const LONGEST_ATTRIBUTE_WRITE = 256;
/** Descriptors of event queues are installed from here on, so that a filter can tell them by number. */
export const FIRST_STREAM_FD = 960;
export const LAST_STREAM_FD = 1023;

const MAP_HUGETLB = 0x40000;
const MFD_HUGETLB = 4;
const MAP_SHARED_OR_PRIVATE = 3;

export const OPENS = [NR.open, NR.openat, NR.openat2, NR.creat];
const PATHS = [
  NR.stat,
  NR.lstat,
  NR.access,
  NR.chdir,
  NR.getcwd,
  NR.readlink,
  NR.statfs,
  NR.getxattr,
  NR.lgetxattr,
  NR.listxattr,
  NR.llistxattr,
  NR.readlinkat,
  NR.faccessat,
  NR.faccessat2,
];
/** What a mount does not say rightly: names behind /proc/self/fd, and that sysfs is sysfs. */
const NATIVE_PATHS = [NR.readlink, NR.readlinkat, NR.statfs];
/** By path or by descriptor, which must show a character device. */
const STATS_BY_PATH = [NR.newfstatat, NR.statx];
const AT_EMPTY_PATH = 0x1000;
const POSITIONED = [NR.pread64, NR.pwrite64, NR.preadv, NR.pwritev, NR.preadv2, NR.pwritev2];
const STREAMS = [NR.readv, NR.writev];
/** They take pages away from an address space or a file, which a device may have pinned (mapping-traps.ts). */
export const PAGE_REMOVERS = [
  NR.munmap,
  NR.mremap,
  NR.brk,
  NR.shmdt,
  NR.ftruncate,
  NR.truncate,
  NR.fallocate,
];
/** They end the address space itself. */
export const ENDINGS = [NR.execve, NR.execveat, NR.exit, NR.exit_group];

export function filterProgram(options: FilterOptions): Buffer {
  const program = new FilterAssembler();
  const transfer = (label: string): string => (options.events ? 'notify' : label);
  program.load(DATA.arch).ifEqual(ARCH_X86_64, undefined, 'allow').load(DATA.nr);
  program.ifEqual(NR.ioctl, 'ioctl').ifEqual(NR.mmap, 'mmap');
  program.ifEqual(NR.read, transfer('read')).ifEqual(NR.write, transfer('write'));
  program.ifEqual(NR.memfd_create, 'memfd');
  program.ifEqual(NR.madvise, 'madvise').ifEqual(NR.process_madvise, 'process_madvise');
  program.ifEqual(NR.shmat, 'shmat');
  for (const nr of STREAMS) program.ifEqual(nr, transfer('stream'));
  for (const nr of [...PAGE_REMOVERS, ...OPENS]) program.ifEqual(nr, 'remover');
  const always: number[] = [NR.fstat, ...POSITIONED, ...ENDINGS];
  if (options.pathTraps) always.push(...PATHS, ...STATS_BY_PATH);
  else {
    always.push(...NATIVE_PATHS);
    program.ifEqual(NR.newfstatat, 'newfstatat').ifEqual(NR.statx, 'statx');
  }
  if (options.capabilities) always.push(NR.capget, NR.capset);
  if (options.eventfds) always.push(NR.eventfd, NR.eventfd2);
  for (const nr of always) program.ifEqual(nr, 'notify');
  program.return(SECCOMP_RET_ALLOW);

  program.label('ioctl').load(DATA.argLow(1)).ifEqual(KVM_SET_DEVICE_ATTR, 'notify');
  program.ifEqual(UFFDIO_MOVE, 'notify');
  program.and(0xff00).ifEqual(IOCTL_TYPE, 'notify', 'allow');
  // A mapping we have injected, or huge pages the host may not have, or one that takes the place of another, or files
  // mapped shared, or offsets only our regions have.
  program.label('mmap').load(DATA.argHigh(4)).ifEqual(Number(INJECTED_MMAP), 'allow');
  program.load(DATA.argLow(3)).ifAnyBit(MAP_HUGETLB | MAP_FIXED, 'notify');
  program.load(DATA.argLow(4)).ifEqual(0xffffffff, 'allow');
  program.load(DATA.argLow(3)).ifAnyBit(0x20, 'allow');
  // Private ones too: attributes cannot be mapped, and in a mount a look at one would be a call to ourselves.
  program.ifAnyBit(MAP_SHARED_OR_PRIVATE, 'notify');
  program.load(DATA.argHigh(5)).ifAtLeast(0x100, 'notify', 'allow');
  if (!options.pathTraps) {
    program.label('newfstatat').load(DATA.argLow(3)).ifAnyBit(AT_EMPTY_PATH, 'notify', 'allow');
    program.label('statx').load(DATA.argLow(2)).ifAnyBit(AT_EMPTY_PATH, 'notify', 'allow');
  }
  addTakingCalls(program);
  program.label('memfd').load(DATA.argLow(1)).ifAnyBit(MFD_HUGETLB, 'notify', 'allow');
  addTransfers(program, options);
  program.label('notify').return(SECCOMP_RET_USER_NOTIF);
  program.label('allow').return(SECCOMP_RET_ALLOW);
  return program.assemble();
}

/** Calls that take pages away, but for those we make ourselves. */
function addTakingCalls(program: FilterAssembler): void {
  for (const [call, argument] of [
    ['madvise', 2],
    ['process_madvise', 3],
  ] as const) {
    program.label(call).load(DATA.argLow(argument));
    for (const advice of Object.values(MADV)) program.ifEqual(advice, 'remover');
    program.return(SECCOMP_RET_ALLOW);
  }
  program.label('shmat').load(DATA.argLow(2)).ifAnyBit(SHM_REMAP, 'remover', 'allow');
  program.label('remover').load(DATA.argHigh(5)).ifEqual(Number(INJECTED_CALL), 'allow', 'notify');
}

function addTransfers(program: FilterAssembler, options: FilterOptions): void {
  // Whole messages of a fault queue: dup() or a socket may have given it any number.
  program.label('read').load(DATA.argLow(2)).ifEqual(0, 'stream');
  program.remainder(DATA.argLow(2), FAULT_MESSAGE).ifEqual(0, 'notify', 'stream');
  program.label('write');
  if (options.pathTraps) {
    program.load(DATA.argHigh(2)).ifEqual(0, undefined, 'stream');
    program.load(DATA.argLow(2)).ifAtLeast(LONGEST_ATTRIBUTE_WRITE + 1, 'stream', 'notify');
  } else {
    // Some answers to faults: natively they would go into the pipe that stands for the queue.
    program
      .load(DATA.argLow(2))
      .ifEqual(0, 'stream')
      .ifAtLeast(MOST_ANSWERS + 1, 'stream');
    program.remainder(DATA.argLow(2), FAULT_ANSWER).ifEqual(0, 'notify');
  }
  program.label('stream').load(DATA.argLow(0)).ifAtLeast(FIRST_STREAM_FD, undefined, 'allow');
  program.ifAtLeast(LAST_STREAM_FD + 1, 'allow', 'notify');
}
