/**
 * Trapped calls on descriptors: ioctl, pread and pwrite in all spellings, reads of event queues, short writes, mmap, ftruncate.
 *
 * A descriptor that is not ours is the host's own affair: the call goes on as if nothing had happened.
 */
import { mmapOfHost } from './own-mount.ts';
import { EAGAIN, isErrno, type Result } from '../../base/errno.ts';
import type { Mapping, OpenFile } from '../../base/file.ts';
import { WaitQueue, type Outcome } from '../../base/wait-queue.ts';
import { numberAnswer, type CallContext } from './call-context.ts';
import { HugePages } from './huge-pages.ts';
import { RegisterBuffers } from './register-buffers.ts';
import { RegisterMappings } from './register-mappings.ts';
import { RegisterMessages, type MessageSpelling } from './register-messages.ts';
import { HOST_ERRNO, MAP_ANONYMOUS, MAP_HUGETLB, NR } from '../sys/numbers.ts';
import { HandedOver } from '../seccomp/handed-over.ts';
import { HostPages } from '../process/shared-memory.ts';
import { ours, type Handled, mappedFile } from '../seccomp/in-thread.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { KVM_SET_DEVICE_ATTR } from '../seccomp/trapped.ts';
import { callLook } from '../process/call-look.ts';
import type { DescriptorLink } from '../sys/look.ts';
import type { AttrEntry, OpenEntry, FileEntry } from '../process/open-files.ts';
import type { HostTask } from '../process/task.ts';
import {
  eachBuffer,
  gather,
  scatter,
  transferPlan,
  type Move,
  type Spelling,
  type TransferPlan,
} from './transfers.ts';

/** More is not written to a sysfs attribute at once: a page. */
const LONGEST_ATTRIBUTE = 4096;
const PAGE = 4096n;
const FIRST_REGION_OFFSET = 1n << 40n;

/** Calls on descriptors. What is not a file of ours is answered by the host. */
export class FileTraps {
  readonly #context: CallContext;
  readonly #hugePages: HugePages;
  readonly #registerBuffers: RegisterBuffers;
  readonly #registerMappings: RegisterMappings;
  readonly #registerMessages: RegisterMessages;
  constructor(context: CallContext) {
    this.#context = context;
    this.#hugePages = new HugePages(context);
    this.#registerBuffers = new RegisterBuffers(context);
    this.#registerMappings = new RegisterMappings(context);
    this.#registerMessages = new RegisterMessages(context);
  }

  ioctl(call: Notification): Answer {
    const entry = this.#entryOf(call, call.arg(2));
    if (entry === 'closed') return -HOST_ERRNO.EBADF;
    if (entry === 'denied') return this.#denied(call, isOurCommand(call.uint(1)));
    if (call.uint(1) === KVM_SET_DEVICE_ATTR) return this.#kvmDeviceAttr(call);
    if (!entry) return 'continue';
    if (entry.kind === 'attr') return -HOST_ERRNO.ENOTTY;
    const { machine, processes } = this.#context;
    const task = processes.task(call);
    const { file } = entry;
    const run = (): Outcome<Result<number>> =>
      machine.syscalls.ioctl(task, file, call.arg(1), call.arg(2), call.int(0));
    return this.#context.park(call, run, numberAnswer);
  }

  /** A read or write in any of its spellings. */
  transfer(call: Notification, spelling: Spelling): Handled {
    // Registers and attributes are written in few bytes.
    const written = spelling.write && !spelling.vectors ? call.arg(1) : undefined;
    const entry = this.#entryOf(call, written);
    if (entry === 'closed') return -HOST_ERRNO.EBADF;
    if (entry === 'denied') {
      return this.#denied(call, spelling.positioned && isRegionOffset(call.arg(3)));
    }
    if (!entry) return this.foreignTransfer(call, spelling);
    return entry.kind === 'attr'
      ? this.#attrTransfer(call, spelling, entry)
      : this.#fileTransfer(call, spelling, entry);
  }
  /** Of a file of the host's: its buffers may be registers. */
  foreignTransfer(call: Notification, spelling: Spelling): Handled {
    const { files, processes } = this.#context;
    if (!files.hasRegisters) return 'continue';
    const plan = transferPlan(call, spelling, () => processes.task(call).mem);
    if (typeof plan === 'number') return 'continue'; // it will fail
    return this.#registerBuffers.answer(call, plan, spelling.vectors);
  }

