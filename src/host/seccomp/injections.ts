/** The threads that make calls for us, one injection each: by thread, for wait4 tells of threads. */
import { interruptOn } from '../sys/ffi.ts';
import { SIGCHLD } from '../sys/numbers.ts';
import { isTraced } from '../sys/procfs.ts';
import { Injection, type Taking } from './injection.ts';
import type { Notification } from './notification.ts';

interface Open {
  /** Of the trapped call. */
  readonly id: bigint;
  readonly thread: Injection;
}

export class Injections {
  readonly #open = new Map<number, Open>();

  get size(): number {
    return this.#open.size;
  }
  has(tid: number): boolean {
    return this.#open.has(tid);
  }
  /** Of the thread that waits in this call. */
  of(call: Notification): Injection | undefined {
    const open = this.#open.get(call.tid);
    return open?.id === call.id ? open.thread : undefined;
  }
  /** Minus an errno when the thread cannot be had. */
  begin(call: Notification, how: Taking): Injection | number {
    call.keep(); // its arguments are those of the thread's calls
    const thread = Injection.begin(call.tid, how);
    if (typeof thread === 'number') return thread;
    if (this.size === 0) interruptOn(SIGCHLD);
    this.#open.set(call.tid, { id: call.id, thread });
    return thread;
  }
  /** What wait4 tells of a thread. False: it makes no calls for us. */
  onStatus(tid: number, status: number): boolean {
    const thread = this.#open.get(tid)?.thread;
    if (!thread || thread.gone) return false;
    thread.onStatus(status);
    this.settled(tid, thread);
    return true;
  }
  /** After something was done with it: is there more to come? */
  settled(tid: number, thread: Injection): void {
    if (thread.gone && this.#open.get(tid)?.thread === thread) this.#open.delete(tid);
  }
  /** Of a leader whose place was taken by an exec of another thread nothing is told. */
  sweep(): void {
    for (const [tid, { thread }] of this.#open) {
      if (isTraced(tid)) continue;
      thread.abandon();
      this.#open.delete(tid);
    }
  }
}
