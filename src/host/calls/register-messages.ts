/**
 * Messages whose vectors lead to device registers: sendmsg, recvmsg and those that take several messages. The caller makes the
 * call with headers, vectors and memory of ours in the place of its own.
 *
 * A message is whole: where a register of it cannot be reached nothing is moved (EFAULT), and where it has more registers than
 * one call moves it is too long (EMSGSIZE).
 */
import type { CallContext } from './call-context.ts';
import type { Caller } from '../process/processes.ts';
import { copy } from '../process/remote-memory.ts';
import { HOST_ERRNO, MAP_ANONYMOUS, MAP_PRIVATE, NR, PROT_READ_WRITE } from '../sys/numbers.ts';
import { nameOf } from '../sys/procfs.ts';
import type { Notification } from '../seccomp/notification.ts';
import { NO_FILE, ours, own, poke, type Handled, type Script } from '../seccomp/in-thread.ts';
import { loadParts, MOST_BYTES, storeParts, writeVector, type Part } from './register-parts.ts';
import { IOVEC_SIZE, iovecsAt } from './transfers.ts';

/** How one of the calls passes its messages. */
export interface MessageSpelling {
  readonly write: boolean;
  /** An array of struct mmsghdr: the result is how many of them, each with its own length. */
  readonly several: boolean;
}
/** By the name of the call. */
export const MESSAGES = {
  recvmsg: { write: false, several: false },
  sendmsg: { write: true, several: false },
  recvmmsg: { write: false, several: true },
  sendmmsg: { write: true, several: true },
} satisfies Readonly<Record<string, MessageSpelling>>;

const ARGUMENTS = [0, 1, 2, 3, 4, 5];
const PAGE = 4096;
/** UIO_MAXIOV: of more messages the kernel takes the first ones. */
const MOST_MESSAGES = 1024;
/** struct msghdr. */
const HEADER = { vector: 16, count: 24, size: 56 } as const;
/** What a call writes in it: msg_namelen, and from msg_controllen to msg_flags. */
const RETURNED = [
  { from: 8, to: 12 },
  { from: 40, to: 52 },
] as const;
/** struct mmsghdr: a struct msghdr, and msg_len behind it. */
const LENGTH_AT = HEADER.size;
const SEVERAL_SIZE = 64;

interface Message {
  readonly header: Buffer;
  readonly parts: readonly Part[];
}
/** The messages of a call as it is made: the registers' bytes, then all vectors, then all headers. */
interface Layout {
  readonly messages: readonly Message[];
  /** Bytes of memory that stand for registers. */
  readonly length: number;
  /** Bytes of one header, and the program's first. */
  readonly stride: number;
  readonly at: bigint;
}

/** Answers calls on sockets. */
export class RegisterMessages {
  readonly #context: CallContext;
  constructor(context: CallContext) {
    this.#context = context;
  }

  /** 'continue': no buffer of a message is registers, or it will fail. */
  answer(call: Notification, spelling: MessageSpelling): Handled {
    const caller = { tid: call.tid, pid: this.#context.processes.processOf(call.tid) };
    const layout = this.#layoutOf(call, caller, spelling);
    if (typeof layout === 'number') return layout;
    if (!layout) return 'continue';
    return {
      run: () => this.#run(call, caller, { layout, spelling }),
      otherwise: () => {
        this.#context.sayOnce(
          `${nameOf(caller.pid)} is traced by a debugger: messages that are registers are EFAULT`,
        );
        return 'continue';
      },
    };
  }