  /** What is sent or received in messages: sockets are never ours. */
  messages(call: Notification, spelling: MessageSpelling): Handled {
    if (!this.#context.files.hasRegisters) return 'continue';
    return this.#registerMessages.answer(call, spelling);
  }

  /** ftruncate() or fallocate(), with its errno for what has no size to change: only regular files have. */
  resize(call: Notification, errno: number): Answer {
    const entry = this.#entryOf(call);
    if (entry === 'closed') return -HOST_ERRNO.EBADF;
    if (entry === 'denied') return 'continue';
    return !entry || entry.kind === 'attr' ? 'continue' : -errno;
  }

  memfdCreate(call: Notification): Answer {
    return this.#hugePages.memfdCreate(call);
  }

  mmap(call: Notification): Handled {
    if (isHugeAnonymous(call)) return this.#hugePages.mmap(call);
    const { files, processes } = this.#context;
    const link = processes.descriptorLink(call.tid, call.int(4));
    if (link === -HOST_ERRNO.EACCES) return this.#denied(call, isRegionOffset(call.arg(5)));
    const file: DescriptorLink = `/proc/${call.tid}/fd/${call.int(4)}`;
    const entry = files.at(file, link, callLook.takeObject());
    return entry ? this.#mmap(call, entry) : mmapOfHost(this.#context, file, link);
  }

  /** What is behind the first argument; undefined: nothing of ours. `struct`: where there is one that is likely to be read. */
  #entryOf(call: Notification, struct?: bigint): OpenEntry | 'closed' | 'denied' | undefined {
    const { files, processes } = this.#context;
    const link = processes.descriptorLink(call.tid, call.int(0), struct);
    // Left to the kernel, the call could find what another thread opens there before it is made.
    if (link === -HOST_ERRNO.ENOENT) return 'closed';
    if (link === -HOST_ERRNO.EACCES) return 'denied';
    return files.at(`/proc/${call.tid}/fd/${call.int(0)}`, link, callLook.takeObject());
  }

  /** Of a program whose descriptors we may not see: only what is asked of one tells whose it is. */
  #denied(call: Notification, isOurs: boolean): Answer {
    if (!isOurs) return 'continue';
    this.#context.processes.mayNotLook(call.tid);
    return -HOST_ERRNO.EPERM;
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

