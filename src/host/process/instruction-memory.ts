/**
 * A program's memory as its instructions see it: pages of memory and pages of device registers, side by side.
 *
 * An operand may lie in both. As the processor does, every page of it is looked at before the first byte moves: what is
 * not mapped is the program's SIGSEGV, and no register has been touched then. An access of up to 8 bytes is one access to
 * the device as long as it stays in a page; at the end of a page it is cut, and its parts are powers of two.
 */
import { isErrno } from '../../base/errno.ts';
import type { MmioWindow } from '../../base/file.ts';
import type { Syscalls } from '../../machine/files/syscalls.ts';
import type { Vma } from '../../machine/memory/process-memory.ts';
import type { RemoteMemory } from './remote-memory.ts';
import { SIGBUS, SIGSEGV } from '../sys/numbers.ts';
import { SI_KERNEL } from '../sys/ptrace.ts';

/** si_code: nothing answers there. */
export const BUS_ADRERR = 2;
const SEGV_MAPERR = 1;
/** si_code: it is mapped, but not for that. */
export const SEGV_ACCERR = 2;
const PAGE = 4096n;

/** A signal that the program's instruction raises instead of being carried out. */
export interface InstructionFault {
  readonly signal: number;
  /** si_code */
  readonly code: number;
  /** si_addr */
  readonly address: bigint;
}
/** What is not aligned as it must be, or has bits that the processor does not know; it is raised before any page is looked at. */
export const GENERAL_PROTECTION: InstructionFault = {
  signal: SIGSEGV,
  code: SI_KERNEL,
  address: 0n,
};

/** Most accesses need no page of memory. */
const NO_BYTES = Buffer.alloc(0);
/** A word on its way, of one load or store at a time. */
const scratch = Buffer.alloc(8);

/** What an instruction needs of memory. Addresses are the program's; widths are 1 to 8 bytes, of a store also 64. */
export interface InstructionMemory {
  /** Is everything there and permitted? Asked once for an operand, before its first load or store. */
  check(address: bigint, length: number, writes: boolean): InstructionFault | undefined;
  load(address: bigint, width: number): bigint;
  store(address: bigint, width: number, value: bigint): void;
  /** The end of the instruction: what is stored is there for all to see. */
  flush(): void;
}

/** What it is made of. */
export interface StoppedMemoryParts {
  readonly pid: number;
  readonly syscalls: Pick<Syscalls, 'load' | 'store'>;
  readonly ram: Pick<RemoteMemory, 'isSlow' | 'read' | 'write'>;
  /** The mapping at a page. */
  mapping(page: number): Vma | undefined;
}
interface Page {
  readonly vma: Vma;
  readonly io?: { readonly window: MmioWindow; readonly offset: number };
}

/** For one instruction: mappings are looked up once. */
export class StoppedMemory implements InstructionMemory {
  readonly #parts: StoppedMemoryParts;
  readonly #pages = new Map<number, Page>();
  /** A page of memory that is being read, and its number. */
  readonly #ahead = { page: -1, bytes: NO_BYTES };
  /** Stores to memory, one after the other, that are one copy. */
  readonly #behind = { start: 0n, length: 0, bytes: NO_BYTES };

  /** `found`: a page that the processor has found permitted already. */
  constructor(parts: StoppedMemoryParts, found?: { readonly page: number; readonly vma: Vma }) {
    this.#parts = parts;
    if (found) this.#pages.set(found.page, pageOf(found.page, found.vma));
  }

