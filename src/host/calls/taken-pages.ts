/**
 * What a system call takes away if it works: pages of its caller's address space, or of a file. A table by call number,
 * read without judging the call: what is wrong with it the host says, and then nothing has been taken.
 */
import * as libc from '../sys/libc.ts';
import { NR } from '../sys/libc.ts';
import { AT_FDCWD, MADV, SHM_REMAP } from '../sys/numbers.ts';
import type { Span } from '../sys/map-query.ts';
import type { Notification } from '../seccomp/listener.ts';
import type { MemoryMap } from '../process/memory-map.ts';
import { objectOf, statOf } from '../process/objects.ts';
import { PATH_CALLS, type PathCall } from './path-calls.ts';
import { textOf } from '../sys/proc.ts';
import { RemoteMemory } from '../process/remote-memory.ts';

/** Of an address space. */
export interface TakenPages {
  readonly gone: readonly Span[];
  /** Shown elsewhere afterwards: the result of the call tells where. */
  readonly moved?: Span;
  /** What becomes of the memory behind a shared mapping, if more or less than that it is unmapped. */
  readonly shared?: 'kept' | 'removed';
}
/** Of a file made shorter, or with a hole: pages that are zeroed in part stay the same pages. */
export interface TakenOfFile {
  readonly object: string;
  readonly span: Span;
}

export const PAGE = 4096n;
const SHM_RND = 0o20000;
const MREMAP_FIXED = 2;
const FALLOC_FL_PUNCH_HOLE = 2;

interface Caller {
  readonly call: Notification;
  readonly pid: number;
  readonly map: MemoryMap;
}
const FROM_ADDRESS_SPACE: Readonly<Record<number, (caller: Caller) => TakenPages | undefined>> = {
  [NR.munmap]: replaced,
  [NR.mmap]: replaced,
  [NR.madvise]: ({ call }) => advised(call.arg(0), call.arg(1), call.uint(2)),
  [NR.mremap]: moving,
  [NR.brk]: lowered,
  [NR.shmdt]: detached,
  [NR.shmat]: attachedOver,
};

export function takenPages(caller: Caller): TakenPages | undefined {
  return FROM_ADDRESS_SPACE[caller.call.nr]?.(caller);
}
/** By an advice that the filter traps. */
export function advised(at: bigint, length: bigint, advice: number): TakenPages | undefined {
  return taking(spanOf(at, length), advice === MADV.remove ? 'removed' : 'kept');
}
/** Undefined: a call on these addresses will fail. */
export function spanOf(at: bigint, length: bigint): Span | undefined {
  if (at % PAGE !== 0n || length > 1n << 47n) return undefined;
  return { index: Number(at / PAGE), count: pageUp(length) };
}
function taking(span: Span | undefined, shared?: 'kept' | 'removed'): TakenPages | undefined {
  return span && { gone: [span], ...(shared && { shared }) };
}

