/**
 * Threads that wait for our answer to a call, and whether they still do.
 *
 * A thread that is killed in its call is gone at once, and its number may be the next one's, with other rights: what was
 * looked at by that number counts only if the call still waited afterwards, and nothing is written by it that was not
 * waiting just before (seccomp_unotify(2)). A thread that is traced keeps its number: nothing is asked of it here.
 */
import { syscall } from './ffi.ts';
import { LISTENER } from './listener-ioctls.ts';
import { NR } from './numbers.ts';

/** Those of the one listener of this thread. */
class Callers {
  /** For a step of a list (steps.ts) that asks the same as isGone(): the descriptor, and the bytes it asks with. */
  listener = -1;
  readonly id = Buffer.alloc(8);
  /** May such lists be run? */
  inSteps = false;
  readonly #ids = new Map<number, bigint>();

  /** A run begins. */
  begin(listener: number, { inSteps }: { readonly inSteps: boolean }): void {
    this.listener = listener;
    this.inSteps = inSteps;
    this.#ids.clear();
  }
  /** A call has been received. */
  waits(tid: number, id: bigint): void {
    this.#ids.set(tid, id);
  }
  /** It has its answer, or nobody is there for it. */
  answered(tid: number, id: bigint): void {
    if (this.#ids.get(tid) === id) this.#ids.delete(tid);
  }
  /** It has stopped for its tracer, and waits in no call: a call that was left behind by its number was another thread's. */
  hasStopped(tid: number): void {
    this.#ids.delete(tid);
  }
  /** Does this thread wait in a call now? Then no exec of its process has come to where the other threads end. */
  isWaiting(tid: number): boolean {
    return this.#ids.has(tid) && !this.isGone(tid);
  }
  /** Is this no more the thread that made the call we have from its number? */
  isGone(tid: number): boolean {
    const id = this.#ids.get(tid);
    if (id === undefined) return false;
    this.id.writeBigUInt64LE(id);
    return syscall(NR.ioctl, this.listener, LISTENER.isValid, this.id) !== 0;
  }
  /** The number of its call goes into the bytes. False: it waits in no call of ours. */
  aim(tid: number): boolean {
    const id = this.#ids.get(tid);
    if (id !== undefined) this.id.writeBigUInt64LE(id);
    return id !== undefined;
  }
}

/** One thread serves one listener at a time. */
export const callers = new Callers();
