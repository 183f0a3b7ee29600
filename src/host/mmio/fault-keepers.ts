/**
 * The signals by which touches of mapped registers come: SIGBUS, and SIGSEGV of stores to pages that programs have for loading.
 * The second is nobody's business in a process without such pages.
 */
import type { Stops } from './thread-call.ts';
import { SIGBUS, SIGSEGV } from '../sys/numbers.ts';
import { FaultKeeper } from './fault-keeper.ts';
import { ThreadStats } from './thread-stats.ts';

/** Keepers of what they mean, each called as FaultKeeper says. */
export class FaultKeepers {
  readonly stats = new ThreadStats();
  readonly bus = new FaultKeeper(SIGBUS, this.stats);
  readonly stores = new FaultKeeper(SIGSEGV, this.stats);
  /** Processes with stores that fault. */
  readonly #storing = new Set<number>();
  readonly #all = [this.bus, this.stores];

  /** Undefined: the signal is none of them, or means to this process what the kernel says. */
  of(signal: number, pid: number): FaultKeeper | undefined {
    const keeper = { [SIGBUS]: this.bus, [SIGSEGV]: this.stores }[signal];
    return keeper?.knows(pid) ? keeper : undefined;
  }
  /** Is it to be adopted? `storesFault`: from now on. */
  lacks(pid: number, storesFault: boolean): boolean {
    if (storesFault) this.#storing.add(pid);
    return !this.bus.knows(pid) || (this.#storing.has(pid) && !this.stores.knows(pid));
  }
  /** It was somebody else's for a while, and what it has mapped since is not known. */
  beginAgain(pid: number): void {
    this.#storing.add(pid);
  }
  *adopt(tid: number, pid: number): Stops<void> {
    yield* this.bus.adopt(tid, pid);
    if (this.#storing.has(pid) || this.stores.knows(pid)) yield* this.stores.adopt(tid, pid);
  }
  *release(tid: number, pid: number): Stops<void> {
    for (const keeper of this.#all) yield* keeper.release(tid, pid);
  }
  *executed(tid: number, pid: number): Stops<void> {
    this.#storing.delete(pid);
    for (const keeper of this.#all) yield* keeper.executed(tid, pid);
  }
  /** As FaultKeeper.force. */
  force(tid: number, pid: number, signal: number): Stops<boolean> {
    return (this.of(signal, pid) ?? this.bus).force(tid, pid, signal);
  }
  inherit(pid: number, parent?: number): void {
    for (const keeper of this.#all) keeper.inherit(pid, parent);
  }
  goesOn(tid: number, pid: number): void {
    for (const keeper of this.#all) keeper.goesOn(tid, pid);
  }
  forgetProcess(pid: number): void {
    this.#storing.delete(pid);
    for (const keeper of this.#all) keeper.forgetProcess(pid);
  }
  forgetThread(tid: number, pid: number): void {
    this.stats.forget(tid);
    for (const keeper of this.#all) keeper.forgetThread(tid, pid);
  }
}
