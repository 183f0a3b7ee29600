/**
 * mmap of device registers: the host's kernel maps an empty file, each touch of which comes to us (mmio/).
 *
 * Where the program leaves the place to the kernel, it is one where the filter knows a buffer of a system call to be
 * registers (seccomp/register-addresses.ts).
 */
import type { Mapping } from '../../base/file.ts';
import type { CallContext } from './call-context.ts';
import type { FileEntry } from '../process/open-files.ts';
import { INJECTED_MMAP, MAP_FIXED, NR } from '../sys/numbers.ts';
import { nameOf, tracerOf } from '../sys/procfs.ts';
import { ours, type Handled } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import { registerAddress } from '../seccomp/register-addresses.ts';

const PAGE = 4096;

type Registers = Extract<Mapping, { kind: 'mmio' }>;

/** Maps registers into programs. */
export class RegisterMappings {
  readonly #context: CallContext;
  constructor(context: CallContext) {
    this.#context = context;
  }

  map(call: Notification, entry: FileEntry, { window, start, length }: Registers): Handled {
    const firstPage = Number(call.arg(5) / BigInt(PAGE));
    const endPage = firstPage + Math.ceil(length / PAGE);
    this.#context.files.addWindow(entry, { firstPage, endPage, window, start });
    const pid = this.#context.processes.processOf(call.tid);
    if (!this.#context.traceProcess(pid, call.tid)) this.#lend(pid, call.tid);
    const isChosen = call.arg(0) !== 0n || (call.uint(3) & MAP_FIXED) !== 0;
    const place = isChosen ? undefined : this.#freePlace(call, pid, length);
    return place === undefined ? 'continue' : this.#mapAt(call, pid, place);
  }
  #lend(pid: number, tid: number): void {
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
  /** A wish, which the kernel need not grant: another thread may be faster. */
  #mapAt(call: Notification, pid: number, place: bigint): Handled {
    const fd = (INJECTED_MMAP << 32n) | BigInt(call.uint(4));
    const args = [place, call.arg(1), call.arg(2), call.arg(3), fd, call.arg(5)];
    const context = this.#context;
    return {
      *run(tid) {
        const result = yield* ours(NR.mmap, ...args);
        // It has been stopped for this call: it is to stop once more for what was asked before.
        context.traceProcess(pid, tid);
        return result;
      },
      otherwise: () => 'continue',
    };
  }
}
