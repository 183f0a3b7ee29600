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
  /** When it makes no more calls for us. */
  gone?: () => void;
}

export class Injections {
  readonly #open = new Map<number, Open>();

  get size(): number {
    return this.#open.size;
  }
  /** Its calls are to come to an end, for somebody else wants it. False: it makes none. */
  hurry(tid: number, gone?: () => void): boolean {
    const open = this.#open.get(tid);
    if (!open) return false;
    if (gone) open.gone = gone;
    open.thread.hurry();
    return true;
  }
  /** Does this thread make calls for us now? */
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
    const open = this.#open.get(tid);
    if (thread.gone && open?.thread === thread) this.#delete(tid, open);
  }
  #delete(tid: number, { gone }: Open): void {
    this.#open.delete(tid);
    gone?.();
  }
  /** Of a leader whose place was taken by an exec of another thread nothing is told. */
  sweep(): void {
    for (const [tid, open] of this.#open) {
      if (isTraced(tid)) continue;
      open.thread.abandon();
      this.#delete(tid, open);
    }
  }
}
