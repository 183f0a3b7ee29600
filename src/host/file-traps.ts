/**
 * Trapped calls on descriptors: ioctl, pread and pwrite in all spellings, reads of event queues, short writes, mmap, fstat.
 *
 * A descriptor that is not ours is the host's own affair: the call goes on as if nothing had happened.
 */
import { EFAULT, isErrno } from '../base/errno.ts';
import type { Result } from '../base/errno.ts';
import type { Mapping } from '../base/file.ts';
import type { Outcome } from '../base/wait-queue.ts';
import { WaitQueue } from '../base/wait-queue.ts';
import { numberAnswer } from './call-context.ts';
import type { CallContext } from './call-context.ts';
import { HugePages, MAP_HUGETLB } from './huge-pages.ts';
import { readFileSync } from 'node:fs';
import { INJECTED_MMAP } from './filter.ts';
import * as libc from './libc.ts';
import { HOST_ERRNO, NR, O_NONBLOCK } from './libc.ts';
import { HostPages } from './shared-memory.ts';
import type { Answer, Notification } from './listener.ts';
import type { AttrEntry, Entry, FileEntry } from './open-files.ts';

const KVM_SET_DEVICE_ATTR = 0x4018aee1;
/** Most bytes one read or write moves; a longer one is cut short, as read(2) may. */
const LONGEST_TRANSFER = 1 << 24;
const PAGE = 4096n;

export class FileTraps {
  readonly #context: CallContext;
  readonly #hugePages: HugePages;
  constructor(context: CallContext) {
    this.#context = context;
    this.#hugePages = new HugePages(context);
  }

  handle(call: Notification): Answer {
    if (call.nr === NR.memfd_create) return this.#hugePages.memfdCreate(call);
    const { files, processes } = this.#context;
    if (call.nr === NR.mmap && isHugeAnonymous(call)) return this.#hugePages.mmap(call);
    const link = processes.descriptorLink(call.tid, call.int(call.nr === NR.mmap ? 4 : 0));
    const entry = typeof link === 'number' ? undefined : files.byLink(link);
    if (call.nr === NR.ioctl) return this.#ioctl(call, entry);
    if (!entry) return call.nr === NR.mmap ? this.#mmapForeign(link) : 'continue';
    if (call.nr === NR.mmap) return this.#mmap(call, entry);
    if (call.nr === NR.fstat) return 'continue';
    return entry.kind === 'attr' ? this.#attrTransfer(call, entry) : this.#transfer(call, entry);
  }

