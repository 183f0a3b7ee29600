/**
 * The signals by which touches of mapped registers come: SIGBUS, and SIGSEGV of stores to pages that programs have for loading.
 * The second is nobody's business in a process without such pages.
 */
import { syscallInstruction, ThreadCalls, type Stops } from './thread-call.ts';
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

  /** Undefined: the signal is none of them. */
  by(signal: number): FaultKeeper | undefined {
    return this.#all.find((keeper) => keeper.signal === signal);
  }
  /** Undefined too: it means to this process what the kernel says. */
  of(signal: number, pid: number): FaultKeeper | undefined {
    const keeper = this.by(signal);
    return keeper?.knows(pid) ? keeper : undefined;
  }
  /** From now on some stores of the process fault, or may: of one that was somebody else's it is not known what it has mapped. */
  expectStores(pid: number): void {
    this.#storing.add(pid);
  }
  /** Is it to be adopted? */
  lacks(pid: number): boolean {
    return this.#neededBy(pid).some((keeper) => !keeper.knows(pid));
  }
  *adopt(tid: number, pid: number): Stops<void> {
    const keepers = this.#neededBy(pid);
    const instruction = this.bus.instruction(pid) ?? syscallInstruction(tid);
    yield* ThreadCalls.in(tid, instruction, function* (run) {
      for (const keeper of keepers) yield* keeper.adopt({ tid, pid, run, instruction });
    });
  }
  #neededBy(pid: number): readonly FaultKeeper[] {
    return this.#storing.has(pid) || this.stores.knows(pid) ? this.#all : [this.bus];
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
