/**
 * An access of a stopped thread to mapped registers: what it has touched, the instruction that did, and what comes of it. Whose
 * tracer the thread has, and what its signals mean, is nothing to it.
 */
import type { MmioWindow } from '../../base/file.ts';
import type { Machine } from '../../machine/machine.ts';
import type { Vma } from '../../machine/memory/process-memory.ts';
import type { DoorbellLoans } from '../process/doorbell-loans.ts';
import {
  orBusError,
  SEGV_ACCERR,
  StoppedMemory,
  type InstructionFault,
} from '../process/instruction-memory.ts';
import type { MappedRegisters } from '../process/mapped-registers.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import { SIGSEGV } from '../sys/numbers.ts';
import { REGS, type SignalCause } from '../sys/ptrace.ts';
import type { MapsLine } from '../sys/map-query.ts';
import { KnownInstructions } from './known-instructions.ts';
import { emulate } from './mmio-emulate.ts';
import type { FoundStop } from './next-stop.ts';
import type { VectorState } from './stopped.ts';

/** What an access needs of the rest. */
export interface AccessParts {
  readonly machine: Pick<Machine, 'syscalls'>;
  readonly registers: Pick<MappedRegisters, 'mapping'>;
  readonly loans: Pick<DoorbellLoans, 'beforeAccess' | 'afterAccess'>;
  /** A line for the user of softiommu. */
  warn(text: string): void;
}

/** Somebody asks where in its program an access is, and is told whose it is until it is over. */
export interface AccessSites {
  accessing(thread: {
    readonly tid: number;
    readonly pid: number;
    readonly place: { readonly pc: number; readonly sp: number };
  }): Disposable;
}

/** A thread that has stopped at an access, whoever traces it. */
export interface AccessingThread {
  readonly tid: number;
  readonly pid: number;
  readonly regs: Buffer;
  readonly vectors: VectorState;
  /** What is known of it beyond its registers. */
  readonly found?: FoundStop | undefined;
}

/** Registers that an instruction has touched; `isStore`: where the program has the right to store, for all it knows. */
export interface Touch {
  readonly address: bigint;
  readonly page: number;
  /** What is mapped there: `window`. */
  readonly line: MapsLine;
  readonly window: MmioWindow;
  readonly isStore: boolean;
}
/** What comes of one. */
export type AccessOutcome = 'done' | 'not ours' | InstructionFault;

/** Accesses of all threads. */
export class RegisterAccesses {
  /** Those of all programs. */
  readonly instructions: KnownInstructions;
  readonly #parts: AccessParts;
  readonly #sites: AccessSites | undefined;

  constructor(parts: AccessParts, sites: AccessSites | undefined) {
    this.#parts = parts;
    this.#sites = sites;
    this.instructions = new KnownInstructions((text) => parts.warn(text));
  }

  /** What a signal is about. Undefined: an access to registers has not raised it. */
  touched(
    { tid, pid, found }: Pick<AccessingThread, 'tid' | 'pid' | 'found'>,
    signal: number,
    { code, address }: SignalCause,
  ): Touch | undefined {
    const isStore = signal === SIGSEGV;
    if (isStore ? code !== SEGV_ACCERR : code <= 0) return undefined;
    const page = Number(address >> 12n);
    const line = this.#parts.registers.mapping({ tid, pid }, page, found?.mapping);
    if (!line?.io || (isStore && !line.io.storesFault)) return undefined;
    return { address, page, line, window: line.io.window, isStore };
  }

  /**
   * What it does to the thread's registers is in `regs` then. Not ours: not an access to our registers, or none we can carry out;
   * the program's SIGBUS is the one the access raised, so that its siginfo says BUS_ADRERR and the address.
   */
  carryOut(thread: AccessingThread, touch: Touch | undefined): AccessOutcome {
    if (!touch) return 'not ours';
    const outcome = this.#access(thread, touch);
    return touch.isStore ? orBusError(outcome, touch.address) : outcome;
  }
  #access(thread: AccessingThread, { address, page, line, window }: Touch): AccessOutcome {
    if (window.accessible?.() === false) return 'not ours';
    const { found, pid, regs, tid, vectors } = thread;
    const rip = regs.readBigUInt64LE(REGS.rip);
    if (rip === address && !line.executable) return { signal: SIGSEGV, code: SEGV_ACCERR, address };
    const access = this.instructions.at(tid, rip, { code: found?.code });
    if (!access) return 'not ours';
    const { loans, machine, registers } = this.#parts;
    const { syscalls } = machine;
    const mapping = (index: number): Vma | undefined => registers.mapping({ tid, pid }, index);
    loans.beforeAccess(window);
    const ram = new RemoteMemory(tid, { isStopped: true });
    const parts = { pid, syscalls, ram, mapping };
    using _accessing = this.#sites?.accessing({ tid, pid, place: placeIn(regs) });
    const memory = new StoppedMemory(parts, { page, vma: line });
    const outcome = emulate(access, { regs, vectors, memory });
    if (outcome === 'unknown') {
      const where = `0x${address.toString(16)} (${window.name})`;
      this.#parts.warn(`cannot carry out ${access.text} at ${where} in process ${pid}`);
      return 'not ours';
    }
    loans.afterAccess(line, pid);
    return outcome;
  }
}

function placeIn(regs: Buffer): { readonly pc: number; readonly sp: number } {
  const number = (at: number): number => Number(regs.readBigUInt64LE(at));
  return { pc: number(REGS.rip), sp: number(REGS.rsp) };
}
