/** The caller of a trapped call, as the kernel layers see it: a Task of a real thread. */
import { Bug } from '../../base/bug.ts';
import { EBADF, EMFILE, ENOMEM, ENFILE, type Errno, type Result } from '../../base/errno.ts';
import { ForeignFile, type OpenFile } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import { Shortage } from '../../base/shortage.ts';
import type { Eventfd, Task } from '../../base/task.ts';
import { U64_MAX } from '../../base/u64.ts';
import type { Machine } from '../../machine/machine.ts';
import type { MachineMm } from '../../machine/memory/mm.ts';
import { Notification, type FdInstaller } from '../seccomp/notification.ts';
import { FIRST_STREAM_FD, LAST_STREAM_FD } from '../seccomp/trapped.ts';
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO, O_PATH } from '../sys/numbers.ts';
import { textOf } from '../sys/procfs.ts';
import { orShortage } from '../sys/shortage.ts';
import type { HostCred, Ids } from './credentials.ts';
import type { Eventfds, Watches } from './eventfds.ts';
import type { ExactPins } from './exact-pins.ts';
import type { LockLimits } from './lock-limits.ts';
import type { MemoryMap } from './memory-map.ts';
import type { HostObjects } from './objects.ts';
import { lookAt, objectOf, type DescriptorLink, openFlagsOf } from '../sys/look.ts';
import type { MappedRegisters } from './mapped-registers.ts';
import type { OpenFiles } from './open-files.ts';
import type { RemoteMemory } from './remote-memory.ts';

/** What tasks are made of. */
export interface TaskParts {
  readonly machine: Machine;
  readonly transport: FdInstaller;
  readonly files: OpenFiles;
  readonly eventfds: Eventfds;
  readonly map: MemoryMap;
  readonly objects: HostObjects;
  readonly registers: MappedRegisters;
  readonly watches: Watches;
  /** An event queue may have any number: all reads are trapped. */
  readonly seesEveryRead?: boolean;
  /** RLIMIT_MEMLOCK of the programs; undefined: the host's. */
  readonly lockLimits?: LockLimits | undefined;
  /** A line for the user of softiommu. */
  warn(text: string): void;
  sayOnce(text: string): void;
  /** Present with `--pin=exact`. */
  readonly pins?: ExactPins | undefined;
  /** Is this path in our own FUSE mount? Then any look at it from here would wait for ourselves. */
  isMounted(path: string): boolean;
  /** Is this open on a file of our own mount, whatever it is called? What a look at it asks would be asked of ourselves. */
  isOfOurMount(file: DescriptorLink): boolean;
}

/** What a task asks of the processes of its run. */
export interface TaskProcesses {
  cred(tid: number, ids: Ids): HostCred;
  /** The address space of a caller now. */
  mm(caller: { readonly tid: number; readonly pid: number }): MachineMm;
}

/** The caller of one trapped call. */
export class HostTask implements Task {
  readonly pid: number;
  readonly tid: number;
  readonly mem: RemoteMemory;
  readonly #processes: TaskProcesses;
  readonly #parts: TaskParts;
  readonly #call: Notification | undefined;
  #cred: HostCred | undefined;

