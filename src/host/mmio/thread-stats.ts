/**
 * /proc/…/stat of stopped threads, for what signals mean to them: each is opened once, and whoever asks about a thread has the
 * same descriptor.
 */
import * as libc from '../sys/libc.ts';
import { O_CLOEXEC } from '../sys/numbers.ts';
import { meaningsIn, type Meanings } from '../sys/signals.ts';

/** More than it has. */
export const STAT_SIZE = 1024;

/** Those of all threads. */
export class ThreadStats {
  readonly #fds = new Map<number, number>();
  readonly #text = Buffer.alloc(STAT_SIZE);

  /** A descriptor of it, until the thread is forgotten; minus an errno. Throws Shortage. */
  of(tid: number, pid: number): number {
    let fd = this.#fds.get(tid);
    if (fd === undefined) {
      fd = libc.open(`/proc/${pid}/task/${tid}/stat`, O_CLOEXEC);
      this.#fds.set(tid, fd);
    }
    return fd;
  }
  meanings(tid: number, pid: number): Meanings {
    const length = Math.max(0, libc.pread(this.of(tid, pid), this.#text, 0));
    return meaningsIn(this.#text.subarray(0, length));
  }
  forget(tid: number): void {
    const fd = this.#fds.get(tid);
    if (fd !== undefined && fd >= 0) libc.close(fd);
    this.#fds.delete(tid);
  }
}
