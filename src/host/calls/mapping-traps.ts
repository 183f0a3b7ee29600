/**
 * Calls that take pages away from a program: munmap, mmap over a mapping, mremap, brk, madvise, shmdt, files made shorter,
 * and the ends of an address space, exec and exit.
 *
 * A device that has such a page pinned goes on using it (machine/memory/pin-copies.ts). The call is made by injection, so
 * that its result is known: only when it has worked are the pinned pages parted from what the program sees.
 */
import { removePinned, type PinnedRemoval } from '../../machine/memory/pin-copies.ts';
import type { CallerSites } from '../stacks/host-call-sites.ts';
import type { MachineMm } from '../../machine/memory/mm.ts';
import type { CallContext } from './call-context.ts';
import {
  HOST_ERRNO,
  INJECTED_CALL,
  MADV,
  NR,
  O_NOFOLLOW,
  O_PATH,
  O_TRUNC,
} from '../sys/numbers.ts';
import { readlink } from '../sys/libc.ts';
import type { DescriptorLink } from '../sys/look.ts';
import type { DecodePath, PathCall } from './path-calls.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import { own, ours, type Handled, type InThread, mappedFile } from '../seccomp/in-thread.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { trappedName } from '../seccomp/trapped.ts';
import type { ReverseMap } from '../process/reverse-map.ts';
import { hasEnded, threadsOf } from '../sys/procfs.ts';
import type { AddressSpace } from '../process/address-space.ts';
import {
  advised,
  advisedRange,
  lostFrom,
  PAGE,
  spanOf,
  type Removal,
  type RemovedPages,
} from './removed-pages.ts';
import type { Span } from '../sys/map-query.ts';
import { IOVEC_SIZE, iovecsAt } from './transfers.ts';

const ARGUMENTS = [0, 1, 2, 3, 4, 5];
/** What /proc/PID/fd shows of one. */
const USERFAULTFD = 'anon_inode:[userfaultfd]';

/** What a call does to pinned pages if it works; the result of mremap is where they are now, if that is known. */
type Effect = (result: number | undefined) => void;

interface Caller {
  readonly call: Notification;
  readonly pid: number;
  readonly mm: MachineMm | undefined;
  /** The processes that have it. */
  readonly users: ReadonlySet<number>;
  readonly space: () => AddressSpace | undefined;
}

/** Calls after which a program no longer sees a page that a device has pinned. */
export class MappingTraps {
  readonly #context: CallContext;
  readonly #reverseMap: ReverseMap;
  readonly #sites: CallerSites | undefined;
  /** Threads that are in an exec, with the address space they had. */
  readonly #executing = new Map<number, MachineMm>();

  /** `sites`: somebody asks where in its program a call is that takes pages away. */
  constructor(context: CallContext, reverseMap: ReverseMap, sites?: CallerSites) {
    this.#context = context;
    this.#reverseMap = reverseMap;
    this.#sites = sites;
  }

  /** Before every call: a thread that is heard of again with its old address space has not become another program. */
  returned(tid: number): void {
    const mm = this.#executing.get(tid);
    if (!mm) return;
    this.#executing.delete(tid);
    if (mm.alive) mm.dropReserve();
  }

  /** A call that removes pages; `go` answers it as if no device had pinned any. */
  removing(call: Notification, removal: Removal, go: () => Handled): Handled {
    const caller = this.#callerWithPins(call);
    const effect = caller && this.#effect(caller, removal);
    return effect ? this.#carryOut(call, go, effect) : go();
  }

