/**
 * Plain pages of registers as memory of a program: laid over the mapping whose touches are calls, page for page.
 *
 * Each mapping is made through an open file description of its own, which tells when the last piece of it is gone; until
 * then the file of the device stays open, as a vma keeps it.
 */
import type { Mapping, OpenFile } from '../../base/file.ts';
import type { LentMemory } from '../process/lent-memory.ts';
import { ours, type InjectedCall } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import { INJECTED_MMAP, MAP_FIXED, MAP_SHARED, NR } from '../sys/numbers.ts';
import type { CallContext } from './call-context.ts';
import { handOver } from './hand-over.ts';

const PAGE = 4096;

/** A mapping of registers, some of whose pages are plain. */
export interface LendingMapping extends Extract<Mapping, { kind: 'mmio' }> {
  readonly file: OpenFile;
  readonly memory: LentMemory;
}

/** What a thread does when it has mapped the registers: at an address, or minus an errno. */
export type Lay = (address: number) => Generator<InjectedCall, void, number>;

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
   * While its call waits: what the thread does then. Undefined: none of the pages is
   * plain, or the host has no descriptor for it, and then each touch is a call.
   */
  prepare(call: Notification, mapping: LendingMapping): Lay | undefined {
    const pieces = plainPieces(mapping);
    if (pieces.length === 0) return undefined;
    const { files, transport } = this.#context;
    const mark = files.newMark();
    const memory = mapping.memory.open(mark);
    const theirs = memory < 0 ? memory : handOver(transport, call, memory, true);
    if (theirs < 0) {
      this.#context.sayOnce(
        `${mapping.window.name}: its memory could not be given to the program (errno ${-theirs}): each load and store is a call`,
      );
      return undefined;
    }
    this.#watch(call, mapping, mark);
    const protection = call.uint(2);
    return function* (address) {
      const fd = (INJECTED_MMAP << 32n) | BigInt(theirs);
      for (const { at, length } of address < 0 ? [] : pieces) {
        const [to, from] = [address + at, mapping.start + at];
        yield* ours(NR.mmap, to, length, protection, MAP_SHARED | MAP_FIXED, fd, from);
      }
      yield* ours(NR.close, theirs);
    };
  }

  #watch(call: Notification, { file, memory, window }: LendingMapping, mark: number): void {
    const { files, machine, processes } = this.#context;
    const pid = processes.processOf(call.tid);
    file.get();
    this.#mapped.set(memory, (this.#mapped.get(memory) ?? 0) + 1);
    files.addLent(memory, window);
    const { fd } = memory.file!; // it was opened for this mapping
    files.watchMapping({
      ...{ fd, mark },
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

function plainPieces({ window, start, length }: LendingMapping): Piece[] {
  const end = start + Math.ceil(length / PAGE) * PAGE;
  return (window.lends?.plain ?? []).flatMap(({ offset, length: bytes }) => {
    const [from, to] = [Math.max(offset, start), Math.min(offset + bytes, end)];
    return from < to ? [{ at: from - start, length: to - from }] : [];
  });
}
