/**
 * Reads, writes, sends and receives whose buffer is device registers: the caller makes the call with memory in their place,
 * which is filled from the registers before a write, and stored to them after a read.
 *
 * What the call waits for and what it returns are its own. A write has loaded all its registers when it begins.
 */
import type { CallContext } from './call-context.ts';
import type { Caller } from '../process/processes.ts';
import { copy } from '../process/remote-memory.ts';
import { HOST_ERRNO, MAP_ANONYMOUS, MAP_PRIVATE, NR, PROT_READ_WRITE } from '../sys/numbers.ts';
import { nameOf } from '../sys/procfs.ts';
import type { Notification } from '../seccomp/notification.ts';
import { NO_FILE, ours, own, poke, type Handled, type Script } from '../seccomp/in-thread.ts';
import { loadParts, MOST_BYTES, storeParts, writeVector, type Part } from './register-parts.ts';
import { IOVEC_SIZE, type TransferPlan } from './transfers.ts';

const ARGUMENTS = [0, 1, 2, 3, 4, 5];
const PAGE = 4096;

/** The buffers of a call as it is made. */
interface Layout {
  readonly parts: readonly Part[];
  /** Of all memory that stands for registers. */
  readonly length: number;
}

interface Making {
  readonly plan: TransferPlan;
  readonly layout: Layout;
  readonly isVector: boolean;
}
/** What stands for the registers: its address in the program, and its bytes. */
interface Room {
  readonly base: bigint;
  readonly bytes: Buffer;
}

/** Answers calls on files of the host's. */
export class RegisterBuffers {
  readonly #context: CallContext;
  constructor(context: CallContext) {
    this.#context = context;
  }

  /** 'continue': none of its buffers is registers. */
  answer(call: Notification, plan: TransferPlan, isVector: boolean): Handled {
    const caller = { tid: call.tid, pid: this.#context.processes.processOf(call.tid) };
    const layout = this.#layoutOf(caller, plan);
    if (!layout) return 'continue';
    return {
      run: () => this.#run(call, caller, { plan, layout, isVector }),
      otherwise: () => {
        this.#context.sayOnce(
          `${nameOf(caller.pid)} is traced by a debugger: a system call whose buffer is ${this.#placeOf(caller, plan)} is EFAULT`,
        );
        return 'continue';
      },
    };
  }
  #placeOf(caller: Caller, plan: TransferPlan): string {
    const { registers } = this.#context;
    for (const { addr, length } of plan.buffers) {
      const part = registers.partOf(caller, addr, length);
      if (part) return `0x${part.addr.toString(16)} (${part.line.io!.window.name})`;
    }
    return 'registers';
  }

  /** Buffers up to the first byte that cannot be reached. Undefined: nothing for us. */
  #layoutOf(caller: Caller, plan: TransferPlan): Layout | undefined {
    const { registers } = this.#context;
    const parts: Part[] = [];
    let used = 0;
    for (const { addr, length } of plan.buffers) {
      if (!registers.partOf(caller, addr, length)) {
        parts.push({ addr, length });
        continue;
      }
      const wanted = Math.min(length, MOST_BYTES - used);
      const reached = registers.reachable(caller, addr, wanted, !plan.write);
      if (reached > 0) parts.push({ addr, length: reached, at: used });
      used += reached;
      if (reached < length) break;
    }
    return used === 0 ? undefined : { parts, length: used };
  }

  *#run(call: Notification, caller: Caller, how: Making): Script<number> {
    const { layout, isVector } = how;
    const length = layout.length + (isVector ? layout.parts.length * IOVEC_SIZE : 0);
    const size = Math.ceil(length / PAGE) * PAGE;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const room = yield* ours(NR.mmap, 0, size, PROT_READ_WRITE, flags, NO_FILE, 0);
    if (room < 0) return room;
    const bytes = Buffer.alloc(length);
    const result = yield* this.#make(call, caller, { ...how, base: BigInt(room), bytes });
    yield* ours(NR.munmap, room, size);
    return result;
  }
  *#make(
    call: Notification,
    caller: Caller,
    { base, bytes, isVector, layout, plan }: Making & Room,
  ): Script<number> {
    const memory = this.#context.registers.memoryOf(caller);
    if (isVector) writeVector(bytes.subarray(layout.length), layout.parts, base);
    if (plan.write && !loadParts(memory, layout.parts, bytes)) return -HOST_ERRNO.EFAULT;
    if (!poke(call.tid, base, bytes)) return -HOST_ERRNO.EFAULT;
    const args = ARGUMENTS.map((n) => call.arg(n));
    args[1] = isVector ? base + BigInt(layout.length) : base;
    args[2] = BigInt(isVector ? layout.parts.length : layout.length);
    const result = yield* own(call.nr, args);
    if (plan.write || result <= 0) return result;
    const isThere = copy(NR.process_vm_readv, call.tid, base, bytes) === bytes.length;
    const { parts } = layout;
    return isThere && storeParts(memory, parts, bytes, result) ? result : -HOST_ERRNO.EFAULT;
  }
}
