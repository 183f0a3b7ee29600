/**
 * The processes of a run: which process a thread belongs to, and the address space it has now.
 *
 * Kept by looking, not by tracing. Numbers of threads and processes are used again, so nothing is believed longer than what
 * makes it true: a thread is looked for in its process once a call, a pidfd tells the end of a process before its number
 * can mean another one, and whether an exec that was let go has worked is asked when the process is heard of again.
 */
import { Shortage } from '../../base/shortage.ts';
import { CAP_SYS_PTRACE } from '../../base/task.ts';
import type { MachineMm } from '../../machine/memory/mm.ts';
import type { Notification } from '../seccomp/notification.ts';
import { callers } from '../sys/callers.ts';
import * as libc from '../sys/libc.ts';
import { closeEnded } from '../sys/mounts.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import { nameOf, ownerOf, processIdOf, processIds } from '../sys/procfs.ts';
import { orShortage } from '../sys/shortage.ts';
import type { AddressSpace } from './address-space.ts';
import { AddressSpaces, type HostMm } from './address-spaces.ts';
import { callLook } from './call-look.ts';
import type { Capabilities } from './capabilities.ts';
import { HostCred, type Ids } from './credentials.ts';
import { namedDescriptors, TOO_MANY_DESCRIPTORS } from './named-descriptors.ts';
import { OtherExecs } from './other-execs.ts';
import { RemoteMemory } from './remote-memory.ts';
import { HostTask, installDescriptor, type TaskParts } from './task.ts';

interface Process {
  readonly pid: number;
  readonly pidfd: number;
  readonly watch: Disposable;
  /** Undefined until it matters: a child of its own memory that never asks for any has no pins. */
  hostMm: HostMm | undefined;
  /** Threads whose exec was let go, and that have not been heard of since. */
  readonly executing: Set<number>;
  /** It has been said that we may not look into it. */
  isTold: boolean;
}
/** A thread, and the process it is of. */
export interface Caller {
  readonly tid: number;
  readonly pid: number;
}

