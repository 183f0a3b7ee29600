/**
 * mmap of device registers: the host's kernel maps an empty file, each touch of which comes to us (mmio/).
 *
 * Where the program leaves the place to the kernel, it is one where the filter knows a buffer of a system call to be
 * registers (seccomp/register-addresses.ts).
 */
import type { Mapping, OpenFile } from '../../base/file.ts';
import type { CallContext } from './call-context.ts';
import { doorbellBytes, type Loan } from '../process/doorbell-loans.ts';
import { LentMappings, type Lay } from './lent-mappings.ts';
import { LentMemory } from '../process/lent-memory.ts';
import type { FileEntry } from '../process/open-files.ts';
import { HandedOver } from '../seccomp/handed-over.ts';
import { MAP_FIXED, MAP_FIXED_NOREPLACE, NR } from '../sys/numbers.ts';
import { nameOf, tracerOf } from '../sys/procfs.ts';
import { ours, type Handled, type InjectedCall, mappedFile } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import { isRegisterAddress, registerAddress } from '../seccomp/register-addresses.ts';

const PAGE = 4096;

type Registers = Extract<Mapping, { kind: 'mmio' }>;

/** Maps registers into programs. */
export class RegisterMappings {
  readonly #context: CallContext;
  readonly #lent: LentMappings;
  constructor(context: CallContext) {
    this.#context = context;
    this.#lent = new LentMappings(context);
  }

  map(call: Notification, entry: FileEntry, mapping: Registers): Handled {
    const { window, start, length } = mapping;
    const firstPage = Number(call.arg(5) / BigInt(PAGE));
    const endPage = firstPage + Math.ceil(length / PAGE);
    const pid = this.#context.processes.processOf(call.tid);
    // Before anything is done: it may have to be tried again.
    const isTraced = this.#context.traceProcess(pid, call.tid);
    this.#context.files.addWindow(entry, { firstPage, endPage, window, start });
    if (!isTraced) this.#lendProcess(pid, call.tid);
    this.#noteElsewhere(call, window.name);
    const isChosen = call.arg(0) !== 0n || (call.uint(3) & MAP_FIXED) !== 0;
    const place = isChosen ? undefined : this.#freePlace(call, pid, length);
    const doorbells = isTraced ? this.#doorbellsIn(pid, entry, mapping) : undefined;
    const lay = this.#lend(call, entry, mapping, isTraced);
    if (place === undefined && !doorbells && !lay) return 'continue';
    return this.#mapAt(call, pid, { place: place ?? call.arg(0), doorbells, lay });
  }
  /** For the report at the end: no filter knows of a buffer there, and the kernel finds nothing in it. */
  #noteElsewhere(call: Notification, name: string): void {
    const { machine, seesEveryRead } = this.#context;
    const isFixed = (call.uint(3) & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0;
    if (!isFixed || isRegisterAddress(call.arg(0)) || seesEveryRead === true) return;
    const at = `0x${call.arg(0).toString(16)}`;
    const text = `${name} is mapped at ${at} by the program itself: a read, write, send or recv of a buffer there is EFAULT, as are vectors and messages; --bar-buffers all answers them`;
    machine.env.trace.emit({ kind: 'warn', id: 'bar-buffers', text });
  }
  #lend(
    call: Notification,
    { file }: FileEntry,
    mapping: Registers,
    isTraced: boolean,
  ): Lay | undefined {
    const memory = mapping.window.lends?.memory;
    if (!(memory instanceof LentMemory)) return undefined;
    return this.#lent.prepare(call, { ...mapping, file, memory }, isTraced);
  }
  #lendProcess(pid: number, tid: number): void {
    this.#context.tracers.lend(tid);
    const rule = this.#context.tracers.isWithin(tid)
      ? 'each touch of its mapped registers is a SIGBUS, which that one is to pass on (gdb: handle SIGBUS nostop noprint pass)'
      : 'loads and stores of its mapped registers are SIGBUS, unless the tracer is a program of the run (softiommu run -- strace -f PROGRAM); pread and pwrite of the region work';
    this.#context.warn(`process ${pid} is traced by ${nameOf(tracerOf(tid))}: ${rule}`);
  }
  #freePlace({ tid }: Notification, pid: number, length: number): bigint | undefined {
    const { map, processes } = this.#context;
    const space = processes.space({ tid, pid });
    return space && registerAddress(BigInt(length), map.mappings(space));
  }
  /** Undefined: there are none in this part of the window, or they cannot be lent. */
  #doorbellsIn(
    pid: number,
    { file }: FileEntry,
    { window, start, length }: Registers,
  ): MappedDoorbells | undefined {
    const { files, loans } = this.#context;
    const { doorbells } = window;
    if (!doorbells) return undefined;
    const at = doorbells.start;
    const first = Math.max(at, start);
    const end = Math.min(at + doorbellBytes(doorbells), start + length);
    const loan = first < end ? loans.of(window) : undefined;
    if (!loan) return undefined;
    const mark = files.newMark();
    const hand = new HandedOver(
      () => loan.pages.reopen(mark),
      () => this.#mapped(pid, file, { loan, mark }),
    );
    const place = { behind: first - start, length: end - first, offset: first - at };
    return { hand, ...place };
  }
  /** A wish, which the kernel need not grant: another thread may be faster. Doorbells are laid over it. */
  #mapAt(call: Notification, pid: number, { place, doorbells, lay }: Placed): Handled {
    const fd = mappedFile(call.int(4));
    const args = [place, call.arg(1), call.arg(2), call.arg(3), fd, call.arg(5)];
    const context = this.#context;
    return {
      hands: [...(doorbells ? [doorbells.hand] : []), ...(lay?.hands ?? [])],
      *run(tid) {
        const result = yield* ours(NR.mmap, ...args);
        if (doorbells && result >= 0) yield* overlay(call, result, doorbells);
        if (lay && result >= 0) yield* lay.lay(result);
        // It has been stopped for this call: it is to stop once more for what was asked before.
        context.traceProcess(pid, tid, { storesFault: lay?.shadows === true });
        return result;
      },
      otherwise: () => 'continue',
    };
  }
  /** The mapping keeps our file open, as a vma does; where it has failed its end is seen at once. */
  #mapped(pid: number, file: OpenFile, { loan, mark }: { loan: Loan; mark: number }): void {
    const context = this.#context;
    const { files, loans, machine } = context;
    loan.mappings++;
    file.get();
    files.watchMapping({
      fd: loan.pages.fd,
      object: loan.pages.object,
      mark,
      closed: () => {
        loans.unmapped(loan);
        if (machine.syscalls.close(pid, file)) context.warn(`${file.name}: not released`);
      },
    });
  }
}

/** Where a mapping is to be, and what is in it. */
interface Placed {
  readonly place: bigint;
  readonly doorbells: MappedDoorbells | undefined;
  readonly lay: Lay | undefined;
}
/** Doorbells behind the beginning of a mapping of registers; `hand` of the program and `offset` are where their pages are. */
interface MappedDoorbells {
  readonly hand: HandedOver;
  readonly behind: number;
  readonly length: number;
  readonly offset: number;
}

function* overlay(
  call: Notification,
  at: number,
  { hand, behind, length, offset }: MappedDoorbells,
): Generator<InjectedCall, void, number> {
  if (hand.fd < 0) return;
  const flags = (call.uint(3) & ~MAP_FIXED_NOREPLACE) | MAP_FIXED;
  const file = mappedFile(hand.fd);
  yield* ours(NR.mmap, at + behind, length, call.arg(2), flags, file, offset);
}
