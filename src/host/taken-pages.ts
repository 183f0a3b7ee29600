/**
 * What a system call takes away if it works: pages of its caller's address space, or of a file. A table by call number,
 * read without judging the call: what is wrong with it the host says, and then nothing has been taken.
 */
import * as libc from './libc.ts';
import { NR } from './libc.ts';
import type { Notification } from './listener.ts';
import type { MemoryMap } from './memory-map.ts';
import { objectOf, statOf } from './objects.ts';
import { AT_FDCWD, PATH_CALLS } from './path-calls.ts';
import { textOf } from './proc.ts';
import { RemoteMemory } from './remote-memory.ts';

/** Pages by index. */
export interface Span {
  readonly index: number;
  readonly count: number;
}
/** Of an address space. */
export interface TakenPages {
  readonly gone: readonly Span[];
  /** Shown elsewhere afterwards: the result of the call tells where. */
  readonly moved?: Span;
  /** The memory behind a shared mapping loses its pages too. */
  readonly removed?: boolean;
}
/** Of a file made shorter, or with a hole: pages that are zeroed in part stay the same pages. */
export interface TakenOfFile {
  readonly object: string;
  readonly span: Span;
}

export const PAGE = 4096n;
/** Of mmap. */
export const MAP_FIXED = 0x10;
export const MADV = {
  dontNeed: 4,
  free: 8,
  remove: 9,
  dontNeedLocked: 24,
  guardInstall: 102,
} as const;
/** Of shmat. */
export const SHM_REMAP = 0o40000;
/** struct uffdio_move of linux/userfaultfd.h: dst, src, len, mode, move. */
export const UFFDIO_MOVE = 0xc028aa05;
const SHM_RND = 0o20000;
const MREMAP_FIXED = 2;
const FALLOC_FL_PUNCH_HOLE = 2;
const ADVICE_THAT_TAKES: ReadonlySet<number> = new Set(Object.values(MADV));

interface Caller {
  readonly call: Notification;
  readonly pid: number;
  readonly map: MemoryMap;
}
const FROM_ADDRESS_SPACE: Readonly<Record<number, (caller: Caller) => TakenPages | undefined>> = {
  [NR.munmap]: ({ call }) => rangeOf(call.arg(0), call.arg(1)),
  [NR.mmap]: ({ call }) => rangeOf(call.arg(0), call.arg(1)),
  [NR.madvise]: ({ call }) => advised(call.arg(0), call.arg(1), call.uint(2)),
  [NR.mremap]: ({ call }) => moving(call),
  [NR.brk]: lowered,
  [NR.shmdt]: detached,
  [NR.shmat]: attachedOver,
};

export function takenPages(caller: Caller): TakenPages | undefined {
  return FROM_ADDRESS_SPACE[caller.call.nr]?.(caller);
}
/** Undefined: this advice leaves the pages where they are. */
export function advised(at: bigint, length: bigint, advice: number): TakenPages | undefined {
  const taken = ADVICE_THAT_TAKES.has(advice) ? rangeOf(at, length) : undefined;
  return taken && { ...taken, removed: advice === MADV.remove };
}

function rangeOf(at: bigint, length: bigint): TakenPages | undefined {
  if (at % PAGE !== 0n || length > 1n << 47n) return undefined; // it will fail
  return { gone: [{ index: Number(at / PAGE), count: pageUp(length) }] };
}
function moving(call: Notification): TakenPages | undefined {
  const whole = rangeOf(call.arg(0), call.arg(1))?.gone[0];
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
  return rangeOf((flags & SHM_RND) !== 0 ? at - (at % PAGE) : at, sizeOfSegment(call.int(0)));
}
/** In bytes; 0 when there is none of this number. */
function sizeOfSegment(id: number): bigint {
  for (const line of textOf('/proc/sysvipc/shm').split('\n')) {
    const [, shmid, , size] = line.trim().split(/\s+/);
    if (Number(shmid) === id) return BigInt(size!);
  }
  return 0n;
}

/** Undefined: no file loses pages. */
export function takenOfFile(call: Notification): TakenOfFile | undefined {
  const mem = new RemoteMemory(call.tid);
  const from = firstByteGone(call, mem);
  const path = from === undefined ? undefined : fileOf(call, mem);
  const stat = path === undefined ? undefined : statOf(path);
  if (from === undefined || !stat) return undefined;
  const index = pageUp(from);
  const end = call.nr === NR.fallocate ? Number((from + call.arg(3)) / PAGE) : pageUp(stat.size);
  if (end <= index) return undefined;
  return { object: objectOf(stat), span: { index, count: end - index } };
}
function firstByteGone(call: Notification, mem: RemoteMemory): bigint | undefined {
  if (call.nr === NR.ftruncate || call.nr === NR.truncate) return call.arg(1);
  if (call.nr === NR.fallocate) {
    return (call.uint(1) & FALLOC_FL_PUNCH_HOLE) !== 0 ? call.arg(2) : undefined;
  }
  const what = PATH_CALLS[call.nr]?.(call, mem);
  const empties = typeof what === 'object' && (what.flags & libc.O_TRUNC) !== 0;
  return empties ? 0n : undefined;
}
/** A way to it for ourselves; undefined when the call names none. */
function fileOf(call: Notification, mem: RemoteMemory): string | undefined {
  const proc = `/proc/${call.tid}`;
  if (call.nr === NR.ftruncate || call.nr === NR.fallocate) return `${proc}/fd/${call.int(0)}`;
  const named = PATH_CALLS[call.nr]?.(call, mem) ?? { dirFd: AT_FDCWD, pathAt: call.arg(0) };
  const path = typeof named === 'number' ? undefined : mem.readString(named.pathAt);
  if (typeof named === 'number' || typeof path !== 'string') return undefined;
  if (path.startsWith('/')) return `${proc}/root${path.replace(/^\/proc\/self\//, `${proc}/`)}`;
  return `${proc}/${named.dirFd === AT_FDCWD ? 'cwd' : `fd/${named.dirFd}`}/${path}`;
}
function pageUp(bytes: bigint): number {
  return Number((bytes + PAGE - 1n) / PAGE);
}
