/** The filter as the kernel runs it: a small interpreter of classic BPF over samples of struct seccomp_data. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  ARCH_X86_64,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_USER_NOTIF,
} from '../sys/bpf.ts';
import { INJECTED_CALL, INJECTED_MMAP, MADV, NR, NR_I386, UFFDIO_MOVE } from '../sys/numbers.ts';
import { filterProgram, type FilterOptions } from './filter.ts';
import { FIRST_STREAM_FD, LONGEST_ATTRIBUTE_WRITE } from './trapped.ts';

const ARCH_I386 = 0x40000003;

function seccompData(nr: number, args: readonly (number | bigint)[], arch = ARCH_X86_64): Buffer {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(nr, 0);
  data.writeUInt32LE(arch, 4);
  args.forEach((arg, index) => {
    data.writeBigUInt64LE(BigInt.asUintN(64, BigInt(arg)), 16 + index * 8);
  });
  return data;
}

/** Opcodes by their numbers in linux/bpf_common.h, so that the assembler's own are not trusted. */
const ARITHMETIC: Readonly<Record<number, (a: number, k: number, x: number) => number>> = {
  0x54: (a, k) => a & k,
  0x34: (a, k) => Math.trunc(a / k),
  0x24: (a, k) => Math.imul(a, k),
  0x1c: (a, _k, x) => a - x,
};
const JUMPS: Readonly<Record<number, (a: number, k: number) => boolean>> = {
  0x25: (a, k) => a > k,
  0x35: (a, k) => a >= k,
  0x45: (a, k) => (a & k) !== 0,
};
/** struct sock_filter */
interface Instruction {
  readonly code: number;
  readonly yes: number;
  readonly no: number;
  readonly k: number;
}
function instructions(program: Buffer): Instruction[] {
  return Array.from({ length: program.length / 8 }, (_, pc) => ({
    code: program.readUInt16LE(pc * 8),
    yes: program[pc * 8 + 2]!,
    no: program[pc * 8 + 3]!,
    k: program.readUInt32LE(pc * 8 + 4),
  }));
}
function interpret(program: readonly Instruction[], data: Buffer): number {
  let accumulator = 0;
  let index = 0;
  for (let pc = 0; pc < program.length; pc++) {
    const { code, yes, no, k } = program[pc]!;
    if (code === 0x15) {
      pc += accumulator === k ? yes : no;
      continue;
    }
    if (code === 0x06) return k;
    const arithmetic = ARITHMETIC[code];
    const jump = JUMPS[code];
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x07) index = accumulator;
    else if (arithmetic) accumulator = arithmetic(accumulator, k, index) >>> 0;
    else if (jump) pc += jump(accumulator, k) ? yes : no;
    else throw new Error(`opcode ${code}`);
  }
  throw new Error('fell off the end');
}

const TRAPS: FilterOptions = { pathTraps: true, eventfds: false };
const NAMESPACE: FilterOptions = { pathTraps: false, eventfds: false };

function isTrapped(options: FilterOptions, nr: number, args: readonly (number | bigint)[] = []) {
  const action = interpret(instructions(filterProgram(options)), seccompData(nr, args));
  expect([SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF]).toContain(action);
  return action === SECCOMP_RET_USER_NOTIF;
}

const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;

test('calls of other ABIs are let go, but for those that would go past us', () => {
  const action = (arch: number, nr: number, options = TRAPS): number => {
    return interpret(instructions(filterProgram(options)), seccompData(nr, [], arch));
  };
  const I386 = 0x40000003;
  const refused = SECCOMP_RET_ERRNO | 38;
  expect([NR_I386.open, NR_I386.openat].map((nr) => action(I386, nr))).toEqual([
    SECCOMP_RET_USER_NOTIF,
    SECCOMP_RET_USER_NOTIF,
  ]);
  expect(action(I386, 54)).toBe(SECCOMP_RET_ALLOW);
  expect(action(I386, NR.io_uring_setup)).toBe(SECCOMP_RET_USER_NOTIF);
  expect(action(I386, NR.io_uring_setup, { ...TRAPS, ioUring: true })).toBe(SECCOMP_RET_ALLOW);
  expect(action(ARCH_X86_64, 0x4000_0000 | NR.openat)).toBe(refused);
  expect(action(ARCH_X86_64, 0x7fff_ffff)).toBe(refused);
  expect([0x8000_0000, 0xffff_ffff].map((nr) => action(ARCH_X86_64, nr))).toEqual([
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_ALLOW,
  ]);
});