  #ioctl(call: Notification, entry: Entry | undefined): Answer {
    if (call.uint(1) === KVM_SET_DEVICE_ATTR) return this.#kvmDeviceAttr(call);
    if (!entry) return 'continue';
    if (entry.kind === 'attr') return -25; // ENOTTY
    const { machine, processes } = this.#context;
    const task = processes.task(call);
    const { file } = entry;
    const run = (): Outcome<Result<number>> =>
      machine.syscalls.ioctl(task, file, call.arg(1), call.arg(2));
    return this.#context.park(call, run, numberAnswer);
  }

  /** QEMU tells KVM of its group file: KVM does not know ours, and needs nothing of it. */
  #kvmDeviceAttr(call: Notification): Answer {
    const KVM_DEV_VFIO_FILE = 1;
    const { mem } = this.#context.processes.task(call);
    const attr = Buffer.alloc(24);
    const fd = Buffer.alloc(4);
    if (mem.readSome(call.arg(2), attr) < 24) return 'continue';
    if (attr.readUInt32LE(4) !== KVM_DEV_VFIO_FILE) return 'continue';
    if (mem.readSome(attr.readBigUInt64LE(16), fd) < 4) return 'continue';
    return this.#context.files.of(call.tid, fd.readInt32LE(0)) ? 0 : 'continue';
  }

  #transfer(call: Notification, entry: FileEntry): Answer {
    const plan = this.#plan(call);
    if (typeof plan === 'number') return plan;
    const { machine, processes } = this.#context;
    const { syscalls } = machine;
    const task = processes.task(call);
    const { file } = entry;
    if (file.ops.stream) file.nonblocking = this.#isNonblocking(call);
    const bytes = Buffer.alloc(plan.total);
    if (plan.write) {
      if (isErrno(gather(task.mem, plan, bytes))) return -HOST_ERRNO.EFAULT;
      const run = (): Outcome<Result<number>> => syscalls.write(task, file, bytes, plan.offset);
      return this.#context.park(call, run, this.#afterStream(entry));
    }
    const run = (): Outcome<Result<number>> => {
      const got = syscalls.read(task, file, bytes, plan.offset);
      if (got instanceof WaitQueue || isErrno(got)) return got;
      return scatter(task.mem, plan, bytes.subarray(0, got)) ?? got;
    };
    return this.#context.park(call, run, this.#afterStream(entry));
  }
  #afterStream(entry: FileEntry): (result: Result<number>) => Answer {
    return (result) => {
      entry.readiness?.update();
      return numberAnswer(result);
    };
  }

  /** Reads find the text in the file itself. */
  #attrTransfer(call: Notification, entry: AttrEntry): Answer {
    const plan = this.#plan(call);
    if (typeof plan === 'number') return plan;
    if (!plan.write) return entry.node.live ? this.#liveRead(call, entry, plan) : 'continue';
    if (!entry.writable) return -HOST_ERRNO.EBADF;
    const task = this.#context.processes.task(call);
    const bytes = Buffer.alloc(plan.total);
    if (gather(task.mem, plan, bytes)) return -HOST_ERRNO.EFAULT;
    const at = plan.offset === undefined ? entry.position : Number(plan.offset);
    const { syscalls } = this.#context.machine;
    const run = (): Outcome<Result<number>> =>
      syscalls.writeAttr(task, entry.path, entry.node, bytes, at);
    return this.#context.park(call, run, (result) => {
      if (plan.offset === undefined && typeof result === 'number') entry.position += result;
      return numberAnswer(result);
    });
  }

  /** An attribute that changes while it is open. */
  #liveRead(call: Notification, entry: AttrEntry, plan: Plan): Answer {
    const { machine, processes } = this.#context;
    const task = processes.task(call);
    const text = machine.syscalls.readAttr(task, entry.path, entry.node);
    if (isErrno(text)) return -text.number;
    const at = plan.offset === undefined ? entry.position : Number(plan.offset);
    const part = text.subarray(at, at + plan.total);
    if (scatter(task.mem, plan, part)) return -HOST_ERRNO.EFAULT;
    if (plan.offset === undefined) entry.position += part.length;
    return part.length;
  }

  #isNonblocking(call: Notification): boolean {
    try {
      const info = readFileSync(`/proc/${call.tid}/fdinfo/${call.int(0)}`, 'latin1');
      const flags = /^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? '0';
      return (Number.parseInt(flags, 8) & O_NONBLOCK) !== 0;
    } catch {
      return false; // closed meanwhile
    }
  }

  /** Where the bytes of a read or write are in the program, and which place of the file is meant. */
  #plan(call: Notification): Plan | number {
    const spelling = SPELLINGS[call.nr];
    if (!spelling) return -HOST_ERRNO.EINVAL;
    const { write, positioned, vectors } = spelling;
    const offset = positioned ? BigInt.asIntN(64, call.arg(3)) : undefined;
    if (offset !== undefined && offset < 0n) return -HOST_ERRNO.EINVAL;
    if (!vectors) {
      const length = Math.min(Number(call.arg(2)), LONGEST_TRANSFER);
      const pieces = [{ addr: call.arg(1), length }];
      return { write, offset, total: length, pieces };
    }
    const pieces = this.#vectors(call);
    if (typeof pieces === 'number') return pieces;
    const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
    return { write, offset, total, pieces };
  }

  #vectors(call: Notification): Piece[] | number {
    const count = call.uint(2);
    if (count > 1024) return -HOST_ERRNO.EINVAL;
    const iov = Buffer.alloc(count * 16);
    const { mem } = this.#context.processes.task(call);
    if (count > 0 && mem.read(call.arg(1), iov)) return -HOST_ERRNO.EFAULT;
    let room = LONGEST_TRANSFER;
    const pieces: Piece[] = [];
    for (let at = 0; at < iov.length; at += 16) {
      const length = Math.min(Number(iov.readBigUInt64LE(at + 8)), room);
      room -= length;
      pieces.push({ addr: iov.readBigUInt64LE(at), length });
    }
    return pieces;
  }

  /** An attribute in our FUSE mount cannot be mapped, as in sysfs. */
  #mmapForeign(link: string | number): Answer {
    const mounted = typeof link === 'string' && this.#context.isMounted(link);
    return mounted ? -HOST_ERRNO.ENODEV : 'continue';
  }

  #mmap(call: Notification, entry: Entry): Answer {
    if (entry.kind === 'attr') return -HOST_ERRNO.ENODEV;
    const [length, prot, flags, offset] = [call.arg(1), call.uint(2), call.uint(3), call.arg(5)];
    if (offset % PAGE !== 0n) return -HOST_ERRNO.EINVAL;
    const { machine, processes } = this.#context;
    const task = processes.task(call);
    const has = (bit: number): boolean => (prot & bit) !== 0;
    const mapping = machine.syscalls.mmap(task, entry.file, {
      offset,
      length,
      read: has(1),
      write: has(2),
      exec: has(4),
      shared: (flags & 1) !== 0,
    });
    if (isErrno(mapping)) return -mapping.number;
    if (mapping.kind === 'pages') return this.#mmapPages(call, mapping);
    const firstPage = Number(offset / PAGE);
    const endPage = firstPage + Math.ceil(mapping.length / Number(PAGE));
    const { window, start } = mapping;
    if (!entry.windows.some((w) => w.firstPage === firstPage && w.endPage === endPage)) {
      entry.windows.push({ firstPage, endPage, window, start });
    }
    if (!this.#context.traceProcess(task.pid)) {
      const rule =
        'is traced by a debugger: loads and stores to its mapped registers will be SIGBUS';
      this.#context.warn(`process ${task.pid} ${rule}`);
    }
    // The kernel maps the empty file: each access faults and comes to us.
    return 'continue';
  }

  /** The program maps the memory itself; a descriptor of its own tells when the last mapping made by this call goes. */
  #mmapPages(call: Notification, mapping: PagesMapping): Answer {
    const result = this.#mapMemory(call, mapping);
    if (result < 0) mapping.close();
    return result;
  }
  #mapMemory(call: Notification, mapping: PagesMapping): number {
    const { pages, start } = mapping;
    if (!(pages instanceof HostPages)) return -HOST_ERRNO.ENODEV;
    const { listener, files } = this.#context;
    const memory = pages.reopen();
    if (memory < 0) return memory;
    const watching = files.watchPages(pages.path, () => mapping.close());
    const theirs = watching < 0 ? watching : listener.addFd(call, memory, { cloexec: true });
    libc.close(memory);
    if (theirs < 0) return theirs;
    const thread = this.#context.inject(call);
    if (typeof thread === 'number') return thread;
    const file = (INJECTED_MMAP << 32n) | BigInt(theirs);
    const [prot, flags] = [call.uint(2), call.uint(3)];
    const result = thread.run(NR.mmap, call.arg(0), call.arg(1), prot, flags, file, start);
    thread.run(NR.close, theirs);
    return result;
  }
}

