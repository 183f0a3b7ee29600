/**
 * Huge pages for programs that ask for them on a host that has none free: mmap(MAP_HUGETLB), memfd_create(MFD_HUGETLB).
 *
 * The program gets ordinary shared memory aligned as huge pages are; its name tells the machine to treat it as such, so
 * that it is one run of page frames and large entries of page tables can be used. Where the host has free huge pages
 * the call goes on untouched. Not the same as real ones: munmap in the middle of a huge page, st_blksize, statfs.
 */
import { readFileSync } from 'node:fs';
import type { CallContext } from './call-context.ts';
import { HandedOver } from '../seccomp/handed-over.ts';
import { handOver } from '../seccomp/hand-over.ts';
import { memfdOf } from '../sys/memfd.ts';
import {
  HOST_ERRNO,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  MAP_PRIVATE,
  NR,
} from '../sys/numbers.ts';
import {
  NO_FILE,
  ours,
  type Handled,
  type InThread,
  type Script,
  mappedFile,
} from '../seccomp/in-thread.ts';
import * as libc from '../sys/libc.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { HUGE_PREFIX } from '../process/objects.ts';

const MAP_NORESERVE = 0x4000;
const MAP_FIXED_NOREPLACE = 0x100000;
const SIZE_SHIFT = 26;
const SIZE_MASK = 0x3f;
const DEFAULT_SIZE = 1n << 21n;
const NAME_BYTES = 249;
const HUGE_DIRECTORY = '/sys/kernel/mm/hugepages';

/** Answers the calls that ask for huge pages. */
export class HugePages {
  readonly #context: CallContext;
  constructor(context: CallContext) {
    this.#context = context;
  }

  /** mmap() with MAP_HUGETLB and no file. */
  mmap(call: Notification): Handled {
    const flags = call.uint(3);
    const size = hugeSize(flags);
    const length = roundUp(call.arg(1), size);
    if (length === 0n || available(size) >= length / size) return 'continue';
    const address = call.arg(0);
    const fixed = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0;
    if (fixed && address % size !== 0n) return -HOST_ERRNO.EINVAL;
    return this.#mapInstead(call, { size, length, fixed, address });
  }

  #mapInstead(call: Notification, want: Wanted): InThread {
    const memory = new HandedOver(() => memfdOf(HUGE_PREFIX, want.length));
    return {
      hands: [memory],
      *run() {
        return memory.fd < 0 ? memory.fd : yield* mapAligned(call, want, memory.fd);
      },
      otherwise: () => {
        this.#context.warn('a traced program gets no huge pages: the host has none free');
        return -HOST_ERRNO.ENOMEM;
      },
    };
  }

  /** memfd_create() with MFD_HUGETLB. */
  memfdCreate(call: Notification): Answer {
    const flags = call.uint(1);
    if (available(hugeSize(flags)) > 0n) return 'continue';
    const name = this.#context.processes.task(call).mem.readString(call.arg(0));
    if (typeof name !== 'string' && name.no !== 'end') return -HOST_ERRNO.EFAULT;
    if (typeof name !== 'string' || name.length > NAME_BYTES) return -HOST_ERRNO.EINVAL;
    const kept = flags & libc.MFD_ALLOW_SEALING;
    const text = `${HUGE_PREFIX}:${name}`.slice(0, NAME_BYTES);
    const memory = libc.memfdCreate(text, kept | libc.MFD_CLOEXEC);
    if (memory < 0) return memory;
    const cloexec = (flags & libc.MFD_CLOEXEC) !== 0;
    return handOver(this.#context.transport, call, memory, cloexec);
  }
}

interface Wanted {
  readonly size: bigint;
  readonly length: bigint;
  readonly fixed: boolean;
  readonly address: bigint;
}

function* mapAligned(call: Notification, want: Wanted, fd: number): Script<number> {
  const { size, length } = want;
  const flags = BigInt(call.uint(3) & ~(MAP_HUGETLB | MAP_ANONYMOUS) & ~(SIZE_MASK << SIZE_SHIFT));
  const place = want.fixed ? want.address : yield* reserve(length, size);
  if (place < 0n) return Number(place);
  const how = want.fixed ? flags : flags | BigInt(MAP_FIXED);
  const file = mappedFile(fd);
  return yield* ours(NR.mmap, place, length, call.uint(2), how, file, 0);
}

/** An aligned hole of the address space, taken by a mapping that is replaced right away. Minus an errno. */
function* reserve(length: bigint, size: bigint): Script<bigint> {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const start = BigInt(yield* ours(NR.mmap, 0, length + size, 0, flags, NO_FILE, 0));
  if (start < 0n) return start;
  const place = roundUp(start, size);
  if (place > start) yield* ours(NR.munmap, start, place - start);
  const tail = start + size - place;
  if (tail > 0n) yield* ours(NR.munmap, place + length, tail);
  return place;
}

function roundUp(value: bigint, to: bigint): bigint {
  return ((value + to - 1n) / to) * to;
}
function hugeSize(flags: number): bigint {
  const lg2 = (flags >>> SIZE_SHIFT) & SIZE_MASK;
  return lg2 === 0 ? DEFAULT_SIZE : 1n << BigInt(lg2);
}
/** Huge pages the host could still give; as many as you like for a size it does not know, which it refuses by itself. */
function available(size: bigint): bigint {
  const dir = `${HUGE_DIRECTORY}/hugepages-${size / 1024n}kB`;
  const free = count(`${dir}/free_hugepages`);
  if (free === undefined) return size === DEFAULT_SIZE || size === 1n << 30n ? 0n : 1n << 63n;
  const reserved = count(`${dir}/resv_hugepages`) ?? 0n;
  const spare =
    (count(`${dir}/nr_overcommit_hugepages`) ?? 0n) - (count(`${dir}/surplus_hugepages`) ?? 0n);
  return free - reserved + (spare > 0n ? spare : 0n);
}
function count(path: string): bigint | undefined {
  try {
    return BigInt(readFileSync(path, 'latin1').trim());
  } catch {
    return undefined; // a kernel without huge pages of this size
  }
}
