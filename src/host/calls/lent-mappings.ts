/**
 * Plain pages of registers as memory of a program: laid over the mapping whose touches are calls, page for page.
 *
 * Each mapping is made through an open file description of its own, which tells when the last piece of it is gone; until
 * then the file of the device stays open, as a vma keeps it.
 */
import type { Mapping, OpenFile } from '../../base/file.ts';
import type { LentMemory } from '../process/lent-memory.ts';
import { HandedOver } from '../seccomp/handed-over.ts';
import { ours, type Script } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import { errnoReason } from '../sys/system-reason.ts';
import { INJECTED_MMAP, MAP_FIXED, MAP_SHARED, NR } from '../sys/numbers.ts';
import type { CallContext } from './call-context.ts';

const PAGE = 4096;

/** A mapping of registers, some of whose pages are plain. */
export interface LendingMapping extends Extract<Mapping, { kind: 'mmio' }> {
  readonly file: OpenFile;
  readonly memory: LentMemory;
}

/** What a thread does when it has mapped the registers, with what is given to it for that. */
export interface Lay {
  readonly hand: HandedOver;
  /** At an address, or minus an errno. */
  readonly lay: (address: number) => Script<number>;
}

/** Pages of the mapping that are memory. */
interface Piece {
  /** From its first byte. */
  readonly at: number;
  readonly length: number;
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
   * What the thread does then; undefined: none of the pages is plain. Where the host has no descriptor for it, each touch is a
   * call.
   */
  prepare(call: Notification, mapping: LendingMapping): Lay | undefined {
    const pieces = plainPieces(mapping);
    if (pieces.length === 0) return undefined;
    const mark = this.#context.files.newMark();
    const hand = new HandedOver(
      () => mapping.memory.open(mark),
      () => this.#watch(call, mapping, mark),
    );
    const lay = (address: number): Script<number> => {
      const isGiven = hand.fd >= 0;
      if (!isGiven) this.#sayNotGiven(mapping, -hand.fd);
      const how = { address, protection: call.uint(2) };
      return layPieces({ mapping, hand }, how, isGiven ? pieces : []);
    };
    return { hand, lay };
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
      ...{ fd, object, mark },
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

function* layPieces(
  { mapping, hand }: { mapping: LendingMapping; hand: HandedOver },
  { address, protection }: { address: number; protection: number },
  pieces: readonly Piece[],
): Script<number> {
  const fd = (INJECTED_MMAP << 32n) | BigInt(hand.fd);
  for (const { at, length } of address < 0 ? [] : pieces) {
    const [to, from] = [address + at, mapping.start + at];
    yield* ours(NR.mmap, to, length, protection, MAP_SHARED | MAP_FIXED, fd, from);
  }
  return address;
}
function plainPieces({ window, start, length }: LendingMapping): Piece[] {
  const end = start + Math.ceil(length / PAGE) * PAGE;
  return (window.lends?.plain ?? []).flatMap(({ offset, length: bytes }) => {
    const [from, to] = [Math.max(offset, start), Math.min(offset + bytes, end)];
    return from < to ? [{ at: from - start, length: to - from }] : [];
  });
}