describe('what the filter traps', () => {
  test.for([
    ['an ioctl of VFIO', NR.ioctl, [5, 0x3b64, 0], true],
    ['an ioctl of a terminal', NR.ioctl, [0, 0x5401, 0], false],
    ['an ioctl of nobody', NR.ioctl, [5, 0x78b1, 0], true],
    ['an ioctl of KVM', NR.ioctl, [5, 0xae80, 0], false],
    ["KVM's word for a VFIO group", NR.ioctl, [5, 0x4018aee1, 0], true],
    ['an ioctl with bits above 32', NR.ioctl, [5, 0x1_0000_3b64, 0], true],
    ['an open', NR.openat, [-100, 0, 0, 0], true],
    ['an open made by injection', NR.open, [0, 0, 0, 0, 0, INJECTED_CALL << 32n], false],
    ['getppid', 110, [], false],
    ['a pread', NR.pread64, [5, 0, 4, 0], true],
    ['a read as long as a register', NR.read, [5, 0, 4], true],
    ['a read of a low descriptor', NR.read, [5, 0, 12], false],
    ['a read as long as faults', NR.read, [5, 0, 40], true],
    ['a read as long as two', NR.read, [5, 0, 80], true],
    ['a read as long as one and a half', NR.read, [5, 0, 60], false],
    ['a read of nothing', NR.read, [5, 0, 0], false],
    ['a write as long as a fault where no attributes are', NR.writev, [5, 0, 40], false],
    ['a write as long as a register', NR.write, [5, 0, 4], true],
    ['a read where event queues are', NR.read, [FIRST_STREAM_FD, 0, 12], true],
    ['a read behind them', NR.read, [1024, 0, 12], false],
    ['a shared mapping of a file', NR.mmap, [0, 4096, 3, MAP_SHARED, 5, 0], true],
    ['a private one: it may be of an attribute', NR.mmap, [0, 4096, 1, MAP_PRIVATE, 5, 0], true],
    ['shared memory without a file', NR.mmap, [0, 1, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0], false],
    ['a mapping at an offset of ours', NR.mmap, [0, 1, 1, MAP_PRIVATE, 5, 1n << 40n], true],
    ['an eventfd', NR.eventfd2, [0, 0], false],
    ['memory in the place of other memory', NR.mmap, [4096, 1, 3, 0x32, -1, 0], true],
    ['munmap', NR.munmap, [4096, 4096], true],
    ['munmap made by injection', NR.munmap, [4096, 4096, 0, 0, 0, INJECTED_CALL << 32n], false],
    ['mremap', NR.mremap, [4096, 4096, 8192, 1, 0], true],
    ['a smaller file', NR.ftruncate, [5, 0], true],
    ['MADV_DONTNEED', NR.madvise, [4096, 4096, 4], true],
    ['MADV_FREE, which a pinned page stays under', NR.madvise, [4096, 4096, 8], true],
    ['MADV_GUARD_INSTALL', NR.madvise, [4096, 4096, 102], true],
    ['MADV_WILLNEED', NR.madvise, [4096, 4096, 3], false],
    ['MADV_DONTNEED of ranges', NR.process_madvise, [5, 4096, 1, 4, 0], true],
    ['MADV_COLD of ranges', NR.process_madvise, [5, 4096, 4, 20, 0], false],
    ['the end of an attachment', NR.shmdt, [4096], true],
    ['an attachment', NR.shmat, [1, 0, 0], false],
    ['an attachment in the place of other memory', NR.shmat, [1, 4096, 0o40000], true],
    ['a smaller file by its name', NR.truncate, [4096, 0], true],
    ['a userfaultfd', NR.userfaultfd, [0], true],
    ['a userfaultfd by its device', NR.ioctl, [5, 0xaa00, 0], true],
    ['a mount', NR.mount, [], true],
    ['a file system', NR.fsopen, [], true],
    ['UFFDIO_MOVE', NR.ioctl, [5, 0xc028aa05, 4096], true],
    ['another ioctl of userfaultfd', NR.ioctl, [5, 0xc028aa03, 4096], false],
    ['MADV_REMOVE made by injection', NR.madvise, [0, 1, 9, 0, 0, INJECTED_CALL << 32n], false],
    ['a seal', NR.fcntl, [5, 1033, 8], true],
    ['another fcntl', NR.fcntl, [5, 1034], false],
    ['an end', NR.exit_group, [0], true],
  ] as const)('the filter traps %s', ([, nr, args, trapped]) => {
    for (const options of [TRAPS, NAMESPACE]) expect(isTrapped(options, nr, args)).toBe(trapped);
  });
});