  #layoutOf(
    call: Notification,
    caller: Caller,
    { write, several }: MessageSpelling,
  ): Layout | number | undefined {
    const memory = this.#context.registers.memoryOf(caller);
    const stride = several ? SEVERAL_SIZE : HEADER.size;
    const count = several ? Math.min(call.uint(2), MOST_MESSAGES) : 1;
    const headers = Buffer.alloc(count * stride);
    const there = Math.floor(memory.readSome(call.arg(1), headers) / stride);
    const messages: Message[] = [];
    const room = { used: 0, isTooLong: false, isFault: false };
    for (let n = 0; n < there; n++) {
      const header = headers.subarray(n * stride, (n + 1) * stride);
      const vectors = iovecsAt(
        () => memory,
        header.readBigUInt64LE(HEADER.vector),
        header.readBigUInt64LE(HEADER.count),
      );
      // The kernel comes to it last: what is before is moved.
      if (typeof vectors === 'number') break;
      const parts = vectors.map(({ addr, bytes }) =>
        this.#partOf(caller, { addr, length: Number(bytes) }, room, !write),
      );
      messages.push({ header, parts });
    }
    if (room.isFault) return -HOST_ERRNO.EFAULT;
    if (room.isTooLong) return -HOST_ERRNO.EMSGSIZE;
    if (room.used === 0) return undefined;
    return { messages, length: room.used, stride, at: call.arg(1) };
  }
  #partOf(
    caller: Caller,
    { addr, length }: Part,
    room: { used: number; isTooLong: boolean; isFault: boolean },
    writes: boolean,
  ): Part {
    const { registers } = this.#context;
    if (length >= Number.MAX_SAFE_INTEGER || !registers.partOf(caller, addr, length)) {
      return { addr, length };
    }
    const at = room.used;
    room.isTooLong ||= at + length > MOST_BYTES;
    if (room.isTooLong) return { addr, length };
    room.isFault ||= registers.reachable(caller, addr, length, writes) < length;
    room.used += length;
    return { addr, length, at };
  }

  *#run(
    call: Notification,
    caller: Caller,
    how: { readonly layout: Layout; readonly spelling: MessageSpelling },
  ): Script<number> {
    const { length, messages, stride } = how.layout;
    const vectors = messages.reduce((sum, { parts }) => sum + parts.length * IOVEC_SIZE, 0);
    const bytes = Buffer.alloc(aligned(length) + vectors + messages.length * stride);
    const size = Math.ceil(bytes.length / PAGE) * PAGE;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const room = yield* ours(NR.mmap, 0, size, PROT_READ_WRITE, flags, NO_FILE, 0);
    if (room < 0) return room;
    const place = { base: BigInt(room), bytes, headersAt: aligned(length) + vectors };
    const result = yield* this.#make(call, caller, { ...how, ...place });
    yield* ours(NR.munmap, room, size);
    return result;
  }
  *#make(call: Notification, caller: Caller, how: Making): Script<number> {
    const { base, bytes, headersAt, layout, spelling } = how;
    const memory = this.#context.registers.memoryOf(caller);
    if (spelling.write) {
      const loaded = layout.messages.every(({ parts }) => loadParts(memory, parts, bytes));
      if (!loaded) return -HOST_ERRNO.EFAULT;
    }
    writeHeaders(how);
    if (!poke(call.tid, base, bytes)) return -HOST_ERRNO.EFAULT;
    const args = ARGUMENTS.map((n) => call.arg(n));
    args[1] = base + BigInt(headersAt);
    if (spelling.several) args[2] = BigInt(layout.messages.length);
    const result = yield* own(call.nr, args);
    // Of a plain sendmsg nothing comes back.
    if (result < 0 || returnedIn(spelling).length === 0) return result;
    const back = spelling.write ? headersAt : 0;
    const left = bytes.subarray(back);
    const isThere = copy(NR.process_vm_readv, call.tid, base + BigInt(back), left) === left.length;
    return isThere && this.#giveBack(caller, how, result) ? result : -HOST_ERRNO.EFAULT;
  }
  /** What the call has left in its own headers and memory, of the messages it has moved. */
  #giveBack(caller: Caller, how: Making, result: number): boolean {
    const { bytes, headersAt, layout, spelling } = how;
    const { at: first, messages, stride } = layout;
    const memory = this.#context.registers.memoryOf(caller);
    const moved = spelling.several ? messages.slice(0, result) : messages;
    return moved.every(({ parts }, n) => {
      const header = bytes.subarray(headersAt + n * stride, headersAt + (n + 1) * stride);
      const length = spelling.several ? header.readUInt32LE(LENGTH_AT) : result;
      if (!spelling.write && !storeParts(memory, parts, bytes, length)) return false;
      return returnedIn(spelling).every(
        ({ from, to }) =>
          memory.write(first + BigInt(n * stride + from), header.subarray(from, to)) === undefined,
      );
    });
  }
}

interface Making {
  readonly layout: Layout;
  readonly spelling: MessageSpelling;
  /** The memory of the call: its address in the program, and its bytes. */
  readonly base: bigint;
  readonly bytes: Buffer;
  readonly headersAt: number;
}

/** The vectors, and the program's headers with those in the place of its own. */
function writeHeaders({ base, bytes, headersAt, layout }: Making): void {
  let vector = aligned(layout.length);
  for (const [n, { header, parts }] of layout.messages.entries()) {
    const at = headersAt + n * layout.stride;
    bytes.set(header, at);
    bytes.writeBigUInt64LE(base + BigInt(vector), at + HEADER.vector);
    bytes.writeBigUInt64LE(BigInt(parts.length), at + HEADER.count);
    writeVector(bytes.subarray(vector), parts, base);
    vector += parts.length * IOVEC_SIZE;
  }
}
function returnedIn({ several, write }: MessageSpelling): { from: number; to: number }[] {
  const length = several ? [{ from: LENGTH_AT, to: LENGTH_AT + 4 }] : [];
  return write ? length : [...RETURNED, ...length];
}
/** Structs begin at multiples of 8. */
function aligned(length: number): number {
  return Math.ceil(length / 8) * 8;
}
