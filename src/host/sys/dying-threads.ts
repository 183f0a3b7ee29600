/**
 * Threads that were killed before they could be let go of. Their end is told to us as long as they are ours, and only then
 * to their parents: whoever does not look for it keeps a program waiting for its child.
 */
import { HOST_ERRNO } from './numbers.ts';
import { isTraced } from './procfs.ts';
import { detach } from './ptrace.ts';

/** Those of this process, which is the one that traces. */
export const dyingThreads = {
  known: new Set<number>(),

  /** PTRACE_DETACH: it goes on untraced, or it ends, and is known here until that has been told. */
  letGo(tid: number): void {
    if (detach(tid) === -HOST_ERRNO.ESRCH) this.known.add(tid);
  },
  /** Its end has been told. */
  ended(tid: number): void {
    this.known.delete(tid);
  },
  /** The number of one whose end was told otherwise may be another thread's by now. */
  sweep(): void {
    for (const tid of this.known) if (!isTraced(tid)) this.known.delete(tid);
  },
  /** Is an end to be looked for? */
  get any(): boolean {
    return this.known.size > 0;
  },
};