  check(address: bigint, length: number, writes: boolean): InstructionFault | undefined {
    const last = Number((address + BigInt(length) - 1n) / PAGE);
    for (let page = Number(address / PAGE); page <= last; page++) {
      const start = BigInt(page) * PAGE;
      const fault = this.#checkPage(page, start > address ? start : address, writes);
      if (fault) return fault;
    }
    return undefined;
  }
  #checkPage(page: number, address: bigint, writes: boolean): InstructionFault | undefined {
    const known = this.#pages.get(page);
    const vma = known?.vma ?? this.#parts.mapping(page);
    if (!vma) return { signal: SIGSEGV, code: SEGV_MAPERR, address };
    const permitted = writes ? vma.writable : vma.readable;
    if (!permitted) return { signal: SIGSEGV, code: SEGV_ACCERR, address };
    if (known) return undefined;
    const dead = vma.io
      ? vma.io.window.accessible?.() === false
      : !this.#isReached(address, writes);
    if (dead) return { signal: SIGBUS, code: BUS_ADRERR, address };
    this.#pages.set(page, pageOf(page, vma));
    return undefined;
  }

  #isReached(address: bigint, writes: boolean): boolean {
    const { ram } = this.#parts;
    return !ram.isSlow(address, 1, writes) && !ram.read(address, scratch.subarray(0, 1));
  }

  load(address: bigint, width: number): bigint {
    if (crosses(address, width)) return this.#loadParts(address, width);
    const { io } = this.#page(address);
    if (!io) return this.#loadRam(address, width);
    const { pid, syscalls } = this.#parts;
    const value = syscalls.load(pid, io.window, io.offset + Number(address & 0xfffn), width);
    return isErrno(value) ? BigInt.asUintN(width * 8, -1n) : value;
  }
  #loadParts(address: bigint, width: number): bigint {
    let value = 0n;
    for (const [offset, part] of partsOf(address, width)) {
      value |= this.load(address + BigInt(offset), part) << BigInt(offset * 8);
    }
    return value;
  }
  store(address: bigint, width: number, value: bigint): void {
    if (crosses(address, width)) {
      for (const [offset, part] of partsOf(address, width)) {
        const bits = BigInt.asUintN(part * 8, value >> BigInt(offset * 8));
        this.store(address + BigInt(offset), part, bits);
      }
      return;
    }
    const { io } = this.#page(address);
    if (!io) {
      for (let n = 0; n < width; n += 8) {
        const word = BigInt.asUintN(64, value >> BigInt(8 * n));
        this.#storeRam(address + BigInt(n), Math.min(8, width), word);
      }
      return;
    }
    const { pid, syscalls } = this.#parts;
    void syscalls.store(pid, io.window, io.offset + Number(address & 0xfffn), width, value);
  }

  #loadRam(address: bigint, width: number): bigint {
    const ahead = this.#ahead;
    const page = Number(address / PAGE);
    if (ahead.page !== page) {
      this.flush();
      if (ahead.bytes.length === 0) ahead.bytes = Buffer.alloc(Number(PAGE));
      ahead.page = this.#parts.ram.read(BigInt(page) * PAGE, ahead.bytes) ? -1 : page;
    }
    scratch.fill(0);
    const at = Number(address & 0xfffn);
    ahead.bytes.copy(scratch, 0, at, at + width);
    return scratch.readBigUInt64LE();
  }
  #storeRam(address: bigint, width: number, value: bigint): void {
    const behind = this.#behind;
    if (behind.bytes.length === 0) behind.bytes = Buffer.alloc(Number(PAGE));
    const isNext = address === behind.start + BigInt(behind.length);
    if (!isNext || behind.length + width > behind.bytes.length) {
      this.flush();
      behind.start = address;
    }
    scratch.writeBigUInt64LE(value);
    scratch.copy(behind.bytes, behind.length, 0, width);
    behind.length += width;
    if (this.#ahead.page === Number(address / PAGE)) {
      scratch.copy(this.#ahead.bytes, Number(address & 0xfffn), 0, width);
    }
  }
  flush(): void {
    const { start, length, bytes } = this.#behind;
    if (length > 0) void this.#parts.ram.write(start, bytes.subarray(0, length));
    this.#behind.length = 0;
  }
  /** Looked at by check(); what no instruction has asked for is memory, and a failing copy then moves nothing. */
  #page(address: bigint): { io?: Page['io'] } {
    return this.#pages.get(Number(address / PAGE)) ?? {};
  }
}

function pageOf(page: number, vma: Vma): Page {
  if (!vma.io) return { vma };
  const offset = vma.io.offset + (page - vma.start) * 4096;
  return { vma, io: { window: vma.io.window, offset } };
}
function crosses(address: bigint, width: number): boolean {
  return (address & 0xfffn) + BigInt(width) > PAGE;
}
/** Offsets and widths: none crosses the end of a page. */
function* partsOf(address: bigint, width: number): Generator<readonly [number, number]> {
  const before = Number(PAGE - (address & 0xfffn));
  for (let offset = 0; offset < width;) {
    const left = offset < before ? before - offset : width - offset;
    const part = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    yield [offset, part];
    offset += part;
  }
}

/** What cannot be carried out is to the program what a touch of registers raises, whatever its fault was called. */
export function orBusError(
  outcome: 'done' | 'not ours' | InstructionFault,
  address: bigint,
): 'done' | InstructionFault {
  return outcome === 'not ours' ? { signal: SIGBUS, code: BUS_ADRERR, address } : outcome;
}