/** The processes of a run, each known since its first trapped call that concerned its memory. */
export class Processes {
  readonly #parts: TaskParts;
  readonly #spaces: AddressSpaces;
  /** Present when programs have the capabilities of the simulated machine. */
  readonly capabilities: Capabilities | undefined;
  readonly #processOf = new Map<number, number>();
  readonly #processes = new Map<number, Process>();
  /** Execs of processes that are not known yet. */
  readonly #otherExecs = new OtherExecs();
  /** The thread whose process has been confirmed in this call. */
  #proven = 0;
  constructor(parts: TaskParts, capabilities?: Capabilities) {
    this.#parts = parts;
    this.capabilities = capabilities;
    namedDescriptors.begin(() => parts.sayOnce(TOO_MANY_DESCRIPTORS));
    this.#spaces = new AddressSpaces(parts.machine, {
      map: parts.map,
      objects: parts.objects,
      warn: (text) => parts.warn(text),
      sayOnce: (text) => parts.sayOnce(text),
      pins: parts.pins,
      showing: (object, page) => this.#showing(object, page),
      user: (space) => this.#userOf(space),
    });
  }

  task(call: Notification): HostTask {
    return new HostTask(this, this.#parts, call, this.processOf(call.tid));
  }
  /** The caller of something that is no trapped call: it can be given no descriptor. */
  taskOf(tid: number): HostTask {
    return new HostTask(this, this.#parts, { tid }, this.processOf(tid));
  }

  /** Whose rights count in a call of a thread. */
  cred(tid: number, ids: Ids): HostCred {
    const { capabilities } = this;
    const simulated = capabilities && ((cap: number) => capabilities.has(this.processOf(tid), cap));
    return new HostCred(tid, ids, simulated);
  }

  /**
   * May a thread look at what is another's own, such as its descriptors? At those of its process; of a process that is all
   * its user's and dumpable, for else root has its /proc entry; with CAP_SYS_PTRACE. @kernel ptrace_may_access
   */
  mayLook(tid: number, at: number): boolean {
    if (this.processOf(tid) === this.processOf(at)) return true;
    const cred = this.cred(tid, 'fs');
    const { uids, gids } = this.cred(at, 'real').all;
    const isTheirs = uids.length > 0 && uids.every((uid) => uid === cred.uid);
    const isOwn = isTheirs && gids.every((gid) => gid === cred.gid);
    return (isOwn && ownerOf(at) === cred.uid) || cred.capable(CAP_SYS_PTRACE);
  }

  /** Before each trapped call: what was proved of threads holds no longer. */
  newCall(): void {
    callLook.drop();
    namedDescriptors.callBegins();
    this.#proven = 0;
  }
  callEnds(): void {
    callLook.drop();
    namedDescriptors.callEnds();
  }

  /**
   * One line for each process that our kernel closes to us: it is undumpable (set-id, a file one may execute but not read,
   * PR_SET_DUMPABLE 0) and we are an ordinary user.
   */
  mayNotLook(tid: number): void {
    const process = this.#known({ tid, pid: this.processOf(tid) });
    if (process.isTold) return;
    process.isTold = true;
    this.#parts.warn(
      `${nameOf(process.pid)} may not be looked into: it sees the host's files, and its calls on simulated ones are EPERM`,
    );
  }
  /** What a fault is: EPERM where nothing is wrong with the address, but we may not look. */
  faultOf(tid: number): number {
    if (!new RemoteMemory(tid).isDenied) return -HOST_ERRNO.EFAULT;
    this.mayNotLook(tid);
    return -HOST_ERRNO.EPERM;
  }

  /**
   * The text of a thread's /proc/…/fd/N, or minus an errno. It proves as well which process the thread is of. `at`: where the
   * call has its struct, which is read too (call-look.ts).
   */
  descriptorLink(tid: number, fd: number, at?: bigint): string | number {
    const known = this.#processOf.get(tid);
    if (known === undefined) return libc.readlink(`/proc/${tid}/fd/${fd}`);
    const link = callLook.isPossible
      ? callLook.linkOf({ pid: known, tid, fd, at })
      : libc.readlink(`/proc/${known}/task/${tid}/fd/${fd}`);
    if (typeof link === 'number') return libc.readlink(`/proc/${tid}/fd/${fd}`);
    this.#proven = tid;
    return link;
  }

  processOf(tid: number): number {
    const known = this.#processOf.get(tid);
    if (known !== undefined && this.#proven === tid) return known;
    if (known !== undefined && libc.exists(`/proc/${known}/task/${tid}`)) return known;
    const pid = processIdOf(tid);
    this.#processOf.set(tid, pid);
    return pid;
  }

  /** The address space of a caller now. */
  mm(caller: Caller): MachineMm {
    const hostMm = this.#hostMm(caller);
    // It may have ended unseen, where a killed thread has left its number.
    if (hostMm.space?.alive !== false) return hostMm.mm;
    this.#settle(this.#known(caller), caller.tid);
    return this.#hostMm(caller).mm;
  }
  /** The way to it; undefined when we may not look. */
  space(caller: Caller): AddressSpace | undefined {
    return this.#hostMm(caller).space;
  }
  #hostMm({ tid, pid }: Caller): HostMm {
    const process = this.#settled({ tid, pid });
    if (process.hostMm && !process.hostMm.space) this.#leave(process); // perhaps we may look now
    process.hostMm ??= this.#spaces.open(tid, pid);
    const { space } = process.hostMm;
    if (space) space.thread = tid;
    return process.hostMm;
  }
  /** The same where it matters already: if the process, or one that shares it, has asked for it. */
  peek(caller: Caller): MachineMm | undefined {
    return this.#settled(caller).hostMm?.mm;
  }
  /** The processes that have the caller's address space: it does not end before the last of them. */
  users(caller: Caller): ReadonlySet<number> {
    return this.#settled(caller).hostMm?.users ?? new Set([caller.pid]);
  }

  /** An exec is let go: when it has worked, its thread has the number of its process, and the others are gone. */
  executing(tid: number): void {
    const pid = this.processOf(tid);
    (this.#processes.get(pid)?.executing ?? this.#otherExecs.of(pid)).add(tid);
  }
  #settled(caller: Caller): Process {
    const process = this.#known(caller);
    if (process.executing.size > 0) this.#settle(process, caller.tid);
    return process;
  }
  /**
   * Has the process become another program? An exec is over when its thread, or another one after it, waits in a call: nobody else
   * can tell, for it may just be on its way to the new memory.
   */
  #settle(process: Process, tid: number): void {
    const { pid, hostMm, executing } = process;
    if (!hostMm?.space?.isOf(tid)) this.#leave(process);
    const over = [...executing].filter(
      (one) => one === tid || !libc.exists(`/proc/${pid}/task/${one}`),
    );
    if (!callers.isWaiting(tid)) return;
    for (const one of over) executing.delete(one);
  }
  #leave(process: Process): void {
    const { pid, hostMm } = process;
    process.hostMm = undefined;
    if (hostMm) this.#spaces.leave(hostMm, pid);
  }
  #userOf(space: AddressSpace): number | undefined {
    for (const { pid, hostMm, executing } of this.#processes.values()) {
      if (hostMm?.space === space && executing.size === 0) return pid;
    }
    return undefined;
  }

  /** Give a caller a descriptor of ours; an event queue goes where reads are trapped. */
  install(call: Notification, fd: number, how: { cloexec: boolean; stream: boolean }): number {
    return installDescriptor(this.#parts, call, fd, how);
  }

  /** Processes that have made a trapped call first, then whoever else maps it. */
  *#showing(object: string, page: number): IterableIterator<{ space: AddressSpace; at: number }> {
    const known = new Set(this.#processOf.values());
    for (const pids of [() => known, () => processIds().filter((pid) => !known.has(pid))]) {
      for (const pid of pids()) {
        const at = this.#parts.map.findObject(pid, object, page);
        const space = at === undefined ? undefined : this.space({ tid: pid, pid });
        if (at !== undefined && space) yield { space, at };
      }
    }
  }

  closeAll(): void {
    for (const pid of [...this.#processes.keys()]) this.#drop(pid);
    this.#spaces.closeAll();
  }

  #known({ tid, pid }: Caller): Process {
    const known = this.#processes.get(pid);
    if (known) return known;
    const pidfd = libc.pidfdOpen(pid);
    const isSettled = (other: number): boolean => this.#processes.get(other)?.executing.size === 0;
    const watch = orShortage(() => this.#parts.watches.watchFd(pidfd, () => this.#drop(pid)));
    if (watch instanceof Shortage) {
      libc.close(pidfd);
      throw watch;
    }
    const process: Process = {
      pid,
      pidfd,
      watch,
      hostMm: this.#spaces.sharedWith(tid, isSettled),
      executing: this.#otherExecs.take(pid),
      isTold: false,
    };
    process.hostMm?.users.add(pid);
    this.#processes.set(pid, process);
    this.#parts.machine.env.refs.born(process, 'process', String(pid));
    return process;
  }
  #drop(pid: number): void {
    const process = this.#processes.get(pid);
    if (!process) return;
    this.#processes.delete(pid);
    this.capabilities?.forget(pid);
    this.#parts.lockLimits?.forget(pid);
    process.watch[Symbol.dispose]();
    libc.close(process.pidfd);
    this.#leave(process);
    closeEnded();
    this.#parts.machine.env.refs.gone(process, 'process', String(pid));
  }
}
