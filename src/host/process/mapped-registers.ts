/**
 * Device registers in the address spaces of programs: what is mapped at a page, and a program's memory with its registers.
 *
 * The kernel's copies of a system call's buffer reach registers as they reach memory. What is behind a mapping of ours is an
 * empty file, so copies in the name of a program end there: its registers are loaded and stored instead, in pieces of 8
 * bytes and what is left of them.
 */
import type { Syscalls } from '../../machine/files/syscalls.ts';
import type { Vma } from '../../machine/memory/process-memory.ts';
import type { MapsFile, MapsLine } from '../sys/map-query.ts';
import type { AddressSpace } from './address-space.ts';
import type { DoorbellLoans } from './doorbell-loans.ts';
import { StoppedMemory } from './instruction-memory.ts';
import type { MemoryMap } from './memory-map.ts';
import type { OpenFiles } from './open-files.ts';
import { RemoteMemory, type Beyond } from './remote-memory.ts';

const PAGE = 4096;

/** A thread, and the process it is of. */
interface Caller {
  readonly tid: number;
  readonly pid: number;
}
/** What it is made of. */
export interface RegisterParts {
  readonly machine: { readonly syscalls: Pick<Syscalls, 'load' | 'store'> };
  readonly processes: { space(caller: Caller): AddressSpace | undefined };
  readonly map: Pick<MemoryMap, 'find'>;
  readonly files: Pick<OpenFiles, 'hasRegisters' | 'isMemory' | 'windowOf'>;
  readonly loans: Pick<DoorbellLoans, 'windowOf'>;
}
/** What has been found in an address space. */
export interface FoundMapping {
  readonly maps: MapsFile;
  readonly line: MapsLine;
}
/** Part of a buffer. */
export interface RegisterPart {
  /** The first byte of registers. */
  readonly addr: bigint;
  readonly line: MapsLine;
}

/** What programs have mapped of devices. */
export class MappedRegisters {
  readonly #parts: RegisterParts;
  constructor(parts: RegisterParts) {
    this.#parts = parts;
  }

  /** What is mapped at a page, asked afresh, or as it was found a moment ago in the address space that the caller has now. */
  mapping(caller: Caller, page: number, found?: FoundMapping): MapsLine | undefined {
    const { files, loans } = this.#parts;
    const line = this.#lineAt(caller, page, found);
    if (!line) return undefined;
    const io: Vma['io'] = files.windowOf(line) ?? loans.windowOf(line);
    if (!io) return line;
    // What stores fault at is mapped for loads only; the program has asked for both.
    if (io.storesFault === true && line.readable) return { ...line, io, writable: true };
    // A copy that replaces what it has copied takes microseconds, which every access to registers would pay.
    return { ...line, io };
  }

  #lineAt(caller: Caller, page: number, found?: FoundMapping): MapsLine | undefined {
    const { map, processes } = this.#parts;
    const space = processes.space(caller);
    if (!space) return undefined;
    if (found?.maps === space.maps) return found.line;
    const line = space.maps.query(page);
    if (line === 'none') return undefined;
    return line === 'unknown' ? map.find(space, page) : line;
  }

  /** By which the mappings of a caller are asked for; undefined: we may not look. */
  mapsOf(caller: Caller): MapsFile | undefined {
    return this.#parts.processes.space(caller)?.maps;
  }

  /** The first registers among the bytes of a buffer. */
  partOf(caller: Caller, addr: bigint, length: number): RegisterPart | undefined {
    if (!this.#parts.files.hasRegisters || length === 0) return undefined;
    const end = addr + BigInt(length);
    for (let at = addr; at < end;) {
      const line = this.mapping(caller, pageOf(at));
      if (!line) return undefined;
      if (line.io && !this.#parts.files.isMemory(line)) return { addr: at, line };
      at = BigInt(line.end) * BigInt(PAGE);
    }
    return undefined;
  }
  /** Of a buffer from its start, the bytes that are there and permitted. */
  reachable(caller: Caller, addr: bigint, length: number, writes: boolean): number {
    const fault = this.#memory(caller).check(addr, length, writes);
    return fault ? Number(fault.address - addr) : length;
  }

  /** The memory of a thread, registers among it. */
  memoryOf(caller: Caller): RemoteMemory {
    const beyond: Beyond = {
      read: (addr, into) => this.#copy(caller, addr, into, false),
      write: (addr, from) => this.#copy(caller, addr, from, true),
    };
    return new RemoteMemory(caller.tid, { beyond });
  }
  #copy(caller: Caller, addr: bigint, bytes: Uint8Array, writes: boolean): boolean {
    if (!this.partOf(caller, addr, bytes.length)) return false;
    const memory = this.#memory(caller);
    if (memory.check(addr, bytes.length, writes)) return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length;) {
      const width = widthOf(bytes.length - at);
      const place = addr + BigInt(at);
      if (writes) memory.store(place, width, get(view, at, width));
      else set(view, at, width, memory.load(place, width));
      at += width;
    }
    memory.flush();
    return true;
  }
  #memory(caller: Caller): StoppedMemory {
    const { syscalls } = this.#parts.machine;
    const mapping = (page: number): MapsLine | undefined => this.mapping(caller, page);
    const ram = new RemoteMemory(caller.tid);
    return new StoppedMemory({ pid: caller.pid, syscalls, ram, mapping });
  }
}

function pageOf(addr: bigint): number {
  return Number(addr >> 12n);
}
function widthOf(left: number): 1 | 2 | 4 | 8 {
  if (left >= 8) return 8;
  if (left >= 4) return 4;
  return left >= 2 ? 2 : 1;
}
function get(view: DataView, at: number, width: 1 | 2 | 4 | 8): bigint {
  if (width === 8) return view.getBigUint64(at, true);
  if (width === 4) return BigInt(view.getUint32(at, true));
  return BigInt(width === 2 ? view.getUint16(at, true) : view.getUint8(at));
}
function set(view: DataView, at: number, width: 1 | 2 | 4 | 8, value: bigint): void {
  if (width === 8) view.setBigUint64(at, value, true);
  else if (width === 4) view.setUint32(at, Number(value), true);
  else if (width === 2) view.setUint16(at, Number(value), true);
  else view.setUint8(at, Number(value));
}
