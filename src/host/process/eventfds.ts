/**
 * Eventfds of a program, signalled by us.
 *
 * pidfd_getfd() gives our own descriptor of one, from the table of the thread that calls; before Linux 6.9 from the leader's,
 * which a thread may have left (unshare(CLONE_FILES)). So what was got is compared with what was meant, by 'eventfd-id' of
 * /proc/…/fdinfo. Where a container forbids it, eventfd2() is trapped, and the eventfd is ours from the start.
 */
import { EBADF, EINVAL, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { Shortage } from '../../base/shortage.ts';
import type { Eventfd } from '../../base/task.ts';
import { syscall } from '../sys/ffi.ts';
import { callers } from '../sys/callers.ts';
import * as libc from '../sys/libc.ts';
import type { Answer, FdInstaller, Notification } from '../seccomp/notification.ts';
import { descriptorsOf, processIdOf, processIds, textOf, threadsOf } from '../sys/procfs.ts';
import { HOST_ERRNO, NR, O_CLOEXEC } from '../sys/numbers.ts';
import { orShortage } from '../sys/shortage.ts';

const EVENTFD = 'anon_inode:[eventfd]';
const FIRST_SWEEP = 1024;
const ONE = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

/** A descriptor of another process to wait on, and what to do when it is readable. */
export interface Watches {
  /** To be ended before the descriptor is closed. Throws Shortage. */
  watchFd(fd: number, run: () => void): Disposable;
}

/** An eventfd of a program, through a descriptor of our own. */
export class HostEventfd implements Eventfd {
  readonly id: string;
  readonly #fd: number;
  readonly #watches: Watches;
  constructor(id: string, fd: number, watches: Watches) {
    this.id = id;
    this.#fd = fd;
    this.#watches = watches;
  }
  /** A counter that is full stays as it is: a write would wait until the program reads it, and everybody with it. */
  signal(): void {
    if (isWritable(this.#fd)) libc.write(this.#fd, ONE);
  }
  listen(run: () => void): Disposable {
    const watch = orShortage(() =>
      this.#watches.watchFd(this.#fd, () => {
        // Not there any more when the program has read it first.
        if (takeCount(this.#fd)) run();
      }),
    );
    if (!(watch instanceof Shortage)) return watch;
    this.put(); // whoever wanted to listen hears of nothing but the shortage
    throw watch;
  }
  put(): void {
    libc.close(this.#fd);
  }
}

/** Finds, or makes, the eventfds of programs. */
export class Eventfds {
  readonly #watches: Watches;
  readonly #how: { readonly processes: () => Iterable<number>; readonly getfd: typeof getfd };
  /** Where eventfd2() is trapped: eventfd-id → our descriptor. */
  readonly #trapped = new Map<string, number>();
  /** With so many it is time to look which of them programs still have. */
  #sweepAt = FIRST_SWEEP;
  constructor(watches: Watches, how = { processes: otherProcesses, getfd }) {
    this.#watches = watches;
    this.#how = how;
  }

  get(tid: number, fd: number): Result<HostEventfd, 'EBADF' | 'EINVAL'> {
    const link = libc.readlink(`/proc/${tid}/fd/${fd}`);
    if (typeof link === 'number') return refuse(EBADF, 'the descriptor is not open', { fd });
    const id = link === EVENTFD ? eventfdId(`/proc/${tid}/fdinfo/${fd}`) : undefined;
    if (id === undefined) return refuse(EINVAL, 'the descriptor is not an eventfd', { fd, link });
    const ours = this.#duplicate(id, tid, fd);
    if (ours < 0) {
      return refuse(EBADF, 'softiommu cannot get at the eventfd', { fd, id, errno: -ours });
    }
    return new HostEventfd(id, ours, this.#watches);
  }

  /** eventfd() and eventfd2(), made by us and installed in the program. */
  create(transport: FdInstaller, call: Notification, flags: number): Answer {
    if (this.#trapped.size >= this.#sweepAt) this.#sweep();
    const ours = libc.eventfd2(call.uint(0), flags | O_CLOEXEC);
    if (ours < 0) return ours;
    const id = eventfdId(`/proc/self/fdinfo/${ours}`);
    const cloexec = (flags & O_CLOEXEC) !== 0;
    const given = transport.addFd(call, ours, { cloexec });
    if (given < 0 || id === undefined) {
      libc.close(ours);
      return given;
    }
    this.#trapped.set(id, ours);
    return given;
  }

  get kept(): number {
    return this.#trapped.size;
  }
  /**
   * Close ours of those that no program has open. One that is only under way in a socket is lost: whoever receives it
   * and gives it to a device is told so (EBADF).
   */
  #sweep(): void {
    const open = new Set<string>();
    for (const pid of this.#how.processes()) for (const id of eventfdsOf(pid)) open.add(id);
    for (const [id, fd] of this.#trapped) {
      if (open.has(id)) continue;
      this.#trapped.delete(id);
      libc.close(fd);
    }
    this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.#trapped.size);
  }

  closeAll(): void {
    for (const fd of this.#trapped.values()) libc.close(fd);
    this.#trapped.clear();
  }

  #duplicate(id: string, tid: number, fd: number): number {
    const known = this.#trapped.get(id);
    if (known !== undefined) return libc.duplicate(known);
    const ours = this.#how.getfd(tid, fd);
    if (ours < 0 || eventfdId(`/proc/self/fdinfo/${ours}`) === id) return ours;
    libc.close(ours);
    return -HOST_ERRNO.EBADF;
  }
}
/** A thread's descriptor as one of ours, or minus an errno. */
function getfd(tid: number, fd: number): number {
  let pidfd = libc.pidfdOpenThread(tid);
  if (pidfd === -HOST_ERRNO.EINVAL) pidfd = libc.pidfdOpen(processIdOf(tid));
  if (pidfd < 0) return pidfd;
  const ours = orShortage(() => libc.pidfdGetfd(pidfd, fd));
  libc.close(pidfd);
  if (ours instanceof Shortage) throw ours;
  if (ours < 0 || !callers.isGone(tid)) return ours;
  libc.close(ours);
  return -HOST_ERRNO.EBADF;
}

function otherProcesses(): Iterable<number> {
  return processIds().filter((pid) => pid !== process.pid);
}
/** Threads may have tables of their own. */
function* eventfdsOf(pid: number): Iterable<string> {
  for (const tid of threadsOf(pid)) {
    for (const { fd, link } of descriptorsOf(tid)) {
      const id = link === EVENTFD ? eventfdId(`/proc/${tid}/fdinfo/${fd}`) : undefined;
      if (id !== undefined) yield id;
    }
  }
}

function isWritable(fd: number): boolean {
  return libc.poll(fd, libc.POLLOUT) > 0;
}

const countVector = libc.iovec(Buffer.alloc(8));
const RWF_NOWAIT = 8;
/** Read the counter without waiting, whatever the flags of the program's description are. */
function takeCount(fd: number): boolean {
  return syscall(NR.preadv2, fd, countVector, 1, -1, -1, RWF_NOWAIT) === 8;
}

function eventfdId(path: string): string | undefined {
  return /^eventfd-id:\s*(\d+)/m.exec(textOf(path))?.[1];
}