function isHugeAnonymous(call: Notification): boolean {
  const MAP_ANONYMOUS = 0x20;
  return (call.uint(3) & MAP_HUGETLB) !== 0 && (call.uint(3) & MAP_ANONYMOUS) !== 0;
}

type PagesMapping = Extract<Mapping, { kind: 'pages' }>;

interface Piece {
  readonly addr: bigint;
  readonly length: number;
}
interface Plan {
  readonly write: boolean;
  readonly offset: bigint | undefined;
  readonly total: number;
  readonly pieces: readonly Piece[];
}
interface Spelling {
  readonly write: boolean;
  readonly positioned: boolean;
  readonly vectors: boolean;
}
const SPELLINGS: Readonly<Record<number, Spelling>> = {
  [NR.read]: { write: false, positioned: false, vectors: false },
  [NR.write]: { write: true, positioned: false, vectors: false },
  [NR.pread64]: { write: false, positioned: true, vectors: false },
  [NR.pwrite64]: { write: true, positioned: true, vectors: false },
  [NR.readv]: { write: false, positioned: false, vectors: true },
  [NR.writev]: { write: true, positioned: false, vectors: true },
  [NR.preadv]: { write: false, positioned: true, vectors: true },
  [NR.pwritev]: { write: true, positioned: true, vectors: true },
  [NR.preadv2]: { write: false, positioned: true, vectors: true },
  [NR.pwritev2]: { write: true, positioned: true, vectors: true },
};

type Memory = CallContext['processes'] extends { task(call: Notification): infer T }
  ? T extends { mem: infer M }
    ? M
    : never
  : never;

function gather(mem: Memory, plan: Plan, into: Buffer): typeof EFAULT | undefined {
  let at = 0;
  for (const { addr, length } of plan.pieces) {
    const rc = mem.read(addr, into.subarray(at, at + length));
    if (rc) return rc;
    at += length;
  }
  return undefined;
}
function scatter(mem: Memory, plan: Plan, from: Uint8Array): typeof EFAULT | undefined {
  let at = 0;
  for (const { addr, length } of plan.pieces) {
    const rc = mem.write(addr, from.subarray(at, Math.min(at + length, from.length)));
    if (rc) return rc;
    at += length;
    if (at >= from.length) break;
  }
  return undefined;
}
