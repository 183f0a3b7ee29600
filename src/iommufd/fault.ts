/** FAULT: a queue of page faults that a program reads and answers (iommufd.md 2.16). */
import { EINVAL, ESPIPE, isErrno, type Result, type Status } from '../base/errno.ts';
import {
  OpenFile,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  type FileOps,
  type UserBuffer,
} from '../base/file.ts';
import { IdTable } from '../base/id-table.ts';
import { Bug } from '../base/bug.ts';
import { refuse } from '../base/refuse.ts';
import { WaitQueue } from '../base/wait-queue.ts';
import { iopfFreeGroup, iopfGroupResponse } from '../core/contract/iopf.ts';
import { IOMMU_PAGE_RESP_INVALID, type IopfGroup } from '../core/contract/iopf-queue.ts';
import type { AttachHandle } from '../core/contract/domain.ts';
import {
  iommu_hwpt_page_response,
  iommu_hwpt_pgfault,
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
  type iommu_fault_alloc,
} from '../uapi/iommufd.ts';
import type { IommufdContext } from './context.ts';
import type { Ucmd } from './ioctl.ts';
import { IommufdObject } from './object.ts';
import { checkFlags } from './checks.ts';

/** What iommufd keeps in an attach handle: whose faults come through it. */
export class FaultSource {
  readonly device: { readonly id: number };
  constructor(device: { readonly id: number }) {
    this.device = device;
  }
}

export class FaultQueue extends IommufdObject {
  static readonly kind = 'FAULT';
  readonly ctx: IommufdContext;
  /** Not read yet, in order of arrival. */
  readonly deliver: IopfGroup[] = [];
  /** Read and not answered, by cookie. */
  readonly awaiting = new IdTable<IopfGroup>(1, 0xffff_ffff);
  readonly wakes = new WaitQueue();

  constructor(ctx: IommufdContext) {
    super();
    this.ctx = ctx;
  }
  override destroy(): void {
    this.answerAll(() => true);
  }
  /** The handler of a domain with this queue. @kernel iommufd_fault_iopf_handler */
  handle(group: IopfGroup): Status {
    this.deliver.push(group);
    this.wakes.wakeAll();
    return undefined;
  }
  /** Answer INVALID to everything that came through a handle. @kernel iommufd_auto_response_faults */
  answerFaultsOf(handle: AttachHandle): void {
    this.answerAll((group) => group.attachHandle === handle);
  }
  answerAll(which: (group: IopfGroup) => boolean): void {
    const queued = this.deliver.splice(0);
    for (const group of queued) {
      if (which(group)) respond(group, IOMMU_PAGE_RESP_INVALID);
      else this.deliver.push(group);
    }
    // Who shows the queue as readable must learn that it is not.
    if (queued.length > 0 && this.deliver.length === 0) this.wakes.wakeAll();
    for (const [cookie, group] of [...this.awaiting.entries()]) {
      if (!which(group)) continue;
      this.awaiting.remove(cookie);
      respond(group, IOMMU_PAGE_RESP_INVALID);
    }
  }
}

function respond(group: IopfGroup, code: number): void {
  iopfGroupResponse(group, code);
  iopfFreeGroup(group);
}

/** @kernel iommufd_fault_alloc */
export function faultAlloc(ucmd: Ucmd<iommu_fault_alloc>): Status {
  const { cmd, ctx } = ucmd;
  const wrong = checkFlags(cmd.flags);
  if (wrong) return wrong;
  const fault = new FaultQueue(ctx);
  const rc = ctx.objects.reserve(fault);
  if (rc) return rc;
  const failed = installQueue(ucmd, fault, '[iommufd-pgfault]', faultOps, (fd) => {
    cmd.out_fault_id = fault.id;
    cmd.out_fault_fd = fd;
  });
  if (failed) ctx.objects.abort(fault);
  else ctx.objects.publish(fault);
  return failed;
}

/** Give the caller the fd of a queue and the answer with it, or neither. */
export function installQueue(
  ucmd: Ucmd<unknown>,
  queue: IommufdObject,
  name: string,
  ops: FileOps,
  answer: (fd: number) => void,
): Status {
  // An fd cannot be taken back from the caller: prove first, with what is there, that the answer can be written.
  const unwritable = ucmd.respond();
  if (unwritable) return unwritable;
  const file = eventFile(name, ops, queue, ucmd.ctx);
  const fd = ucmd.task.installFile(file, true);
  if (isErrno(fd)) {
    file.put();
    return fd;
  }
  answer(fd);
  return ucmd.respond();
}

