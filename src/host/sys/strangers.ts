/**
 * Threads that were seized by a number whose thread had died: somebody else's by now, perhaps. They are let go of at their next
 * stop, with whatever signal that was for; nothing else is done to them.
 */
import { dyingThreads } from './dying-threads.ts';
import { HOST_ERRNO } from './numbers.ts';
import { detach, interrupt, isStopped } from './ptrace.ts';

/** Those of this process, which is the one that traces. */
export const strangers = {
  known: new Set<number>(),

  /** It has been seized. */
  letGo(tid: number): void {
    this.known.add(tid);
    interrupt(tid);
  },
  /** What wait4 tells of a thread. False: it is none of these. */
  onStatus(tid: number, status: number): boolean {
    if (!this.known.delete(tid)) return false;
    const signal = status >>> 16 === 0 ? (status >> 8) & 0xff : 0;
    const isKilled = isStopped(status) && detach(tid, signal) === -HOST_ERRNO.ESRCH;
    if (isKilled) dyingThreads.known.add(tid);
    return true;
  },
  get any(): boolean {
    return this.known.size > 0;
  },
};
