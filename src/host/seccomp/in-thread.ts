/**
 * What a program's thread does on our behalf while it waits for the answer to a trapped call: only the process itself can
 * go to a directory, map memory, or make a call with its own rights, its own umask, its own root and its own patience.
 *
 * A script is a generator: it yields a call, is given the result, and returns what the trapped call returns. Nothing waits
 * between the two (injection.ts), and a thread that dies or becomes another program never hears of it again.
 */
import { syscall, type SyscallArgument } from '../sys/ffi.ts';
import { iovec, remoteIovec } from '../sys/libc.ts';
import {
  HOST_ERRNO,
  INJECTED_CALL,
  INJECTED_MMAP,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  NR,
  PROT_READ_WRITE,
} from '../sys/numbers.ts';
import type { Answer, FdInstaller, Notification } from './notification.ts';

/** A system call for a thread to make. */
export interface InjectedCall {
  readonly nr: number;
  readonly args: readonly SyscallArgument[];
  /**
   * The program's own call in other words: it may wait, and a signal interrupts it as it would the original. Absent: ours,
   * with all signals held back.
   */
  readonly own?: true;
}
/** Calls of one thread, one after the other; the result is what its trapped call returns. */
export type Script<Result extends number | bigint | string = number | bigint> = Generator<
  InjectedCall,
  Result,
  number
>;

/** What a thread is given for a script, and is to have no longer than that (handed-over.ts). */
export interface Hand {
  /** To the thread that waits in this call, and has been taken. */
  give(transport: FdInstaller, call: Notification): void;
  close(): Script<number>;
}

/** An answer that the calling thread itself works out. */
export interface InThread {
  readonly run: (tid: number) => Script;
  /** Given before the script, taken back after it. */
  readonly hands?: readonly Hand[];
  /** The thread cannot be had: a debugger has it (minus an errno). */
  readonly otherwise: (errno: number) => Answer;
  /** The thread has ended before it could be had, which nobody is told. */
  readonly gone?: () => void;
}
/** All that the thread does: the script, and then the end of what it was given for it. */
export function* wholeScript({ hands = [], run }: InThread, tid: number): Script {
  try {
    return yield* run(tid);
  } finally {
    for (const hand of hands) yield* hand.close();
  }
}
/** What a handler has to say of a trapped call. */
export type Handled = Answer | InThread;

/** What the calls of ours in the six arguments do not give: the mark that lets the filter pass them. */
const NOT_GIVEN = [0, 0, 0, 0, 0, INJECTED_CALL << 32n] as const;
/** Of a mapping, whose sixth argument means something, the mark is in the fifth. */
export const NO_FILE = mappedFile(-1);
const ROOM = 8192;

/** All six arguments, with the mark. */
export function marked(args: readonly SyscallArgument[]): SyscallArgument[] {
  return NOT_GIVEN.map((otherwise, n) => args[n] ?? otherwise);
}

/** A call of ours: it does not wait, and no signal is seen meanwhile. */
export function* ours(nr: number, ...args: readonly SyscallArgument[]): Script<number> {
  return yield { nr, args };
}
/** The program's own call with other arguments. The result may be one of the kernel's restart codes: return it as it is. */
export function* own(nr: number, args: readonly SyscallArgument[]): Script<number> {
  return yield { nr, args, own: true };
}

/** Texts in memory of the program's own, for as long as `use` runs: 8 KiB in all, else -ENAMETOOLONG. */
export function* withTexts(
  tid: number,
  texts: readonly Uint8Array[],
  use: (at: readonly bigint[]) => Script<number>,
): Script<number> {
  if (texts.reduce((sum, { length }) => sum + length, 0) > ROOM) return -HOST_ERRNO.ENAMETOOLONG;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const room = yield* ours(NR.mmap, 0, ROOM, PROT_READ_WRITE, flags, NO_FILE, 0);
  if (room < 0) return room;
  let end = BigInt(room);
  const places = texts.map((text) => {
    const at = end;
    end += BigInt(text.length);
    return at;
  });
  const written = poke(tid, BigInt(room), Buffer.concat(texts));
  const result = written ? yield* use(places) : -HOST_ERRNO.EFAULT;
  yield* ours(NR.munmap, room, ROOM);
  return result;
}

/** Write into the program's memory while it is stopped. */
export function poke(tid: number, at: bigint, bytes: Uint8Array): boolean {
  const args = [iovec(bytes), 1, remoteIovec(at, bytes.length), 1, 0];
  return syscall(NR.process_vm_writev, tid, ...args) === bytes.length;
}

/** A descriptor as the argument of an mmap(2) of ours, by which the filter knows it. */
export function mappedFile(fd: number): bigint {
  return (INJECTED_MMAP << 32n) | BigInt(fd >>> 0);
}
