/**
 * The processes of a run: which process a thread belongs to, and the address space it has now.
 *
 * Kept by looking, not by tracing: a thread that calls is alive, a pidfd tells the end of a process, and an address
 * space that no longer answers was replaced by exec.
 */
import { EFAULT } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { MachineMm } from '../../machine/memory/mm.ts';
import type { Notification } from '../seccomp/notification.ts';
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import { processIds, textOf } from '../sys/procfs.ts';
import type { Capabilities } from './capabilities.ts';
import { HostCred, type Ids } from './credentials.ts';
import { AddressSpace, RemoteMemory, type SpaceParts } from './remote-memory.ts';
import { HostTask, installDescriptor, type TaskParts } from './task.ts';

interface Process {
  readonly pidfd: number;
  readonly watch: Disposable;
  space: AddressSpace | undefined;
  mm: MachineMm;
}

/** The processes of a run, each known since its first trapped call. */
export class Processes {
  readonly #parts: TaskParts;
  readonly #space: SpaceParts;
  /** Present when programs have the capabilities of the simulated machine. */
  readonly capabilities: Capabilities | undefined;
  readonly #processOf = new Map<number, number>();
  readonly #processes = new Map<number, Process>();
  readonly #denied = new Set<number>();
  /** The thread whose process has been confirmed in this call. */
  #proven = 0;
  constructor(parts: TaskParts, capabilities?: Capabilities) {
    this.#parts = parts;
    this.capabilities = capabilities;
    this.#space = {
      map: parts.map,
      objects: parts.objects,
      warn: (text) => parts.warn(text),
      pins: parts.pins,
      showing: (object, page) => this.#showing(object, page),
    };
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

  /** Before each trapped call: what was proved of threads holds no longer. */
  newCall(): void {
    this.#proven = 0;
  }

  /**
   * One line for each process that our kernel closes to us: it is undumpable (set-id, a file one may execute but not read,
   * PR_SET_DUMPABLE 0) and we are an ordinary user.
   */
  mayNotLook(tid: number): void {
    const pid = this.processOf(tid);
    if (this.#denied.has(pid)) return;
    this.#denied.add(pid);
    const name = textOf(`/proc/${tid}/comm`).trim();
    this.#parts.warn(
      `process ${pid} (${name}) may not be looked into: it sees the host's files, and its calls on simulated ones are EPERM`,
    );
  }
  /** What a fault is: EPERM where nothing is wrong with the address, but we may not look. */
  faultOf(tid: number): number {
    if (!new RemoteMemory(tid).isDenied) return -HOST_ERRNO.EFAULT;
    this.mayNotLook(tid);
    return -HOST_ERRNO.EPERM;
  }

  /** The text of a thread's /proc/…/fd/N, or minus an errno. It proves as well which process the thread is of. */
  descriptorLink(tid: number, fd: number): string | number {
    const known = this.#processOf.get(tid);
    if (known === undefined) return libc.readlink(`/proc/${tid}/fd/${fd}`);
    const link = libc.readlink(`/proc/${known}/task/${tid}/fd/${fd}`);
    if (typeof link === 'number') return libc.readlink(`/proc/${tid}/fd/${fd}`);
    this.#proven = tid;
    return link;
  }

  processOf(tid: number): number {
    const known = this.#processOf.get(tid);
    if (known !== undefined && this.#proven === tid) return known;
    if (known !== undefined && libc.exists(`/proc/${known}/task/${tid}`)) return known;
    const pid = Number(/^Tgid:\s*(\d+)/m.exec(textOf(`/proc/${tid}/status`))?.[1] ?? tid);
    this.#processOf.set(tid, pid);
    return pid;
  }

  /** The address space of a process now; a new one after exec. */
  mm(pid: number): MachineMm {
    const process = this.#processes.get(pid) ?? this.#add(pid);
    if (process.space?.alive) return process.mm;
    process.mm.exit();
    this.#open(process, pid);
    return process.mm;
  }

  /** The address space of a process that has one already. */
  peek(pid: number): MachineMm | undefined {
    return this.#processes.get(pid)?.mm;
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
        if (at === undefined) continue;
        this.mm(pid);
        const space = this.#processes.get(pid)?.space;
        if (space) yield { space, at };
      }
    }
  }

  closeAll(): void {
    for (const pid of [...this.#processes.keys()]) this.#drop(pid);
  }

  #add(pid: number): Process {
    const pidfd = libc.pidfdOpen(pid);
    const space = AddressSpace.open(pid, this.#space);
    const process: Process = {
      pidfd,
      watch: this.#parts.watches.watchFd(pidfd, () => this.#drop(pid)),
      space,
      mm: this.#parts.machine.addMm(space ?? NO_MEMORY),
    };
    this.#processes.set(pid, process);
    this.#parts.machine.env.refs.born(process, 'process', String(pid));
    return process;
  }
  #open(process: Process, pid: number): void {
    process.space = AddressSpace.open(pid, this.#space);
    process.mm = this.#parts.machine.addMm(process.space ?? NO_MEMORY);
  }
  #drop(pid: number): void {
    const process = this.#processes.get(pid);
    if (!process) return;
    this.#processes.delete(pid);
    this.capabilities?.forget(pid);
    process.watch[Symbol.dispose]();
    libc.close(process.pidfd);
    process.mm.exit();
    process.space?.close();
    this.#parts.machine.env.refs.gone(process, 'process', String(pid));
  }
}

/** The address space of a process we may not look into, or that is gone. */
const NO_MEMORY = {
  alive: false,
  vma: () => undefined,
  read: () => refuse(EFAULT, 'the address space cannot be reached'),
  write: () => refuse(EFAULT, 'the address space cannot be reached'),
};