function replaced({ call }: Caller): TakenPages | undefined {
  return taking(spanOf(call.arg(0), call.arg(1)));
}
function moving({ call }: Caller): TakenPages | undefined {
  const whole = spanOf(call.arg(0), call.arg(1));
  if (!whole) return undefined;
  const { index, count } = whole;
  const kept = Math.min(count, pageUp(call.arg(2)));
  const gone = [{ index: index + kept, count: count - kept }];
  if ((call.uint(3) & MREMAP_FIXED) !== 0) {
    gone.push({ index: pageUp(call.arg(4)), count: pageUp(call.arg(2)) });
  }
  return { gone, moved: { index, count: kept } };
}
function lowered({ call, pid, map }: Caller): TakenPages | undefined {
  const index = pageUp(call.arg(0));
  const heap = map.find(pid, index);
  return heap?.name === '[heap]' ? { gone: [{ index, count: heap.end - index }] } : undefined;
}
/** Every mapping of the segment that is where this attachment put it. */
function detached({ call, pid, map }: Caller): TakenPages | undefined {
  const index = Number(call.arg(0) / PAGE);
  const first = map.find(pid, index);
  if (!first?.name.startsWith('/SYSV')) return undefined;
  const gone = map
    .mappings(pid)
    .filter((line) => line.object === first.object && line.start - line.objectOffset === index)
    .map(({ start, end }) => ({ index: start, count: end - start }));
  return { gone };
}
function attachedOver({ call }: Caller): TakenPages | undefined {
  const [at, flags] = [call.arg(1), call.uint(2)];
  if ((flags & SHM_REMAP) === 0) return undefined;
  const place = (flags & SHM_RND) !== 0 ? at - (at % PAGE) : at;
  return taking(spanOf(place, sizeOfSegment(call.int(0))));
}
/** In bytes; 0 when there is none of this number. */
function sizeOfSegment(id: number): bigint {
  for (const line of textOf('/proc/sysvipc/shm').split('\n')) {
    const [, shmid, , size] = line.trim().split(/\s+/);
    if (Number(shmid) === id) return BigInt(size!);
  }
  return 0n;
}

/** Bytes of a file that go. */
interface Loss {
  /** A way to the file for ourselves. */
  readonly file: string;
  readonly from: bigint;
  /** Absent: up to the end of the file. */
  readonly to?: bigint;
}
const FROM_FILE: Readonly<Record<number, (call: Notification) => Loss | undefined>> = {
  [NR.ftruncate]: (call) => ({ file: fileAt(call), from: call.arg(1) }),
  [NR.truncate]: truncated,
  [NR.fallocate]: punched,
  [NR.open]: emptied,
  [NR.openat]: emptied,
  [NR.openat2]: emptied,
  [NR.creat]: emptied,
};

/** Undefined: no file loses pages. */
export function takenOfFile(call: Notification): TakenOfFile | undefined {
  const loss = FROM_FILE[call.nr]?.(call);
  const stat = loss && statOf(loss.file);
  if (!stat) return undefined;
  const index = pageUp(loss.from);
  const end = loss.to === undefined ? pageUp(stat.size) : Number(loss.to / PAGE);
  if (end <= index) return undefined;
  return { object: objectOf(stat), span: { index, count: end - index } };
}
function punched(call: Notification): Loss | undefined {
  if ((call.uint(1) & FALLOC_FL_PUNCH_HOLE) === 0) return undefined;
  return { file: fileAt(call), from: call.arg(2), to: call.arg(2) + call.arg(3) };
}
function truncated(call: Notification): Loss | undefined {
  const file = fileNamed(call, { dirFd: AT_FDCWD, pathAt: call.arg(0) });
  return file === undefined ? undefined : { file, from: call.arg(1) };
}
function emptied(call: Notification): Loss | undefined {
  const what = PATH_CALLS[call.nr]!(call, new RemoteMemory(call.tid));
  if (typeof what === 'number' || (what.flags & libc.O_TRUNC) === 0) return undefined;
  const file = fileNamed(call, what);
  return file === undefined ? undefined : { file, from: 0n };
}
function fileAt(call: Notification): string {
  return `/proc/${call.tid}/fd/${call.int(0)}`;
}
function fileNamed(
  call: Notification,
  { dirFd, pathAt }: Pick<PathCall, 'dirFd' | 'pathAt'>,
): string | undefined {
  const proc = `/proc/${call.tid}`;
  const path = new RemoteMemory(call.tid).readString(pathAt);
  if (typeof path !== 'string') return undefined;
  if (path.startsWith('/')) return `${proc}/root${path.replace(/^\/proc\/self\//, `${proc}/`)}`;
  return `${proc}/${dirFd === AT_FDCWD ? 'cwd' : `fd/${dirFd}`}/${path}`;
}
function pageUp(bytes: bigint): number {
  return Number((bytes + PAGE - 1n) / PAGE);
}
