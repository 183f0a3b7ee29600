/**
 * The processes of a run: which process a thread belongs to, and the address space it has now.
 *
 * Kept by looking, not by tracing: a thread that calls is alive, a pidfd tells the end of a process, and an address
 * space that no longer answers was replaced by exec.
 */
import { Bug } from '../../base/bug.ts';
import { EBADF, EFAULT, ENOMEM, EMFILE } from '../../base/errno.ts';
import type { Result } from '../../base/errno.ts';
import { ForeignFile } from '../../base/file.ts';
import type { OpenFile } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import type { Eventfd, Task } from '../../base/task.ts';
import { U64_MAX } from '../../base/u64.ts';
import type { Machine } from '../../machine/machine.ts';
import type { MachineMm } from '../../machine/memory/mm.ts';
import { FIRST_STREAM_FD, LAST_STREAM_FD } from '../seccomp/trapped.ts';
import type { Eventfds, Watches } from './eventfds.ts';
import type { Capabilities } from './capabilities.ts';
import type { ExactPins } from './exact-pins.ts';
import * as libc from '../sys/libc.ts';
import { Notification, type FdInstaller } from '../seccomp/notification.ts';
import type { MemoryMap } from './memory-map.ts';
import { objectOf, statOf } from './objects.ts';
import type { HostObjects } from './objects.ts';
import type { OpenFiles } from './open-files.ts';
import { processIds, textOf } from '../sys/proc.ts';
import { AddressSpace, RemoteMemory } from './remote-memory.ts';
import type { SpaceParts } from './remote-memory.ts';

/** What tasks are made of. */
export interface TaskParts {
  readonly machine: Machine;
  readonly transport: FdInstaller;
  readonly files: OpenFiles;
  readonly eventfds: Eventfds;
  readonly map: MemoryMap;
  readonly objects: HostObjects;
  readonly watches: Watches;
  /** An event queue may have any number: all reads are trapped. */
  readonly seesEveryRead?: boolean;
  /** A line for the user of softiommu. */
  warn(text: string): void;
  /** Present with `--pin=exact`. */
  readonly pins?: ExactPins | undefined;
  /** Is this path in our own FUSE mount? Then any look at it from here would wait for ourselves. */
  isMounted(path: string): boolean;
}

interface Process {
  readonly pidfd: number;
  readonly watch: Disposable;
  space: AddressSpace | undefined;
  mm: MachineMm;
}

export class Processes {
  readonly #parts: TaskParts;
  readonly #space: SpaceParts;
  /** Present when programs have the capabilities of the simulated machine. */
  readonly capabilities: Capabilities | undefined;
  readonly #processOf = new Map<number, number>();
  readonly #processes = new Map<number, Process>();
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

  /** Before each trapped call: what was proved of threads holds no longer. */
  newCall(): void {
    this.#proven = 0;
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

/** The caller of one trapped call. */
export class HostTask implements Task {
  readonly pid: number;
  readonly tid: number;
  readonly mem: RemoteMemory;
  readonly #processes: Processes;
  readonly #parts: TaskParts;
  readonly #call: Notification | undefined;
  #status: string | undefined;

  constructor(processes: Processes, parts: TaskParts, caller: { tid: number }, pid: number) {
    this.#processes = processes;
    this.#parts = parts;
    this.#call = caller instanceof Notification ? caller : undefined;
    this.tid = caller.tid;
    this.pid = pid;
    this.mem = new RemoteMemory(caller.tid);
  }
  get uid(): number {
    return Number(/^Uid:\s*\d+\s+(\d+)/m.exec(this.#statusText())?.[1] ?? 65534);
  }
  get mm(): MachineMm {
    return this.#processes.mm(this.pid);
  }
  capable(cap: number): boolean {
    const { capabilities } = this.#processes;
    if (capabilities) return capabilities.has(this.pid, cap);
    const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(this.#statusText())?.[1] ?? '0';
    return ((BigInt(`0x${effective}`) >> BigInt(cap)) & 1n) === 1n;
  }
  get rlimitMemlock(): bigint {
    // Of a process that is gone: what all programs of the run begin with.
    const limits = textOf(`/proc/${this.pid}/limits`) || textOf('/proc/self/limits');
    const soft = /^Max locked memory\s+(\w+)/m.exec(limits)?.[1] ?? '0';
    return soft === 'unlimited' ? U64_MAX : BigInt(soft);
  }

  getFile(fd: number): Result<OpenFile | ForeignFile, 'EBADF'> {
    const path = `/proc/${this.tid}/fd/${fd}`;
    const entry = this.#parts.files.of(this.tid, fd);
    if (entry?.kind === 'file') return entry.file;
    const link = libc.readlink(path);
    if (typeof link === 'string' && this.#parts.isMounted(link)) {
      return new ForeignFile(`softiommu:${link}`, () => 0n);
    }
    const stat = fd < 0 ? undefined : statOf(path);
    if (!stat) return refuse(EBADF, 'the descriptor is not open', { fd });
    const object = this.#parts.objects.ofDescriptor(this.tid, fd);
    if (!object) return new ForeignFile(objectOf(stat), () => stat.size);
    return new ForeignFile(
      object.object,
      () => object.size(),
      this.#parts.machine.filePages(object),
    );
  }

  installFile(file: OpenFile, cloexec: boolean): Result<number, 'EMFILE' | 'ENOMEM'> {
    const call = this.#call;
    if (!call) throw new Bug('a file is installed outside a trapped call');
    const opened = this.#parts.files.create(file);
    if (typeof opened === 'number') {
      return refuse(ENOMEM, 'the host has no descriptor left for softiommu', { errno: -opened });
    }
    const fd = installDescriptor(this.#parts, call, opened.fd, {
      cloexec,
      stream: file.ops.stream === true,
    });
    libc.close(opened.fd);
    if (fd === -libc.HOST_ERRNO.EMFILE) return refuse(EMFILE, 'the program has no free descriptor');
    if (fd < 0) return refuse(ENOMEM, 'the descriptor could not be installed', { errno: -fd });
    return fd;
  }

  getEventfd(fd: number): Result<Eventfd, 'EBADF' | 'EINVAL'> {
    return this.#parts.eventfds.get(this.pid, this.tid, fd);
  }

  #statusText(): string {
    return (this.#status ??= textOf(`/proc/${this.tid}/status`));
  }
}

/** Lowest free number; an event queue goes where reads are trapped if not all are, if a number there is free. */
function installDescriptor(
  { transport, seesEveryRead }: TaskParts,
  call: Notification,
  fd: number,
  how: { cloexec: boolean; stream: boolean },
): number {
  const cloexec = how.cloexec;
  const apart = how.stream && !seesEveryRead;
  for (let at = FIRST_STREAM_FD; apart && at <= LAST_STREAM_FD; at++) {
    const taken = libc.readlink(`/proc/${call.tid}/fd/${at}`);
    if (taken !== -libc.HOST_ERRNO.ENOENT) continue;
    const given = transport.addFd(call, fd, { cloexec, at });
    if (given >= 0) return given;
    break; // RLIMIT_NOFILE is lower: reads of this queue will not be seen, poll works
  }
  return transport.addFd(call, fd, { cloexec });
}
