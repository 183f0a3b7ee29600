/**
 * Pages of registers as memory of a program: laid over the mapping whose touches are calls, page for page. Plain ones have the
 * rights of the mapping. Shadow ones have none to store, nor can get one: their file is open for reading. So a store there is
 * a fault that comes to us (mmio/), which knows what the program has asked for.
 *
 * Each mapping is made through an open file description of its own, which tells when the last piece of it is gone; until
 * then the file of the device stays open, as a vma keeps it.
 */
import type { PageRange } from '../../base/bar-memory.ts';
import type { Mapping, OpenFile } from '../../base/file.ts';
import type { LentMemory } from '../process/lent-memory.ts';
import { HandedOver } from '../seccomp/handed-over.ts';
import { ours, type InjectedCall, mappedFile } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import { errnoReason } from '../sys/system-reason.ts';
import {
  MAP_FIXED,
  MAP_SHARED,
  NR,
  O_RDONLY,
  O_RDWR,
  PROT_READ_WRITE,
  PROT_READ,
} from '../sys/numbers.ts';
import type { CallContext } from './call-context.ts';

const PAGE = 4096;

/** A mapping of registers, some of whose pages are memory. */
export interface LendingMapping extends Extract<Mapping, { kind: 'mmio' }> {
  readonly file: OpenFile;
  readonly memory: LentMemory;
}

/** What a thread does when it has mapped the registers, with what is given to it for that. */
export interface Lay {
  readonly hands: readonly HandedOver[];
  /** Stores to some of it fault. */
  readonly shadows: boolean;
  /** Over the mapping at an address. */
  readonly lay: (address: number) => Generator<InjectedCall, void, number>;
}

/** Pages of the mapping that are memory. */
interface Piece {
  /** From its first byte. */
  readonly at: number;
  readonly length: number;
}
/** Those of the same rights. */
interface Pieces {
  readonly pieces: readonly Piece[];
  /** Of mmap(2). */
  readonly protection: number;
  /** Of open(2). */
  readonly access: number;
}
/** And the program's descriptor that they are mapped by. */
interface Given extends Pieces {
  readonly hand: HandedOver;
}

/** Lays memory over mappings of registers. */
export class LentMappings {
  readonly #context: CallContext;
  /** How many mappings of it there are. */
  readonly #mapped = new Map<LentMemory, number>();

  constructor(context: CallContext) {
    this.#context = context;
  }

  /**
   * What the thread does then; undefined: none of the pages is memory. Where the host has no descriptor for it, each touch is a
   * call. `isTraced`: by us, so that faults of stores come to us.
   */
  prepare(call: Notification, mapping: LendingMapping, isTraced: boolean): Lay | undefined {
    const parts = [plainOf(call, mapping), isTraced ? shadowOf(call, mapping) : undefined];
    const given = parts
      .filter((part) => part !== undefined)
      .map((part) => ({ ...part, hand: this.#hand(call, mapping, part.access) }));
    if (given.length === 0) return undefined;
    const sayNotGiven = (errno: number): void => this.#sayNotGiven(mapping, errno);
    return {
      hands: given.map(({ hand }) => hand),
      shadows: given.some(({ access }) => access === O_RDONLY),
      *lay(address) {
        for (const one of given) {
          if (one.hand.fd < 0) sayNotGiven(-one.hand.fd);
          else yield* layPieces(address, mapping.start, one);
        }
      },
    };
  }
  #hand(call: Notification, mapping: LendingMapping, access: number): HandedOver {
    const mark = this.#context.files.newMark();
    return new HandedOver(
      () => mapping.memory.open(mark, access),
      () => this.#watch(call, mapping, mark),
    );
  }
  #sayNotGiven({ window }: LendingMapping, errno: number): void {
    this.#context.sayOnce(
      `${window.name}: its memory could not be given to the program (${errnoReason(errno)}): each load and store is a call`,
    );
  }

  #watch(call: Notification, { file, memory, window }: LendingMapping, mark: number): void {
    const { files, machine, processes } = this.#context;
    const pid = processes.processOf(call.tid);
    file.get();
    this.#mapped.set(memory, (this.#mapped.get(memory) ?? 0) + 1);
    files.addLent(memory, window);
    const { fd, object } = memory.file!; // it was opened for this mapping
    files.watchMapping({
      fd,
      object,
      mark,
      closed: () => {
        this.#unmapped(memory);
        if (machine.syscalls.close(pid, file)) this.#context.warn(`${file.name}: not released`);
      },
    });
  }
  #unmapped(memory: LentMemory): void {
    const left = (this.#mapped.get(memory) ?? 1) - 1;
    if (left > 0) {
      this.#mapped.set(memory, left);
      return;
    }
    this.#mapped.delete(memory);
    this.#context.files.forgetLent(memory);
    memory.close();
  }
}

/** A thread has mapped the registers, the byte at `start` first. */
function* layPieces(
  address: number,
  start: number,
  { pieces, protection, hand }: Given,
): Generator<InjectedCall, void, number> {
  const file = mappedFile(hand.fd);
  for (const { at, length } of pieces) {
    const [to, from] = [address + at, start + at];
    yield* ours(NR.mmap, to, length, protection, MAP_SHARED | MAP_FIXED, file, from);
  }
}
/** With the rights of the mapping. Undefined: there are none. */
function plainOf(call: Notification, mapping: LendingMapping): Pieces | undefined {
  const pieces = piecesIn(mapping, mapping.window.lends?.plain);
  return pieces.length > 0 ? { pieces, protection: call.uint(2), access: O_RDWR } : undefined;
}
/** For loads, where the program may store too: what may be stored by nobody could not be told from it. */
function shadowOf(call: Notification, mapping: LendingMapping): Pieces | undefined {
  const { lends } = mapping.window;
  if (lends?.isHeard !== false || call.uint(2) !== PROT_READ_WRITE) return undefined;
  const pieces = piecesIn(mapping, lends.shadow);
  return pieces.length > 0 ? { pieces, protection: PROT_READ, access: O_RDONLY } : undefined;
}
function piecesIn(
  { start, length }: LendingMapping,
  ranges: readonly PageRange[] = [],
): readonly Piece[] {
  const end = start + Math.ceil(length / PAGE) * PAGE;
  return ranges.flatMap(({ offset, length: bytes }) => {
    const [from, to] = [Math.max(offset, start), Math.min(offset + bytes, end)];
    return from < to ? [{ at: from - start, length: to - from }] : [];
  });
}