describe('what it traps in one mode or with one option', () => {
  test('the filter traps every call that names a path, for what is in no mount', () => {
    const named = [NR.stat, NR.lstat, NR.access, NR.chdir, NR.getcwd, NR.faccessat2];
    for (const nr of [...named, NR.newfstatat, NR.statx, NR.readlink, NR.statfs, NR.fstat]) {
      expect([TRAPS, NAMESPACE].map((options) => isTrapped(options, nr))).toEqual([true, true]);
    }
  });
  test('without a mount the filter traps writes as short as an attribute', () => {
    const write = (length: number | bigint) => [5, 0, length];
    expect(isTrapped(TRAPS, NR.write, write(LONGEST_ATTRIBUTE_WRITE))).toBe(true);
    expect(isTrapped(TRAPS, NR.write, write(LONGEST_ATTRIBUTE_WRITE + 1))).toBe(false);
    expect(isTrapped(TRAPS, NR.write, write(1n << 32n))).toBe(false);
    expect(isTrapped(NAMESPACE, NR.write, write(1))).toBe(false);
  });
  test('with a mount the filter traps writes as long as answers to faults', () => {
    const trapped = (length: number) => isTrapped(NAMESPACE, NR.write, [5, 0, length]);
    for (const length of [8, 16, 256]) expect(trapped(length)).toBe(true);
    for (const length of [0, 7, 12, 264]) expect(trapped(length)).toBe(false);
  });
});

describe('what the filter traps in some runs, and never', () => {
  test('the filter traps every read and write where event queues have events', () => {
    const events = (nr: number) => isTrapped({ ...NAMESPACE, events: true }, nr, [5, 0, 1 << 20]);
    for (const nr of [NR.read, NR.write, NR.readv, NR.writev]) expect(events(nr)).toBe(true);
  });
  test('the filter traps every call with a buffer where registers are looked for anywhere', () => {
    const plain = [NR.read, NR.write, NR.readv, NR.writev, NR.recvfrom, NR.sendto];
    const all = [...plain, NR.recvmsg, NR.sendmsg, NR.recvmmsg, NR.sendmmsg];
    for (const mode of [TRAPS, NAMESPACE]) {
      const trapped = all.filter((nr) =>
        isTrapped({ ...mode, barBuffers: true }, nr, [5, 0, 1 << 20]),
      );
      expect(trapped).toEqual(all);
      expect(all.filter((nr) => isTrapped(mode, nr, [5, 0, 1 << 20]))).toEqual([]);
    }
  });
  test('the filter lets the message pass that carries its listener', () => {
    const message = [3, 0, 0, 0, 0, INJECTED_CALL << 32n];
    expect(isTrapped({ ...TRAPS, barBuffers: true }, NR.sendmsg, message)).toBe(false);
  });
  test('the filter traps eventfds where they must be ours', () => {
    expect(isTrapped({ ...TRAPS, eventfds: true }, NR.eventfd2)).toBe(true);
  });
  test('the filter traps nothing of another architecture, whose numbers mean other calls', () => {
    const data = seccompData(NR.ioctl, [5, 0x3b64], ARCH_I386);
    expect(interpret(instructions(filterProgram(TRAPS)), data)).toBe(SECCOMP_RET_ALLOW);
  });
});