  /**
   * A call that empties or shortens the file at a path. Which one that is only the caller can find, with its own rights: it
   * opens it without touching it, before it makes the call.
   */
  removingFromNamed(call: Notification, decode: DecodePath, go: () => Handled): Handled {
    const answer = go();
    if (!this.#callerWithPins(call)) return answer;
    if (answer !== 'continue' && typeof answer !== 'object') return answer;
    const what = decode(call, new RemoteMemory(call.tid));
    if (typeof what === 'number' || !empties(what)) return answer;
    const real = answer === 'continue' ? asItStands(call) : answer;
    const effectOn = (file: DescriptorLink): Effect | undefined =>
      this.#effectOnFile(call, what, file);
    return {
      ...real,
      *run(tid) {
        const named = [what.dirFd, what.pathAt, O_PATH | (what.follow ? 0 : O_NOFOLLOW)];
        const fd = yield* own(NR.openat, named);
        const effect = fd < 0 ? undefined : effectOn(`/proc/${tid}/fd/${fd}`);
        if (fd >= 0) yield* ours(NR.close, fd);
        const result = yield* real.run(tid);
        if (result >= 0) effect?.(Number(result));
        return result;
      },
    };
  }
  #effectOnFile(call: Notification, what: PathCall, file: DescriptorLink): Effect | undefined {
    const link = readlink(file);
    if (typeof link === 'number' || this.#context.isMounted(link)) return undefined;
    if (this.#context.isOfOurMount(file)) return undefined;
    const from = what.kind === 'truncate' ? call.arg(1) : 0n;
    const removed = lostFrom({ file, from });
    return (
      removed &&
      this.#whenDone(call, this.#context.machine.objectRemoval(removed.object, removed.span))
    );
  }
  /** Where the call is in its program is seen now: when it is done its thread may be elsewhere. */
  #whenDone(
    call: Notification,
    ...removals: readonly (PinnedRemoval | undefined)[]
  ): Effect | undefined {
    const pages = removals.filter((one) => one !== undefined);
    if (pages.length === 0) return undefined;
    const { machine, processes } = this.#context;
    const pid = processes.processOf(call.tid);
    const site = this.#sites?.of({ tid: call.tid, pid });
    return () => {
      using _site = site && this.#sites?.standing(site);
      removePinned(machine.env.trace, pages, { by: trappedName(call.nr) ?? '', pid });
    };
  }

  madvise(call: Notification): Handled {
    const caller = this.#callerWithPins(call);
    if (!caller) return 'continue';
    // Linux leaves a pinned page where it is: that is all this advice could do.
    if (call.uint(2) === MADV.free) {
      return showsPinned(caller.mm, spanOf(call.arg(0), call.arg(1))) ? 0 : 'continue';
    }
    return this.removing(call, advisedRange, () => 'continue');
  }

  /** Undefined: nothing is pinned in the whole machine. */
  #callerWithPins(call: Notification): Caller | undefined {
    const { machine, processes } = this.#context;
    if (machine.memory.pinTotal === 0) return undefined;
    const pid = processes.processOf(call.tid);
    const caller = { tid: call.tid, pid };
    const space = (): AddressSpace | undefined => processes.space(caller);
    return { call, pid, mm: processes.peek(caller), users: processes.users(caller), space };
  }

