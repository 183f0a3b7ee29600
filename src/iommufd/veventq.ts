/** VEVENTQ: events of a vIOMMU's hardware, for its guest (iommufd.md 2.19). */
import { Bug } from '../base/bug.ts';
import { EEXIST, EINVAL, isErrno, type Result, type Status } from '../base/errno.ts';
import { POLLIN, POLLRDNORM, type FileOps, type OpenFile, type UserBuffer } from '../base/file.ts';
import { refuse } from '../base/refuse.ts';
import { WaitQueue } from '../base/wait-queue.ts';
import {
  IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
  iommufd_vevent_header,
  type iommu_veventq_alloc,
} from '../uapi/iommufd.ts';
import { checkOffset, installQueue } from './fault.ts';
import type { Ucmd } from './ioctl.ts';
import { IommufdObject } from './object.ts';
import { Viommu, type EventSink } from './viommu-object.ts';
import { checkFlags, checkReserved, checkType } from './checks.ts';

const MAX_DEPTH = 1 << 19;
const HEADER = iommufd_vevent_header.size;

interface Vevent {
  readonly sequence: number;
  /** Absent in the marker of lost events. */
  readonly bytes?: Uint8Array;
}

export class Veventq extends IommufdObject implements EventSink {
  static readonly kind = 'VEVENTQ';
  readonly viommu: Viommu;
  readonly type: number;
  readonly depth: number;
  readonly events: Vevent[] = [];
  readonly wakes = new WaitQueue();
  #normal = 0;
  #sequence = 0;

  constructor(viommu: Viommu, type: number, depth: number) {
    super();
    this.viommu = viommu;
    this.type = type;
    this.depth = depth;
    viommu.eventQueues.push(this);
    viommu.users++;
  }
  override destroy(): void {
    this.events.length = 0;
    const { eventQueues } = this.viommu;
    eventQueues.splice(eventQueues.indexOf(this), 1);
    this.viommu.users--;
  }
  /** There is at most one marker, at the tail: what comes next replaces it. */
  report(bytes: Uint8Array): void {
    const tail = this.events[this.events.length - 1];
    if (tail && !tail.bytes) this.events.pop();
    const sequence = this.#sequence;
    this.#sequence = sequence === 0x7fff_ffff ? 0 : sequence + 1;
    if (this.#normal === this.depth) {
      this.events.push({ sequence });
    } else {
      this.events.push({ sequence, bytes: bytes.slice() });
      this.#normal++;
    }
    this.wakes.wakeAll();
  }
  take(): void {
    if (this.events.shift()?.bytes) this.#normal--;
  }
}

/** @kernel iommufd_veventq_alloc */
export function veventqAlloc(ucmd: Ucmd<iommu_veventq_alloc>): Status {
  const { cmd, ctx } = ucmd;
  const wrong = checkFlags(cmd.flags) ?? checkReserved(cmd.__reserved) ?? checkType(cmd.type);
  if (wrong) return wrong;
  const depth = cmd.veventq_depth;
  if (depth === 0) return refuse(EINVAL, 'the depth is 0', { viommu_id: cmd.viommu_id });
  if (depth > MAX_DEPTH) return refuse(EINVAL, 'the depth is too large', { depth, max: MAX_DEPTH });
  const viommu = ctx.objects.get(cmd.viommu_id, Viommu);
  if (isErrno(viommu)) return viommu;
  if (viommu.eventQueues.some((queue) => queue.type === cmd.type)) {
    return refuse(EEXIST, 'the vIOMMU has a queue of this type already', { type: cmd.type });
  }
  const queue = new Veventq(viommu, cmd.type, depth);
  const rc = ctx.objects.reserve(queue);
  if (rc) {
    queue.destroy();
    return rc;
  }
  const failed = installQueue(ucmd, queue, '[iommufd-viommu-event]', veventOps, (fd) => {
    cmd.out_veventq_id = queue.id;
    cmd.out_veventq_fd = fd;
  });
  if (failed) ctx.objects.abort(queue);
  else ctx.objects.publish(queue);
  return failed;
}

const veventOps: FileOps = {
  stream: true,
  read(file, _task, into, offset) {
    return checkOffset(offset) ?? readEvents(queueOf(file), into);
  },
  poll(file) {
    const queue = queueOf(file);
    const events = queue.events.length > 0 ? POLLIN | POLLRDNORM : 0;
    return { events, wakes: queue.wakes };
  },
  release(file) {
    const queue = queueOf(file);
    queue.users--;
    queue.viommu.ctx.file.put();
  },
};

function queueOf(file: OpenFile): Veventq {
  if (file.priv instanceof Veventq) return file.priv;
  throw new Bug(`${file.name} is no event queue`);
}

/**
 * Whole records while they fit; one that could not be copied whole stays first in the queue.
 * @kernel iommufd_veventq_fops_read
 */
function readEvents(queue: Veventq, into: UserBuffer): Result<number> {
  if (into.length < HEADER) {
    return refuse(EINVAL, 'the buffer does not hold the header of an event', {
      count: into.length,
    });
  }
  let done = 0;
  for (;;) {
    const event = queue.events[0];
    if (!event) return done;
    const record = recordOf(event);
    if (record.length > into.length - done) {
      return done > 0
        ? done
        : refuse(EINVAL, 'the first event does not fit', { size: record.length });
    }
    const rc = into.copyTo(done, record);
    if (rc) return done > 0 ? done : rc;
    queue.take();
    done += record.length;
  }
}
function recordOf(event: Vevent): Uint8Array {
  const record = new Uint8Array(HEADER + (event.bytes?.length ?? 0));
  const header = iommufd_vevent_header.view(record.subarray(0, HEADER));
  header.flags = event.bytes ? 0 : IOMMU_VEVENTQ_FLAG_LOST_EVENTS;
  header.sequence = event.sequence;
  if (event.bytes) record.set(event.bytes, HEADER);
  return record;
}
