/**
 * Calls that take pages away from a program: munmap, mmap over a mapping, mremap, brk, madvise, ftruncate, fallocate, and
 * the ends of an address space, exec and exit.
 *
 * A device that has such a page pinned goes on using it (machine/leaving-pages.ts). The call is made by injection, so
 * that its result is known: only when it has worked are the pinned pages parted from what the program sees.
 */
import type { LeavingPages } from '../machine/leaving-pages.ts';
import type { MachineMm } from '../machine/mm.ts';
import type { CallContext } from './call-context.ts';
import { INJECTED_CALL, INJECTED_MMAP } from './filter.ts';
import { NR } from './libc.ts';
import type { Answer, Notification } from './listener.ts';
import { objectOf, statOf } from './objects.ts';
import type { OtherHolders } from './other-holders.ts';
import { namesIn } from './proc.ts';

const PAGE = 4096n;
const MAP_FIXED = 0x10;
const MADV_REMOVE = 9;
const MREMAP_FIXED = 2;
const FALLOC_FL_PUNCH_HOLE = 2;
const ARGUMENTS = [0, 1, 2, 3, 4, 5];

/** Pages by index. */
interface Span {
  readonly index: number;
  readonly count: number;
}
/** What a call does to pinned pages if it works; the result of mremap is where they are now, if that is known. */
type Effect = (result: number | undefined) => void;

export const MAPPING_CALLS: ReadonlySet<number> = new Set([
  NR.munmap,
  NR.mremap,
  NR.brk,
  NR.madvise,
  NR.ftruncate,
  NR.fallocate,
  NR.execve,
  NR.execveat,
  NR.exit,
  NR.exit_group,
]);

export function replacesMapping(call: Notification): boolean {
  return call.nr === NR.mmap && (call.uint(3) & MAP_FIXED) !== 0;
}

export class MappingTraps {
  readonly #context: CallContext;
  readonly #others: OtherHolders;
  /** Threads that are in an exec, with the address space they had. */
  readonly #executing = new Map<number, MachineMm>();

  constructor(context: CallContext, others: OtherHolders) {
    this.#context = context;
    this.#others = others;
  }

  /** Before every call: a thread that is heard of again with its old address space has not become another program. */
  returned(tid: number): void {
    const mm = this.#executing.get(tid);
    if (!mm) return;
    this.#executing.delete(tid);
    if (mm.alive) mm.dropReserve();
  }

  /** `go` answers the call as if nothing were pinned. */
  handle(call: Notification, go: () => Answer): Answer {
    const { machine, processes } = this.#context;
    if (machine.memory.pinTotal === 0) return go();
    const pid = processes.processOf(call.tid);
    const mm = processes.peek(pid);
    if (ENDS.has(call.nr)) {
      if (mm) this.#ending(call, pid, mm);
      return go();
    }
    const effect = this.#effect(call, pid, mm);
    return effect ? this.#carryOut(call, go, effect) : go();
  }