/** An anonymous file on an event queue: it holds the queue and the context. */
export function eventFile(
  name: string,
  ops: FileOps,
  queue: IommufdObject,
  ctx: IommufdContext,
): OpenFile {
  const file = new OpenFile(`anon_inode:${name}`, ops, queue);
  queue.users++;
  ctx.file.get();
  return file;
}

const faultOps: FileOps = {
  stream: true,
  read(file, _task, into, offset) {
    return checkOffset(offset) ?? readFaults(queueOf(file), into);
  },
  write(file, _task, from, offset) {
    return checkOffset(offset) ?? writeResponses(queueOf(file), from);
  },
  poll(file) {
    const fault = queueOf(file);
    const ready = fault.deliver.length > 0 ? POLLIN | POLLRDNORM : 0;
    return { events: POLLOUT | ready, wakes: fault.wakes };
  },
  release(file) {
    const fault = queueOf(file);
    fault.users--;
    fault.ctx.file.put();
  },
};

function queueOf(file: OpenFile): FaultQueue {
  if (file.priv instanceof FaultQueue) return file.priv;
  throw new Bug(`${file.name} is no fault queue`);
}
export function checkOffset(offset: bigint | undefined): Status<'ESPIPE'> {
  if (offset === undefined || offset === 0n) return undefined;
  return refuse(ESPIPE, 'an event queue has no offsets', { offset });
}

/**
 * Whole groups while they fit; a group that could not be copied whole stays first in the queue.
 * @kernel iommufd_fault_fops_read
 */
function readFaults(fault: FaultQueue, into: UserBuffer): Result<number> {
  const { size } = iommu_hwpt_pgfault;
  if (into.length % size !== 0) {
    return refuse(ESPIPE, 'the count is not a multiple of the message', { count: into.length });
  }
  let done = 0;
  for (;;) {
    const group = fault.deliver[0];
    if (!group) return done;
    const length = group.faults.length * size;
    if (length > into.length - done) {
      return done > 0
        ? done
        : refuse(EINVAL, 'the first group of faults does not fit', {
            faults: length,
            room: into.length,
          });
    }
    const cookie = fault.awaiting.reserve();
    if (isErrno(cookie)) return done > 0 ? done : cookie;
    const rc = into.copyTo(done, messagesOf(group, cookie));
    if (rc) {
      fault.awaiting.abort(cookie);
      return done > 0 ? done : rc;
    }
    fault.deliver.shift();
    fault.awaiting.publish(cookie, group);
    group.cookie = cookie;
    done += length;
  }
}
function messagesOf(group: IopfGroup, cookie: number): Uint8Array {
  const { size } = iommu_hwpt_pgfault;
  const bytes = new Uint8Array(group.faults.length * size);
  const source = group.attachHandle.priv;
  const devId = source instanceof FaultSource ? source.device.id : 0;
  group.faults.forEach((message, index) => {
    const out = iommu_hwpt_pgfault.view(bytes.subarray(index * size, (index + 1) * size));
    out.flags = message.flags & 3;
    out.dev_id = devId;
    out.pasid = message.pasid;
    out.grpid = message.grpid;
    out.perm = message.perm;
    out.addr = message.addr;
    out.cookie = cookie;
  });
  return bytes;
}

/** @kernel iommufd_fault_fops_write */
function writeResponses(fault: FaultQueue, from: UserBuffer): Result<number> {
  const { size } = iommu_hwpt_page_response;
  if (from.length % size !== 0) {
    return refuse(ESPIPE, 'the count is not a multiple of the response', { count: from.length });
  }
  const bytes = new Uint8Array(size);
  for (let done = 0; done < from.length; done += size) {
    const rc = from.copyFrom(done, bytes) ?? answer(fault, bytes);
    if (rc) return done > 0 ? done : rc;
  }
  return from.length;
}
function answer(fault: FaultQueue, response: Uint8Array): Status {
  const { cookie, code } = iommu_hwpt_page_response.view(response);
  if (code !== IOMMUFD_PAGE_RESP_SUCCESS && code !== IOMMUFD_PAGE_RESP_INVALID) {
    return refuse(EINVAL, 'unknown response code', { code });
  }
  const group = fault.awaiting.get(cookie);
  if (!group) return refuse(EINVAL, 'no group of faults waits under this cookie', { cookie });
  fault.awaiting.remove(cookie);
  respond(group, code);
  return undefined;
}
