/**
 * Reads and writes in all their spellings: where the bytes are in the program, and which place of the file is meant.
 *
 * Our files have no vector operations, so each buffer of a vector is a call of its own, until one is short or fails.
 */
import { isErrno, type Result, type Status } from '../../base/errno.ts';
import type { UserBuffer } from '../../base/file.ts';
import type { UserMemory } from '../../base/task.ts';
import type { Outcome } from '../../base/wait-queue.ts';
import type { Notification } from '../seccomp/notification.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';

/** MAX_RW_COUNT: no call moves more. */
const MOST_BYTES = 0x7fff_f000;
/** UIO_MAXIOV */
const MOST_BUFFERS = 1024n;
/** sizeof(struct iovec) */
export const IOVEC_SIZE = 16;
const LONGEST_SIGNED = 1n << 63n;
const RWF_HIPRI = 1;

interface Buffers {
  readonly addr: bigint;
  readonly length: number;
}
/** One read or write: which bytes of the program, and which place of the file. */
export interface TransferPlan {
  readonly write: boolean;
  /** Undefined: the position of the file. */
  readonly offset: bigint | undefined;
  readonly total: number;
  readonly buffers: readonly Buffers[];
  /** RWF_… other than the one that asks for nothing. */
  readonly flags: number;
}

/** How one of the calls passes its arguments. */
export interface Spelling {
  readonly write: boolean;
  readonly positioned: boolean;
  readonly vectors: boolean;
  /** preadv2 and pwritev2: offset -1 is the position of the file, and there are flags. */
  readonly second?: boolean;
}
/** By the name of the call. */
export const SPELLINGS = {
  read: { write: false, positioned: false, vectors: false },
  write: { write: true, positioned: false, vectors: false },
  pread64: { write: false, positioned: true, vectors: false },
  pwrite64: { write: true, positioned: true, vectors: false },
  readv: { write: false, positioned: false, vectors: true },
  writev: { write: true, positioned: false, vectors: true },
  preadv: { write: false, positioned: true, vectors: true },
  pwritev: { write: true, positioned: true, vectors: true },
  preadv2: { write: false, positioned: true, vectors: true, second: true },
  pwritev2: { write: true, positioned: true, vectors: true, second: true },
} satisfies Readonly<Record<string, Spelling>>;

/** The plan, or minus an errno. `mem` is asked for only when there are vectors to read. */
export function transferPlan(
  call: Notification,
  spelling: Spelling,
  mem: () => UserMemory,
): TransferPlan | number {
  const { write, second } = spelling;
  const flags = second ? call.uint(5) & ~RWF_HIPRI : 0;
  let offset = spelling.positioned ? BigInt.asIntN(64, call.arg(3)) : undefined;
  if (second && offset === -1n) offset = undefined;
  if (offset !== undefined && offset < 0n) return -HOST_ERRNO.EINVAL;
  if (!spelling.vectors) {
    if (call.arg(2) >= LONGEST_SIGNED) return -HOST_ERRNO.EINVAL;
    const length = Math.min(Number(call.arg(2)), MOST_BYTES);
    return { write, offset, flags, total: length, buffers: [{ addr: call.arg(1), length }] };
  }
  const buffers = vectorsOf(call, mem);
  if (typeof buffers === 'number') return buffers;
  const total = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
  return { write, offset, flags, total, buffers: total === 0 ? [] : buffers };
}

function vectorsOf(call: Notification, mem: () => UserMemory): Buffers[] | number {
  const iovecs = iovecsAt(mem, call.arg(1), call.arg(2));
  if (typeof iovecs === 'number') return iovecs;
  let room = MOST_BYTES;
  const buffers: Buffers[] = [];
  for (const { addr, bytes } of iovecs) {
    if (bytes >= LONGEST_SIGNED) return -HOST_ERRNO.EINVAL;
    const length = Math.min(Number(bytes), room);
    room -= length;
    buffers.push({ addr, length });
  }
  return buffers;
}

/** struct iovec of a program, as it is there; minus an errno when it cannot be read. */
export function iovecsAt(
  mem: () => UserMemory,
  at: bigint,
  count: bigint,
): { readonly addr: bigint; readonly bytes: bigint }[] | number {
  if (count > MOST_BUFFERS) return -HOST_ERRNO.EINVAL;
  const iov = Buffer.alloc(Number(count) * IOVEC_SIZE);
  if (iov.length > 0 && mem().read(at, iov)) return -HOST_ERRNO.EFAULT;
  return Array.from({ length: Number(count) }, (_, n) => ({
    addr: iov.readBigUInt64LE(n * IOVEC_SIZE),
    bytes: iov.readBigUInt64LE(n * IOVEC_SIZE + 8),
  }));
}

/** One read or write of one buffer. */
export type Move = (buffer: UserBuffer, offset: bigint | undefined) => Outcome<Result<number>>;

/** What was moved before an error, or a wait, is the result. */
export function eachBuffer(
  plan: TransferPlan,
  mem: UserMemory,
  move: Move,
): Outcome<Result<number>> {
  let done = 0;
  for (const { addr, length } of plan.buffers) {
    const offset = plan.offset === undefined ? undefined : plan.offset + BigInt(done);
    const moved = move(programBuffer(mem, addr, length), offset);
    if (typeof moved !== 'number') return done > 0 ? done : moved;
    done += moved;
    if (moved < length) break;
  }
  return done;
}
function programBuffer(mem: UserMemory, addr: bigint, length: number): UserBuffer {
  return {
    length,
    copyTo: (at, from) => mem.write(addr + BigInt(at), from),
    copyFrom: (at, into) => mem.read(addr + BigInt(at), into),
  };
}

/** Fill `into` from the buffers. */
export function gather(mem: UserMemory, plan: TransferPlan, into: Uint8Array): Status<'EFAULT'> {
  return inParts(plan, into, (addr, part) => mem.read(addr, part));
}
/** Fill the buffers from `from`, as far as it goes. EFAULT. */
export function scatter(mem: UserMemory, plan: TransferPlan, from: Uint8Array): Status<'EFAULT'> {
  return inParts(plan, from, (addr, part) => mem.write(addr, part));
}
function inParts(
  plan: TransferPlan,
  bytes: Uint8Array,
  copy: (addr: bigint, part: Uint8Array) => Status<'EFAULT'>,
): Status<'EFAULT'> {
  let at = 0;
  for (const { addr, length } of plan.buffers) {
    const rc = copy(addr, bytes.subarray(at, at + length));
    if (isErrno(rc)) return rc;
    at += length;
    if (at >= bytes.length) break;
  }
  return undefined;
}