  #carryOut(call: Notification, go: () => Handled, effect: Effect): Handled {
    const answer = go();
    if (typeof answer === 'object') return followed(answer, effect);
    if (answer !== 'continue') {
      if (typeof answer !== 'string' && answer >= 0) effect(Number(answer));
      return answer;
    }
    const args = ARGUMENTS.map((n) => call.arg(n));
    if (call.nr === NR.mmap) args[4] = mappedFile(Number(args[4]! & 0xffff_ffffn));
    else args[5] = INJECTED_CALL << 32n;
    return {
      *run() {
        const result = yield* own(call.nr, args);
        const failed = call.nr === NR.brk ? BigInt(result) !== call.arg(0) : result < 0;
        if (!failed || isPartial(call.nr, result)) effect(result);
        return result;
      },
      otherwise: this.#withoutThread(call, effect),
    };
  }
  /** A debugger has the thread, the call goes on by itself, and is taken to have worked. */
  #withoutThread(call: Notification, effect: Effect): InThread['otherwise'] {
    return () => {
      this.#context.warn(
        `thread ${call.tid} is traced by a debugger: pinned pages are parted from it as if its call had worked`,
      );
      effect(undefined);
      return 'continue';
    };
  }

  /**
   * UFFDIO_MOVE of a pinned page is EBUSY; the struct says so too, where it would say how far it came. Undefined: none is
   * moved.
   */
  userfaultMove(call: Notification): Answer | undefined {
    const caller = this.#callerWithPins(call);
    if (!caller) return undefined;
    const { mm } = caller;
    const { processes } = this.#context;
    if (processes.descriptorLink(call.tid, call.int(0)) !== USERFAULTFD) return undefined;
    const { mem } = processes.task(call);
    const move = Buffer.alloc(40);
    if (mem.read(call.arg(2), move)) return undefined;
    const [from, length] = [move.readBigUInt64LE(8), move.readBigUInt64LE(16)];
    if (!mm?.shows(Number(from / PAGE), Number(length / PAGE))) return undefined;
    move.writeBigInt64LE(BigInt(-HOST_ERRNO.EBUSY), 32);
    return mem.write(call.arg(2), move) ? -HOST_ERRNO.EFAULT : -HOST_ERRNO.EBUSY;
  }
  /** Undefined: no pinned page is concerned. */
  #effect(caller: Caller, removal: Removal): Effect | undefined {
    const { machine, map } = this.#context;
    const removed = removal({ ...caller, map });
    if (removed && 'object' in removed) {
      return this.#whenDone(caller.call, machine.objectRemoval(removed.object, removed.span));
    }
    return removed && this.#effectOn(caller, removed);
  }
  #effectOn(caller: Caller, removed: RemovedPages): Effect | undefined {
    const { mm } = caller;
    const removals: (PinnedRemoval | undefined)[] = [];
    const { gone, moved, shared } = removed;
    for (const span of gone) {
      removals.push(mm?.removal(span.index, span.count));
      if (shared === 'kept') continue;
      removals.push(...this.#reverseMap.lastMappings({ ...caller, span }, shared === 'removed'));
    }
    const moves = moved && mm?.shows(moved.index, moved.count) === true;
    const parted = this.#whenDone(caller.call, ...removals);
    if (!parted && !moves) return undefined;
    return (result) => {
      parted?.(result);
      if (!moves) return;
      if (result === undefined) mm.removal(moved.index, moved.count)?.done();
      else mm.move(moved.index, moved.count, Math.floor(result / Number(PAGE)));
    };
  }

  /** process_madvise, range after range: how far it comes is not known before. */
  processMadvise(call: Notification): Handled {
    const caller = this.#callerWithPins(call);
    if (!caller) return 'continue';
    const { mem } = this.#context.processes.task(call);
    const ranges = iovecsAt(() => mem, call.arg(1), call.arg(2));
    if (typeof ranges === 'number') return 'continue'; // it will fail
    if (call.uint(3) === MADV.free) {
      const stays = ranges.some(({ addr, bytes }) => showsPinned(caller.mm, spanOf(addr, bytes)));
      return stays ? ranges.reduce((sum, { bytes }) => sum + bytes, 0n) : 'continue';
    }
    const effects = ranges.map(({ addr, bytes }) => {
      const removed = advised(addr, bytes, call.uint(3));
      return removed && this.#effectOn(caller, removed);
    });
    if (effects.every((effect) => effect === undefined)) return 'continue';
    return this.#adviseEach(call, effects);
  }
  #adviseEach(call: Notification, effects: readonly (Effect | undefined)[]): InThread {
    return {
      *run() {
        let advisedBytes = 0;
        for (const [n, effect] of effects.entries()) {
          const one = [call.arg(0), call.arg(1) + BigInt(n * IOVEC_SIZE), 1n, call.arg(3)];
          const result = yield* ours(call.nr, ...one, call.arg(4));
          if (result >= 0 || isPartial(call.nr, result)) effect?.(result);
          if (result < 0) return advisedBytes > 0 ? advisedBytes : result;
          advisedBytes += result;
        }
        return advisedBytes;
      },
      otherwise: this.#withoutThread(call, () => effects.forEach((effect) => effect?.(undefined))),
    };
  }

  /** exec: the address space goes, if it works and nobody else has it. */
  executing(call: Notification): void {
    const { mm, users } = this.#callerWithPins(call) ?? {};
    if (!mm?.alive || !mm.hasPins || users!.size > 1) return;
    mm.keepForEnd();
    this.#executing.set(call.tid, mm);
  }
  /** The address space goes with its last thread. */
  exiting(call: Notification): void {
    const caller = this.#callerWithPins(call);
    if (!caller?.mm?.alive || caller.users.size > 1 || threadGoesOn(call, caller.pid)) return;
    const { mm, pid } = caller;
    if (mm.hasPins && this.#reverseMap.isFileOpenElsewhere(pid)) mm.keepForEnd();
    const everything = { ...caller, span: { index: 0, count: Infinity } };
    for (const page of this.#reverseMap.lastMappings(everything, false)) page.done();
  }
}

/** Does the process have other threads that an exit() leaves? */
function threadGoesOn(call: Notification, pid: number): boolean {
  return call.nr === NR.exit && threadsOf(pid).some((tid) => tid !== call.tid && !hasEnded(tid));
}
/** An advice on a range with a hole in it has been taken where there was something. */
function isPartial(nr: number, result: number): boolean {
  return (nr === NR.madvise || nr === NR.process_madvise) && result === -HOST_ERRNO.ENOMEM;
}
function showsPinned(mm: MachineMm | undefined, span: Span | undefined): boolean {
  return span !== undefined && mm?.shows(span.index, span.count) === true;
}

function empties({ kind, flags }: PathCall): boolean {
  return kind === 'truncate' || (flags & O_TRUNC) !== 0;
}
/** The call as the program made it. */
function asItStands(call: Notification): InThread {
  return {
    run: () =>
      own(
        call.nr,
        ARGUMENTS.slice(0, 5).map((n) => call.arg(n)),
      ),
    otherwise: () => 'continue',
  };
}

/** What the thread does, and then the effect. */
function followed(todo: InThread, effect: Effect): InThread {
  return {
    ...todo,
    *run(tid) {
      const result = yield* todo.run(tid);
      if (result >= 0) effect(Number(result));
      return result;
    },
  };
}