  #carryOut(call: Notification, go: () => Answer, effect: Effect): Answer {
    const answer = go();
    if (answer !== 'continue') {
      if (typeof answer !== 'string' && answer >= 0) effect(Number(answer));
      return answer;
    }
    const thread = this.#context.inject(call);
    if (typeof thread === 'number') {
      // The call goes on by itself.
      this.#context.warn(
        `thread ${call.tid} is traced by a debugger: pinned pages are parted from it as if its call had worked`,
      );
      effect(undefined);
      return 'continue';
    }
    const args = ARGUMENTS.map((n) => call.arg(n));
    if (call.nr === NR.mmap) args[4] = (INJECTED_MMAP << 32n) | (args[4]! & 0xffff_ffffn);
    else args[5] = INJECTED_CALL << 32n;
    const result = thread.run(call.nr, ...args);
    const failed = call.nr === NR.brk ? BigInt(result) !== call.arg(0) : result < 0;
    if (!failed) effect(result);
    return result;
  }

  /** Undefined: no pinned page is concerned. */
  #effect(call: Notification, pid: number, mm: MachineMm | undefined): Effect | undefined {
    if (call.nr === NR.ftruncate || call.nr === NR.fallocate) {
      return whenGone(this.#leavingFile(call));
    }
    const change = this.#change(call, pid);
    if (!change) return undefined;
    const leaving: (LeavingPages | undefined)[] = [];
    for (const span of change.gone) {
      leaving.push(mm?.leaving(span.index, span.count));
      if (call.nr === NR.madvise && call.uint(2) !== MADV_REMOVE) continue;
      leaving.push(...this.#others.lastMappings(pid, span, call.nr === NR.madvise));
    }
    const { moved } = change;
    const moves = moved && mm?.shows(moved.index, moved.count) === true;
    const gone = whenGone(...leaving);
    if (!gone && !moves) return undefined;
    return (result) => {
      gone?.(result);
      if (!moves) return;
      if (result === undefined) mm.leaving(moved.index, moved.count)?.gone();
      else mm.move(moved.index, moved.count, Math.floor(result / Number(PAGE)));
    };
  }

  /** What a call takes away or moves in the address space of its caller. */
  #change(call: Notification, pid: number): { gone: Span[]; moved?: Span } | undefined {
    const [address, length] = [call.arg(0), call.arg(1)];
    if (call.nr === NR.brk) {
      const heap = this.#context.map.find(pid, pageUp(address));
      const index = pageUp(address);
      return heap?.name === '[heap]' ? { gone: [{ index, count: heap.end - index }] } : undefined;
    }
    if (address % PAGE !== 0n || length > 1n << 47n) return undefined; // it will fail
    const index = Number(address / PAGE);
    const count = pageUp(length);
    if (call.nr !== NR.mremap) return { gone: [{ index, count }] };
    const kept = Math.min(count, pageUp(call.arg(2)));
    const gone = [{ index: index + kept, count: count - kept }];
    if ((call.uint(3) & MREMAP_FIXED) !== 0) {
      gone.push({ index: pageUp(call.arg(4)), count: pageUp(call.arg(2)) });
    }
    return { gone, moved: { index, count: kept } };
  }

  /** A memfd made shorter, or a hole punched: pages that are zeroed in part stay the same pages. */
  #leavingFile(call: Notification): LeavingPages | undefined {
    const punch = call.nr === NR.fallocate;
    if (punch && (call.uint(1) & FALLOC_FL_PUNCH_HOLE) === 0) return undefined;
    const stat = statOf(`/proc/${call.tid}/fd/${call.int(0)}`);
    if (!stat) return undefined;
    const from = call.arg(punch ? 2 : 1);
    const index = pageUp(from);
    const end = punch ? Number((from + call.arg(3)) / PAGE) : pageUp(stat.size);
    if (end <= index) return undefined;
    return this.#context.machine.objectLeaving(objectOf(stat), { index, count: end - index });
  }

  #ending(call: Notification, pid: number, mm: MachineMm): void {
    if (!mm.alive || (call.nr === NR.exit && namesIn(`/proc/${pid}/task`).length > 1)) return;
    const exits = call.nr === NR.exit_group || call.nr === NR.exit;
    if (mm.hasPins && (!exits || this.#others.existBeside(pid))) {
      mm.keepForEnd();
      if (!exits) this.#executing.set(call.tid, mm);
    }
    const everything = { index: 0, count: Infinity };
    if (exits) for (const page of this.#others.lastMappings(pid, everything, false)) page.gone();
  }
}

const ENDS: ReadonlySet<number> = new Set([NR.execve, NR.execveat, NR.exit, NR.exit_group]);

function whenGone(...leaving: readonly (LeavingPages | undefined)[]): Effect | undefined {
  const pages = leaving.filter((one) => one !== undefined);
  return pages.length === 0 ? undefined : () => pages.forEach((one) => one.gone());
}

function pageUp(bytes: bigint): number {
  return Number((bytes + PAGE - 1n) / PAGE);
}
