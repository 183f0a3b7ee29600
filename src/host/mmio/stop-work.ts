/**
 * Work on stopped threads that takes several of their stops, for they make system calls in it (thread-call.ts). One thread at a
 * time of each process is worked on, in the order in which they have stopped: what they change is their process's.
 */
import type { Stops } from './thread-call.ts';

/** Who has stopped. */
interface Stopper {
  readonly pid: number;
  readonly tid: number;
}
/** At work in a process. */
interface Work {
  readonly tid: number;
  /** Undefined: it goes on elsewhere. */
  readonly steps: Stops<void> | undefined;
  /** What comes after it. */
  waiting: { readonly tid: number; readonly run: () => void }[];
}

/** The work of all processes. */
export class StopWork {
  readonly #works = new Map<number, Work>();

  /** A thread has stopped: for the work that waits for that, or to `begin` one. */
  onStop(who: Stopper, status: number, begin: () => Stops<void>): void {
    const work = this.#works.get(who.pid);
    if (work?.steps && work.tid === who.tid) this.#step(who, work.steps, status);
    else this.inTurn(who, () => this.#begin(who, begin()));
  }
  /** As soon as nobody is at work in the process. */
  inTurn({ pid, tid }: Stopper, run: () => void): void {
    const work = this.#works.get(pid);
    if (work) work.waiting.push({ tid, run });
    else run();
  }
  /** Work that goes on elsewhere, until over(): nobody else is at work in the process. */
  occupy({ pid, tid }: Stopper): void {
    this.#works.set(pid, { tid, steps: undefined, waiting: [] });
  }
  over({ pid, tid }: Stopper): void {
    const work = this.#works.get(pid);
    if (work?.tid !== tid) return;
    this.#works.delete(pid);
    for (const [n, { run }] of work.waiting.entries()) {
      const next = this.#works.get(pid);
      if (next) {
        next.waiting.push(...work.waiting.slice(n));
        return;
      }
      run();
    }
  }
  /** A thread is gone, and all that it was to do. */
  forget(who: Stopper): void {
    const work = this.#works.get(who.pid);
    if (!work) return;
    work.waiting = work.waiting.filter(({ tid }) => tid !== who.tid);
    this.over(who);
  }

  #begin({ pid, tid }: Stopper, steps: Stops<void>): void {
    this.#works.set(pid, { tid, steps, waiting: [] });
    this.#step({ pid, tid }, steps, 0);
  }
  #step(who: Stopper, steps: Stops<void>, status: number): void {
    let isOver = true;
    try {
      isOver = steps.next(status).done === true;
    } finally {
      if (isOver) this.over(who);
    }
  }
}