  /** A read or write of a file of ours: buffer by buffer, as the kernel does for files that know of no vectors. */
  #fileTransfer(call: Notification, spelling: Spelling, entry: FileEntry): Answer {
    const plan = transferPlan(call, spelling, () => this.#context.processes.task(call).mem);
    if (typeof plan === 'number') return plan;
    if (plan.flags !== 0) return -HOST_ERRNO.EOPNOTSUPP;
    const { machine, processes } = this.#context;
    const { syscalls } = machine;
    const task = processes.task(call);
    const { file } = entry;
    const fd = call.int(0);
    const move: Move = (buffer, at) =>
      plan.write
        ? syscalls.write(task, file, buffer, at, fd)
        : syscalls.read(task, file, buffer, at, fd);
    const run = (): Outcome<Result<number>> => {
      const moved = eachBuffer(plan, task.mem, move);
      // Answered with what was moved before a buffer that would have waited.
      if (!(moved instanceof WaitQueue)) syscalls.giveUp(task.tid, EAGAIN);
      return moved;
    };
    return this.#context.park(call, run, (result) => {
      entry.readiness?.update();
      return numberAnswer(result);
    });
  }

  /** Reads find the text in the file itself. */
  #attrTransfer(call: Notification, spelling: Spelling, entry: AttrEntry): Answer {
    const task = this.#context.processes.task(call);
    const plan = transferPlan(call, spelling, () => task.mem);
    if (typeof plan === 'number') return plan;
    if (!plan.write) return entry.node.live ? this.#liveRead(task, entry, plan) : 'continue';
    if (!entry.writable) return -HOST_ERRNO.EBADF;
    const bytes = Buffer.alloc(Math.min(plan.total, LONGEST_ATTRIBUTE));
    if (gather(task.mem, plan, bytes)) return -HOST_ERRNO.EFAULT;
    const at = plan.offset === undefined ? entry.position : Number(plan.offset);
    const { syscalls } = this.#context.machine;
    const run = (): Outcome<Result<number>> =>
      syscalls.writeAttr(task, entry.path, entry.node, bytes, at);
    const answer = (result: Result<number>): Answer => {
      if (plan.offset === undefined && typeof result === 'number') entry.position += result;
      return numberAnswer(result);
    };
    return this.#context.park(call, run, answer, { outlivesCaller: true });
  }

  /** An attribute that changes while it is open. */
  #liveRead(task: HostTask, entry: AttrEntry, plan: TransferPlan): Answer {
    const text = this.#context.machine.syscalls.readAttr(task, entry.path, entry.node);
    if (isErrno(text)) return -text.number;
    const at = plan.offset === undefined ? entry.position : Number(plan.offset);
    const part = text.subarray(at, at + plan.total);
    if (scatter(task.mem, plan, part)) return -HOST_ERRNO.EFAULT;
    if (plan.offset === undefined) entry.position += part.length;
    return part.length;
  }

  #mmap(call: Notification, entry: OpenEntry): Handled {
    if (entry.kind === 'attr') return entry.node.isRegular ? 'continue' : -HOST_ERRNO.ENODEV;
    const [length, prot, flags, offset] = [call.arg(1), call.uint(2), call.uint(3), call.arg(5)];
    if (offset % PAGE !== 0n) return -HOST_ERRNO.EINVAL;
    const { machine, processes } = this.#context;
    const task = processes.task(call);
    const has = (bit: number): boolean => (prot & bit) !== 0;
    const request = {
      offset,
      length,
      read: has(1),
      write: has(2),
      exec: has(4),
      shared: (flags & 1) !== 0,
    };
    const mapping = machine.syscalls.mmap(task, entry.file, request, call.int(4));
    if (isErrno(mapping)) return -mapping.number;
    if (mapping.kind === 'pages') return this.#mmapPages(call, entry.file, mapping);
    return this.#registerMappings.map(call, entry, mapping);
  }

  /**
   * The program maps the memory itself, through a description of its own that lives as long as the mapping. The mapping
   * keeps our file open, as a vma does.
   */
  #mmapPages(call: Notification, file: OpenFile, mapping: PagesMapping): Handled {
    const fail = (errno: number): number => {
      mapping.close();
      return errno;
    };
    if (!areOurs(mapping)) return fail(-HOST_ERRNO.ENODEV);
    const { pages } = mapping;
    const mark = this.#context.files.newMark();
    const hand = new HandedOver(() => pages.reopen(mark));
    const mapped = (): void => this.#mapped(call, file, mapping, mark);
    const how = [call.arg(0), call.arg(1), call.uint(2), call.uint(3)] as const;
    return {
      hands: [hand],
      *run() {
        if (hand.fd < 0) return fail(hand.fd);
        const fd = mappedFile(hand.fd);
        const result = yield* ours(NR.mmap, ...how, fd, mapping.start);
        if (result < 0) return fail(result);
        mapped();
        return result;
      },
      otherwise: fail,
      gone: () => mapping.close(),
    };
  }
  #mapped(call: Notification, file: OpenFile, mapping: OurPages, mark: number): void {
    const { files, machine, processes } = this.#context;
    const pid = processes.processOf(call.tid);
    const { pages } = mapping;
    file.get();
    files.watchMapping({
      fd: pages.fd,
      object: pages.object,
      mark,
      closed: () => {
        mapping.close();
        if (machine.syscalls.close(pid, file)) this.#context.warn(`${file.name}: not released`);
      },
    });
  }
}

function isOurCommand(command: number): boolean {
  return ((command >> 8) & 0xff) === 0x3b;
}
/** Only regions of ours have such. */
function isRegionOffset(offset: bigint): boolean {
  return offset >= FIRST_REGION_OFFSET;
}
function isHugeAnonymous(call: Notification): boolean {
  return (call.uint(3) & MAP_HUGETLB) !== 0 && (call.uint(3) & MAP_ANONYMOUS) !== 0;
}

type PagesMapping = Extract<Mapping, { kind: 'pages' }>;
type OurPages = PagesMapping & { readonly pages: HostPages };
function areOurs(mapping: PagesMapping): mapping is OurPages {
  return mapping.pages instanceof HostPages;
}