  constructor(processes: TaskProcesses, parts: TaskParts, caller: { tid: number }, pid: number) {
    this.#processes = processes;
    this.#parts = parts;
    this.#call = caller instanceof Notification ? caller : undefined;
    this.tid = caller.tid;
    this.pid = pid;
    this.mem = parts.registers.memoryOf({ tid: caller.tid, pid });
  }
  /** For what it opens. */
  get cred(): HostCred {
    return (this.#cred ??= this.#processes.cred(this.tid, 'fs'));
  }
  get uid(): number {
    return this.cred.effectiveUid;
  }
  get mm(): MachineMm {
    return this.#processes.mm(this);
  }
  capable(cap: number): boolean {
    return this.cred.capable(cap);
  }
  get rlimitMemlock(): bigint {
    const { lockLimits } = this.#parts;
    if (lockLimits) return lockLimits.softOf(this.pid);
    // Of a process that is gone: what all programs of the run begin with.
    const limits = textOf(`/proc/${this.tid}/limits`) || textOf('/proc/self/limits');
    const soft = /^Max locked memory\s+(\w+)/m.exec(limits)?.[1] ?? '0';
    return soft === 'unlimited' ? U64_MAX : BigInt(soft);
  }

  getFile(fd: number): Result<OpenFile | ForeignFile, 'EBADF'> {
    const path: DescriptorLink = `/proc/${this.tid}/fd/${fd}`;
    const entry = this.#parts.files.of(this.tid, fd);
    if (entry?.kind === 'file') return entry.file;
    // A file of sysfs is no memory, whatever stands for it in the program.
    if (entry?.kind === 'attr') return new ForeignFile(`softiommu:${entry.path}`, () => 0n);
    const link = libc.readlink(path);
    if (
      typeof link === 'string' &&
      (this.#parts.isMounted(link) || this.#parts.isOfOurMount(path))
    ) {
      return new ForeignFile(`softiommu:${link}`, () => 0n);
    }
    const stat = fd < 0 ? undefined : lookAt(path);
    if (!stat) return refuse(EBADF, 'the descriptor is not open', { fd });
    if ((openFlagsOf(path) & O_PATH) !== 0) {
      return refuse(EBADF, 'the descriptor only names a file', { fd });
    }
    const memory = this.#parts.objects.ofDescriptor(this.tid, fd);
    if (!memory) return new ForeignFile(objectOf(stat), () => stat.size);
    const { object, writable } = memory;
    const pages = this.#parts.machine.filePages(object);
    return new ForeignFile(object.object, () => object.size(), pages, writable);
  }

  installFile(file: OpenFile, cloexec: boolean): Result<number, 'EMFILE' | 'ENFILE' | 'ENOMEM'> {
    const call = this.#call;
    if (!call) throw new Bug('a file is installed outside a trapped call');
    const opened = orShortage(() => this.#parts.files.create(file));
    if (opened instanceof Shortage) return this.#short(opened);
    if (typeof opened === 'number') {
      return refuse(ENOMEM, 'the host refuses softiommu a file', { errno: -opened });
    }
    const fd = installDescriptor(this.#parts, call, opened.fd, {
      cloexec,
      stream: file.ops.stream === true,
    });
    if (fd < 0) this.#parts.files.withdraw(opened.entry);
    libc.close(opened.fd);
    if (fd === -HOST_ERRNO.EMFILE) return refuse(EMFILE, 'the program has no free descriptor');
    if (fd < 0) return refuse(ENOMEM, 'the descriptor could not be installed', { errno: -fd });
    return fd;
  }

  getEventfd(fd: number): Result<Eventfd, 'EBADF' | 'EINVAL' | 'ENFILE' | 'ENOMEM'> {
    const eventfd = orShortage(() => this.#parts.eventfds.get(this.tid, fd));
    return eventfd instanceof Shortage ? this.#short(eventfd) : eventfd;
  }

  /** In the middle of an ioctl: what it has done is undone for an errno, not for an exception. */
  #short({ errno, message }: Shortage): Errno<'ENFILE' | 'ENOMEM'> {
    this.#parts.sayOnce(message);
    return refuse(
      errno === ENOMEM ? ENOMEM : ENFILE,
      'the host has no descriptor or memory left for softiommu',
    );
  }
}

/** Lowest free number; an event queue goes where reads are trapped if not all are, if a number there is free. */
export function installDescriptor(
  { transport, seesEveryRead }: TaskParts,
  call: Notification,
  fd: number,
  how: { cloexec: boolean; stream: boolean },
): number {
  const cloexec = how.cloexec;
  const apart = how.stream && !seesEveryRead;
  for (let at = FIRST_STREAM_FD; apart && at <= LAST_STREAM_FD; at++) {
    const taken = libc.readlink(`/proc/${call.tid}/fd/${at}`);
    if (taken !== -HOST_ERRNO.ENOENT) continue;
    const given = transport.addFd(call, fd, { cloexec, at });
    if (given >= 0) return given;
    break; // RLIMIT_NOFILE is lower: reads of this queue will not be seen, poll works
  }
  return transport.addFd(call, fd, { cloexec });
}
