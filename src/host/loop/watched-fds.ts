/**
 * The descriptors that the wait loop waits on besides the listener, in one epoll: a pidfd for each process, eventfds, sockets.
 *
 * A poll with an entry for each cost a program more the more others there were; what is ready is all that is looked at here.
 */
import { Bug } from '../../base/bug.ts';
import type { Watches } from '../process/eventfds.ts';
import { Epoll, EPOLL } from '../sys/epoll.ts';

/** All of one run. */
export class WatchedFds implements Watches {
  readonly #epoll = new Epoll();
  readonly #watched = new Map<number, Set<() => void>>();

  /** Readable while one of them is. */
  get fd(): number {
    return this.#epoll.fd;
  }
  /** Throws Shortage. Its end must come before the descriptor is closed: a program may have a copy of what it is open on. */
  watchFd(fd: number, run: () => void): Disposable {
    const runs = this.#watched.get(fd) ?? this.#add(fd);
    runs.add(run);
    return { [Symbol.dispose]: () => this.#remove(fd, runs, run) };
  }
  /** What is ready now: each is handed to `call`. What is watched by one of them is for the next time. */
  dispatch(call: (run: () => void) => void): void {
    const ready: Set<() => void>[] = [];
    for (const { fd } of this.#epoll.ready()) {
      const runs = this.#watched.get(fd);
      if (runs) ready.push(runs);
    }
    for (const runs of ready) {
      for (const run of [...runs]) if (runs.has(run)) call(run);
    }
  }
  close(): void {
    this.#epoll.close();
  }

  #add(fd: number): Set<() => void> {
    const runs = new Set<() => void>();
    // Of a process that was gone before it had a descriptor nothing will be heard.
    const rc = fd < 0 ? 0 : this.#epoll.add(fd, EPOLL.in);
    if (rc < 0) throw new Bug(`descriptor ${fd} cannot be waited on: errno ${-rc}`);
    this.#watched.set(fd, runs);
    return runs;
  }
  #remove(fd: number, runs: Set<() => void>, run: () => void): void {
    if (!runs.delete(run) || runs.size > 0) return;
    this.#watched.delete(fd);
    if (fd >= 0) this.#epoll.remove(fd);
  }
}
