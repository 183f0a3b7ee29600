/**
 * Where a thread waits, and the top of its stack. /proc/TID/syscall says where, through a descriptor that is kept. Most calls of a
 * thread come from about the same depth: so its stack is copied from there on in the same crossing (sys/steps.ts), and once more
 * if it is elsewhere now. A look took 19 us by one call after the other with an open and a close each; it takes 4.
 *
 * Where a copy may wait for a program (slow-pages.ts) it is one call after the other, and so in tests, which compare the two.
 */
import type { Caller } from '../process/processes.ts';
import { copy } from '../process/remote-memory.ts';
import { slowPages } from '../process/slow-pages.ts';
import * as libc from '../sys/libc.ts';
import { NR, O_CLOEXEC } from '../sys/numbers.ts';
import { Steps } from '../sys/steps.ts';

/** Of the stack of a caller, in bytes: what lies deeper is not followed. */
const FOLLOWED = 8192;
/** Its top may lie so much deeper than where the copy begins. */
const SLACK = 4096;
const COPIED = FOLLOWED + SLACK;
/** More than the line has: nine numbers. */
const LINE = 256;
/** Threads whose descriptor is kept. */
const MOST_KEPT = 8;
/** Which argument of pread64(2) and of process_vm_readv(2) it is. */
const FIRST = 0;
const SPACE = 0x20;
/** Bytes. */
const WORD = 8;

/** Where a thread is, and where its stack begins. */
export interface ThreadPlace {
  readonly pc: number;
  readonly sp: number;
}
/** What was seen of one. */
export interface SeenStack extends ThreadPlace {
  /** Which of the words, of 64 bits, is the top. */
  readonly first: number;
  /** Words from there on. */
  readonly count: number;
}
/** A thread that was looked at before. */
interface KnownThread {
  readonly fd: number;
  /** Where copies of its stack begin. */
  from: number;
}

/** Looks at one thread after the other. */
export class StackLook {
  /** Words that are followed at most. */
  static readonly most = FOLLOWED / WORD;
  /** The stack that was seen last: words of 32 bits, the lower half of one of 64 before the upper. */
  readonly words: Uint32Array;
  readonly #bytes: Buffer;
  readonly #line = Buffer.alloc(LINE);
  readonly #remote = libc.remoteIovec(0n, COPIED);
  readonly #remote32 = new Uint32Array(this.#remote.buffer, this.#remote.byteOffset, 4);
  readonly #steps = new Steps(2);
  readonly #pread: number;
  readonly #read: number;
  #mayStep = false;
  /** By thread; the one that has been known longest first. */
  readonly #known = new Map<number, KnownThread>();

  constructor() {
    const memory = new ArrayBuffer(COPIED);
    this.#bytes = Buffer.from(memory);
    this.words = new Uint32Array(memory);
    this.#pread = this.#steps.call(NR.pread64, -1, this.#line, LINE, 0);
    const own = libc.iovec(this.#bytes);
    this.#read = this.#steps.call(NR.process_vm_readv, 0, own, 1, this.#remote, 1, 0);
  }
  /** From now on it is a list of steps. */
  begin(): void {
    this.#mayStep = true;
  }
  get #inSteps(): boolean {
    return this.#mayStep && !slowPages.possible;
  }

  /** Undefined: it does not wait, or may not be looked at. Throws Shortage. */
  look(caller: Caller): SeenStack | undefined {
    const { tid } = caller;
    const known = this.#known.get(tid);
    const thread = known ?? this.#know(caller);
    if (!thread) return undefined;
    const isStepped = this.#inSteps;
    const length = isStepped ? this.#step(tid, thread) : libc.pread(thread.fd, this.#line, 0);
    const place = length > 0 ? placeIn(this.#line, length - 1) : undefined;
    if (!place) {
      this.#forget(tid);
      // The number is another thread's perhaps.
      return known && length < 0 ? this.look(caller) : undefined;
    }
    const deeper = place.sp - thread.from;
    if (isStepped && deeper >= 0 && deeper <= SLACK && deeper % WORD === 0) {
      return seen(place, deeper, this.#steps.result(this.#read));
    }
    this.beginAt(tid, place.sp);
    return this.lookAt(tid, place);
  }
  /** The next copy of a thread's stack begins there. */
  beginAt(tid: number, from: number): void {
    const thread = this.#known.get(tid);
    if (thread) thread.from = from;
  }
  /** The same of a thread whose place is known. */
  lookAt(tid: number, place: ThreadPlace): SeenStack | undefined {
    return seen(place, 0, this.#copy(tid, place.sp));
  }

  /** Bytes of the line, or minus an errno. */
  #step(tid: number, { fd, from }: KnownThread): number {
    const steps = this.#steps;
    steps.set(this.#pread, FIRST, fd);
    this.#prepareRead(tid, from);
    steps.run();
    return steps.result(this.#pread);
  }
  #copy(tid: number, sp: number): number {
    if (!this.#inSteps) return copy(NR.process_vm_readv, tid, BigInt(sp), this.#bytes);
    this.#prepareRead(tid, sp);
    this.#steps.run(this.#read);
    return this.#steps.result(this.#read);
  }
  #prepareRead(tid: number, from: number): void {
    this.#steps.set(this.#read, FIRST, tid);
    this.#remote32[0] = from;
    this.#remote32[1] = from / 2 ** 32;
  }

  #know({ tid, pid }: Caller): KnownThread | undefined {
    const fd = libc.open(`/proc/${pid}/task/${tid}/syscall`, O_CLOEXEC);
    if (fd < 0) return undefined;
    const [oldest] = this.#known.keys();
    if (this.#known.size === MOST_KEPT) this.#forget(oldest!);
    const thread = { fd, from: 0 };
    this.#known.set(tid, thread);
    return thread;
  }
  /** The run is over. */
  close(): void {
    for (const tid of this.#known.keys()) this.#forget(tid);
  }
  #forget(tid: number): void {
    const thread = this.#known.get(tid);
    if (thread) libc.close(thread.fd);
    this.#known.delete(tid);
  }
}

/** `deeper`: where the top lies in what was copied. Undefined: nothing was, from there on. */
function seen({ pc, sp }: ThreadPlace, deeper: number, length: number): SeenStack | undefined {
  const bytes = Math.min(length - deeper, FOLLOWED);
  return bytes > 0 ? { pc, sp, first: deeper / WORD, count: Math.floor(bytes / WORD) } : undefined;
}
/** '16 0x3 … 0x7ffd8a1c 0x7f32ab', whose last numbers are where the stack and the code are; or 'running'. */
function placeIn(line: Buffer, end: number): ThreadPlace | undefined {
  const pcAt = spaceBefore(line, end);
  const spAt = spaceBefore(line, pcAt);
  if (spAt < 0) return undefined;
  const sp = hexIn(line, spAt + 3, pcAt);
  const pc = hexIn(line, pcAt + 3, end);
  return sp > 0 && pc > 0 ? { pc, sp } : undefined;
}
/** Negative: there is none. */
function spaceBefore(line: Buffer, end: number): number {
  let at = end - 1;
  while (at >= 0 && line[at] !== SPACE) at--;
  return at;
}
function hexIn(text: Buffer, from: number, to: number): number {
  let value = 0;
  for (let n = from; n < to; n++) {
    const digit = text[n]!;
    value = value * 16 + (digit <= 0x39 ? digit - 0x30 : digit - 0x57);
  }
  return value;
}
