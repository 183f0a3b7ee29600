/**
 * What a system call removes if it works: pages of its caller's address space, or of a file. One function a call, named in
 * the call table; each reads without judging: what is wrong with a call the host says, and then nothing has been removed.
 */
import { MADV, MAP_FIXED, SHM_REMAP } from '../sys/numbers.ts';
import type { Span } from '../sys/map-query.ts';
import type { Notification } from '../seccomp/notification.ts';
import type { MappedSpace, MemoryMap } from '../process/memory-map.ts';
import { lookAt, objectOf, type DescriptorLink } from '../sys/look.ts';
import { textOf } from '../sys/procfs.ts';

/** Pages that go from the caller's address space. */
export interface RemovedPages {
  readonly gone: readonly Span[];
  /** Shown elsewhere afterwards: the result of the call tells where. */
  readonly moved?: Span;
  /** What becomes of the memory behind a shared mapping, if more or less than that it is unmapped. */
  readonly shared?: 'kept' | 'removed';
}
/** Pages that go from a file, made shorter or with a hole: those that are zeroed in part stay the same pages. */
export interface RemovedFromFile {
  readonly object: string;
  readonly span: Span;
}

/** Bytes. */
export const PAGE = 4096n;
const SHM_RND = 0o20000;
const MREMAP_FIXED = 2;
const FALLOC_FL_PUNCH_HOLE = 2;

/** Who makes the call, and where its memory is mapped. */
export interface MappedCaller {
  readonly call: Notification;
  readonly map: MemoryMap;
  /** Its address space; undefined: we may not look. */
  readonly space: () => MappedSpace | undefined;
}
/** Undefined: nothing goes. */
export type Removal = (caller: MappedCaller) => RemovedPages | RemovedFromFile | undefined;

/** madvise() with an advice that the filter traps. */
export function advisedRange({ call }: MappedCaller): RemovedPages | undefined {
  return advised(call.arg(0), call.arg(1), call.uint(2));
}
/** One range of such an advice. */
export function advised(at: bigint, length: bigint, advice: number): RemovedPages | undefined {
  return removing(spanOf(at, length), advice === MADV.remove ? 'removed' : 'kept');
}
/** Undefined: a call on these addresses will fail. */
export function spanOf(at: bigint, length: bigint): Span | undefined {
  if (at % PAGE !== 0n || length > 1n << 47n) return undefined;
  return { index: Number(at / PAGE), count: pageUp(length) };
}
function removing(span: Span | undefined, shared?: 'kept' | 'removed'): RemovedPages | undefined {
  return span && { gone: [span], ...(shared && { shared }) };
}

/** munmap() */
export function unmapped({ call }: MappedCaller): RemovedPages | undefined {
  return removing(spanOf(call.arg(0), call.arg(1)));
}
/** mmap(): with MAP_FIXED in the place of what is there. */
export function mappedOver(caller: MappedCaller): RemovedPages | undefined {
  return (caller.call.uint(3) & MAP_FIXED) === 0 ? undefined : unmapped(caller);
}
/** mremap() */
export function remapped({ call }: MappedCaller): RemovedPages | undefined {
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
/** brk() */
export function lowered({ call, map, space }: MappedCaller): RemovedPages | undefined {
  const index = pageUp(call.arg(0));
  const own = space();
  const heap = own && map.find(own, index);
  return heap?.name === '[heap]' ? { gone: [{ index, count: heap.end - index }] } : undefined;
}
/** shmdt(): every mapping of the segment that is where this attachment put it. */
export function detached({ call, map, space }: MappedCaller): RemovedPages | undefined {
  const index = Number(call.arg(0) / PAGE);
  const own = space();
  const first = own && map.find(own, index);
  if (!first?.name.startsWith('/SYSV')) return undefined;
  const gone = map
    .mappings(own!)
    .filter((line) => line.object === first.object && line.start - line.objectOffset === index)
    .map(({ start, end }) => ({ index: start, count: end - start }));
  return { gone };
}
/** shmat() with SHM_REMAP. */
export function attachedOver({ call }: MappedCaller): RemovedPages | undefined {
  const [at, flags] = [call.arg(1), call.uint(2)];
  if ((flags & SHM_REMAP) === 0) return undefined;
  const place = (flags & SHM_RND) !== 0 ? at - (at % PAGE) : at;
  return removing(spanOf(place, sizeOfSegment(call.int(0))));
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
export interface Loss {
  /** A way to the file for ourselves. */
  readonly file: DescriptorLink;
  readonly from: bigint;
  /** Absent: up to the end of the file. */
  readonly to?: bigint;
}
/** A file loses the pages that lie in a loss as a whole. Undefined: there are none. */
export function lostFrom({ file, from, to }: Loss): RemovedFromFile | undefined {
  const stat = lookAt(file);
  if (!stat) return undefined;
  const index = pageUp(from);
  const end = to === undefined ? pageUp(stat.size) : Number(to / PAGE);
  return end <= index ? undefined : { object: objectOf(stat), span: { index, count: end - index } };
}
function fromFile(loss: (call: Notification) => Loss | undefined): Removal {
  return ({ call }) => {
    const lost = loss(call);
    return lost && lostFrom(lost);
  };
}

/** ftruncate() */
export const shortened = fromFile((call) => ({ file: fileAt(call), from: call.arg(1) }));
/** fallocate() */
export const punched = fromFile((call) => {
  if ((call.uint(1) & FALLOC_FL_PUNCH_HOLE) === 0) return undefined;
  return { file: fileAt(call), from: call.arg(2), to: call.arg(2) + call.arg(3) };
});
function fileAt(call: Notification): DescriptorLink {
  return `/proc/${call.tid}/fd/${call.int(0)}`;
}
/** Pages that so many bytes begin. */
export function pageUp(bytes: bigint): number {
  return Number((bytes + PAGE - 1n) / PAGE);
}
