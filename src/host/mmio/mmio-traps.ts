/**
 * Loads and stores to mapped registers: SIGBUS, a ptrace stop, decode, emulate, go on.
 *
 * A process is seized when it maps registers, all threads at once, and its children with it. At exit and exec it is let
 * go again, so that its real parent sees it end.
 */
import type { Vma } from '../../machine/memory/process-memory.ts';
import type { Machine } from '../../machine/machine.ts';
import type { MemoryMap } from '../process/memory-map.ts';
import type { OpenFiles } from '../process/open-files.ts';
import type { Processes } from '../process/processes.ts';
import * as libc from '../sys/libc.ts';
import { queryMapping } from '../sys/map-query.ts';
import { emulate } from './mmio-emulate.ts';
import { ProgramMemory } from './instruction-memory.ts';
import { decodeAccess } from './mmio-decode.ts';
import type { Access } from './mmio-decode.ts';
import * as ptrace from '../sys/ptrace.ts';
import { interruptOn } from '../sys/ffi.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import { O_CLOEXEC, SIGBUS, SIGCHLD, SIGTRAP } from '../sys/numbers.ts';

const EVENT_EXEC = 4;
const EVENT_EXIT = 6;
const EVENT_STOP = 128;
const LONGEST_INSTRUCTION = 15;
const MAX_DECODED = 4096;

/** What serving an access needs of the rest. */
export interface MmioParts {
  readonly machine: Pick<Machine, 'syscalls'>;
  readonly processes: Pick<Processes, 'processOf'>;
  readonly map: Pick<MemoryMap, 'find'>;
  readonly files: Pick<OpenFiles, 'windowOf'>;
  /** A line for the user of softiommu. */
  warn(text: string): void;
}

/** The backend of register accesses that needs nothing but ptrace. */
export class MmioTraps {
  readonly #parts: MmioParts;
  readonly #traced = new Set<number>();
  readonly #processes = new Map<number, number>();
  /** /proc/PID/maps of traced processes. */
  readonly #mapsFds = new Map<number, number>();
  readonly #decoded = new Map<string, Access>();
  readonly #regs = Buffer.alloc(ptrace.REGS_SIZE);

  constructor(parts: MmioParts) {
    this.#parts = parts;
  }
  get active(): boolean {
    return this.#traced.size > 0;
  }
  isTraced(tid: number): boolean {
    return this.#traced.has(tid);
  }

  trace(pid: number): boolean {
    if (!this.active) interruptOn(SIGCHLD);
    return ptrace.seizeProcess(pid, this.#traced) === 0;
  }
  onExit(tid: number): void {
    this.#forget(tid);
  }

  onStop(tid: number, status: number): void {
    this.#traced.add(tid); // a new thread or child reports itself by its first stop
    const signal = (status >> 8) & 0xff;
    const event = status >>> 16;
    if (event === EVENT_EXIT || event === EVENT_EXEC) {
      this.#forget(tid);
      ptrace.detach(tid);
    } else if (event === EVENT_STOP && signal !== SIGTRAP) ptrace.listen(tid);
    else if (event !== 0) ptrace.resume(tid);
    else if (signal === SIGBUS) ptrace.resume(tid, this.#access(tid));
    else ptrace.resume(tid, signal);
  }

  /**
   * The signal to go on with. SIGBUS: not an access to our registers, or none we can carry out; it is the one the access
   * raised, so that its siginfo says BUS_ADRERR and the address.
   */
  #access(tid: number): number {
    const address = ptrace.faultAddress(tid);
    const pid = this.#processOf(tid);
    const page = Number(address >> 12n);
    const vma = this.#mapping(pid, page);
    if (!vma?.io || vma.io.window.accessible?.() === false) return SIGBUS;
    ptrace.getRegs(tid, this.#regs);
    const access = this.#decode(tid, this.#regs.readBigUInt64LE(ptrace.REGS.rip));
    if (!access) return SIGBUS;
    const { syscalls } = this.#parts.machine;
    const mapping = (index: number): Vma | undefined => this.#mapping(pid, index);
    const parts = { pid, syscalls, ram: new RemoteMemory(tid), mapping };
    const outcome = emulate(access, {
      regs: this.#regs,
      memory: new ProgramMemory(parts, page, vma),
      vectors: {
        get: (into) => ptrace.getVectorState(tid, into),
        set: (from) => ptrace.setVectorState(tid, from),
      },
    });
    if (outcome === 'unknown') {
      const where = `0x${address.toString(16)} (${vma.io.window.name})`;
      this.#parts.warn(`cannot carry out ${access.text} at ${where} in process ${pid}`);
      return SIGBUS;
    }
    ptrace.setRegs(tid, this.#regs);
    if (outcome === 'done') return 0;
    ptrace.setFault(tid, outcome.signal, outcome.code, outcome.address);
    return outcome.signal;
  }

  /** A thread stays in its process, and we are told of its end. */
  #processOf(tid: number): number {
    let pid = this.#processes.get(tid);
    if (pid === undefined) {
      pid = this.#parts.processes.processOf(tid);
      this.#processes.set(tid, pid);
    }
    return pid;
  }

  /** Asked afresh at each access, through a descriptor that is kept: exec, which replaces what it shows, is reported to us. */
  #mapping(pid: number, page: number): Vma | undefined {
    let fd = this.#mapsFds.get(pid);
    if (fd === undefined) {
      fd = libc.open(`/proc/${pid}/maps`, O_CLOEXEC);
      this.#mapsFds.set(pid, fd);
    }
    const line = fd < 0 ? 'unknown' : queryMapping(fd, page);
    if (line === 'none') return undefined;
    if (line === 'unknown') return this.#parts.map.find(pid, page);
    const io = this.#parts.files.windowOf(line.name, line.objectOffset);
    return io ? { ...line, io } : line;
  }

  #forget(tid: number): void {
    this.#traced.delete(tid);
    this.#processes.delete(tid);
    const fd = this.#mapsFds.get(tid);
    this.#mapsFds.delete(tid);
    if (fd !== undefined && fd >= 0) libc.close(fd);
  }

  /** By its bytes, so that code that changes is decoded again. */
  #decode(tid: number, rip: bigint): Access | undefined {
    const code = Buffer.alloc(LONGEST_INSTRUCTION);
    const length = new RemoteMemory(tid).readSome(rip, code);
    const bytes = code.subarray(0, length);
    const key = bytes.toString('latin1');
    const known = this.#decoded.get(key);
    if (known) return known;
    const access = decodeAccess(bytes);
    if (access && this.#decoded.size < MAX_DECODED) this.#decoded.set(key, access);
    if (!access) {
      const what = bytes.length > 0 ? bytes.toString('hex') : 'an instruction in device registers';
      this.#parts.warn(`cannot carry out ${what} at 0x${rip.toString(16)}`);
    }
    return access;
  }
}
