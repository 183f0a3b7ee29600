/**
 * Processes with mapped registers whose threads somebody else traces for a while: a debugger, or LeakSanitizer at its end.
 *
 * A thread has one tracer, so ours lets go of it before the other one takes it. Nobody tells us of the other's end: it is
 * looked for.
 */
import { namesIn, tracerOf } from '../sys/procfs.ts';
import * as ptrace from '../sys/ptrace.ts';

/** What is lent, by process. */
export class LentProcesses {
  readonly #pids = new Set<number>();

  get any(): boolean {
    return this.#pids.size > 0;
  }
  has(pid: number): boolean {
    return this.#pids.has(pid);
  }
  add(pid: number): void {
    this.#pids.add(pid);
  }

  /** Those that nobody else traces any more: their threads are seized. A process that is gone is `ended`. */
  retake(seized: Set<number>, ended: (pid: number) => void): number[] {
    return [...this.#pids].filter((pid) => {
      const tids = namesIn(`/proc/${pid}/task`);
      const isTraced = tids.some((tid) => tracerOf(Number(tid)) !== 0 && !seized.has(Number(tid)));
      if (isTraced || (tids.length > 0 && ptrace.seizeProcess(pid, seized) !== 0)) return false;
      this.#pids.delete(pid);
      if (tids.length === 0) ended(pid);
      return tids.length > 0;
    });
  }
}