/** Values near every boundary the rows have; each is tried in each place alone, then they are mixed. */
const VALUES: readonly bigint[] = [
  ...[0, 1, 2, 3, 4, 7, 8, 12, 16, 20, 40, 60, 80, 256, 257, 264, 959, 960, 1023, 1024, 4096],
  ...[0x10, 0x20, 0x22, 0x32, 0x40000, 0x40022, 0x1000, 0x1100, 0o40000, 0x100],
  ...Object.values(MADV),
  ...[0x3b64, 0x3b, 0x5401, 0x4018aee1, UFFDIO_MOVE, 0xffffffff],
]
  .map(BigInt)
  .concat([
    0x1_0000_3b64n,
    1n << 32n,
    0x100n << 32n,
    0xffn << 32n,
    (1n << 32n) + 8n,
    (1n << 64n) - 1n,
  ])
  .concat([INJECTED_CALL << 32n, (INJECTED_MMAP << 32n) | 5n, INJECTED_MMAP << 32n]);
const MIXED = 400;
const PLACES = 6;
const LAST_NUMBER = 470;

function samples(): Buffer[] {
  const alone = VALUES.flatMap((value) =>
    Array.from({ length: PLACES }, (_, place) => [...Array<bigint>(place).fill(0n), value]),
  );
  let state = 0x5eed;
  const next = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const mixed = Array.from({ length: MIXED }, () =>
    Array.from({ length: PLACES }, () => VALUES[next(VALUES.length)]!),
  );
  return [...alone, ...mixed].map((args) => seccompData(0, args));
}

/** Per call that is trapped at all: how many of the samples, and a digest of which. */
function decisions(options: FilterOptions, asked: readonly Buffer[]): Record<string, string> {
  const program = instructions(filterProgram(options));
  const out: Record<string, string> = {};
  for (let nr = 0; nr <= LAST_NUMBER; nr++) {
    const trapped = asked.map((data) => {
      data.writeUInt32LE(nr, 0);
      return interpret(program, data) === SECCOMP_RET_USER_NOTIF;
    });
    const count = trapped.filter(Boolean).length;
    if (count === 0) continue;
    const bits = trapped.map(Number).join('');
    out[nr] = `${count} ${createHash('sha256').update(bits).digest('hex').slice(0, 16)}`;
  }
  return out;
}

const RUNS: Readonly<Record<string, FilterOptions>> = {
  'path traps': TRAPS,
  'path traps, events': { ...TRAPS, events: true },
  'path traps, eventfds': { pathTraps: true, eventfds: true },
  'path traps, capabilities': { ...TRAPS, capabilities: true },
  'path traps, limits': { ...TRAPS, memlock: true },
  mount: NAMESPACE,
  'path traps, registers anywhere': { ...TRAPS, barBuffers: true },
  'mount, everything': { pathTraps: false, eventfds: true, capabilities: true, events: true },
};

test('what is trapped stays what was recorded, over every number and many arguments', () => {
  const golden = new URL('../../../test/golden/filter-decisions.json', import.meta.url);
  const recorded: unknown = JSON.parse(readFileSync(golden, 'utf8'));
  const asked = samples();
  const found = Object.fromEntries(
    Object.entries(RUNS).map(([name, options]) => [name, decisions(options, asked)]),
  );
  expect(found).toEqual(recorded);
});
