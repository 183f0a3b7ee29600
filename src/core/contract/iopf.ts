/**
 * I/O page faults: requests, groups, queues, responses (core.md 9.2).
 *
 * A device asks for pages; its driver reports each request here; the last one of a group brings all of them to the
 * handler of the domain they were meant for, which answers with one response.
 */
import { Bug, bugOn } from '../../base/bug.ts';
import { EBUSY, EINVAL, ENODEV, type Status } from '../../base/errno.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { refuse } from '../../base/refuse.ts';
import { devHasIommu, type Device } from './device.ts';
import {
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
  IOMMU_PAGE_RESP_INVALID,
  IOMMU_PAGE_RESP_FAILURE,
  IopfQueue,
  type IopfFault,
  type IopfGroup,
  type FaultParam,
} from './iopf-queue.ts';
import { IOMMU_DOMAIN_NESTED, type AttachHandle } from './domain.ts';
import { callDriver } from './driver-call.ts';

interface GroupState {
  readonly param: FaultParam;
  /** A response was sent: there is exactly one for each group. */
  answered: boolean;
}
const groupStates = new WeakMap<IopfGroup, GroupState>();

/** @kernel iopf_queue_alloc */
export function iopfQueueAlloc(env: KernelEnv, name: string): IopfQueue {
  return new IopfQueue(env, name);
}

/**
 * Free a queue; its devices leave it first. Nothing to do without one.
 * @kernel iopf_queue_free
 */
export function iopfQueueFree(queue: IopfQueue | undefined): void {
  if (!queue) return;
  for (const { dev } of [...queue.params]) iopfQueueRemoveDevice(queue, dev);
}

/**
 * Let a device report faults.
 * Errnos: ENODEV its driver cannot respond; EBUSY it is on a queue.
 * @kernel iopf_queue_add_device
 */
export function iopfQueueAddDevice(queue: IopfQueue, dev: Device): Status<'ENODEV' | 'EBUSY'> {
  if (!devHasIommu(dev) || !dev.iommu.iommuDev.ops.pageResponse) {
    return refuse(ENODEV, 'the IOMMU driver cannot answer page requests', { device: dev.name });
  }
  using _ = queue.lock.hold();
  if (dev.iommu.faultParam) {
    return refuse(EBUSY, 'the device is on a fault queue already', { device: dev.name });
  }
  const param: FaultParam = { dev, queue, partial: [], pending: new Set() };
  dev.iommu.faultParam = param;
  queue.params.add(param);
  return undefined;
}

/**
 * Take a device off its queue: partial faults are dropped, pending groups answered INVALID.
 * @kernel iopf_queue_remove_device
 */
export function iopfQueueRemoveDevice(queue: IopfQueue, dev: Device): void {
  using _ = queue.lock.hold();
  const param = dev.iommu?.faultParam;
  if (!dev.iommu || !param || param.queue !== queue) {
    dev.core.env.warn('iopf-no-param', `${dev.name}: removed from a fault queue it is not on`);
    return;
  }
  param.partial.length = 0;
  for (const group of [...param.pending]) iopfGroupResponse(group, IOMMU_PAGE_RESP_INVALID);
  queue.params.delete(param);
  dev.iommu.faultParam = undefined;
}

/**
 * Wait until everything queued for the device was handled.
 * Errnos: ENODEV it is on no queue.
 * @kernel iopf_queue_flush_dev
 */
export function iopfQueueFlushDev(dev: Device): Status<'ENODEV'> {
  const param = dev.iommu?.faultParam;
  if (!param) {
    dev.core.env.warn('iopf-no-param', `${dev.name}: flushed without a fault queue`);
    return refuse(ENODEV, 'the device is on no fault queue', { device: dev.name });
  }
  param.queue.drain();
  return undefined;
}

/**
 * Forget requests whose last page never came.
 * Errnos: EINVAL no queue.
 * @kernel iopf_queue_discard_partial
 */
export function iopfQueueDiscardPartial(queue: IopfQueue | undefined): Status<'EINVAL'> {
  if (!queue) return refuse(EINVAL, 'there is no fault queue');
  using _ = queue.lock.hold();
  for (const param of queue.params) param.partial.length = 0;
  return undefined;
}

/**
 * A driver reports a page request. A group that nobody takes is answered here, which is no error of the caller.
 * Errnos: EINVAL nobody handles faults of this device and PASID; it was answered INVALID.
 * @kernel iommu_report_device_fault
 */
export function reportDeviceFault(dev: Device, fault: IopfFault): Status<'EINVAL'> {
  const handle = findHandle(dev, fault);
  if (!handle?.domain?.iopfHandler) {
    return refuseFault(dev, fault, 'nothing that handles page faults is attached');
  }
  const param = dev.iommu?.faultParam;
  if (!param) {
    dev.core.env.warn('iopf-no-param', `${dev.name}: a page fault without a fault queue`);
    return refuseFault(dev, fault, 'the device is on no fault queue');
  }
  if ((fault.flags & IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE) === 0) {
    param.partial.push(fault);
    return undefined;
  }
  const group = collectGroup(param, fault, handle);
  const rc = handle.domain.iopfHandler(group);
  if (rc) {
    dev.core.env.log(
      'warn',
      `${dev.name}: page fault group ${fault.grpid} was not taken: ${rc.name}`,
    );
    iopfGroupResponse(group, IOMMU_PAGE_RESP_FAILURE);
    iopfFreeGroup(group);
  }
  return undefined;
}

/** The attach the fault was meant for. */
function findHandle(dev: Device, fault: IopfFault): AttachHandle | undefined {
  const entries = dev.iommuGroup?.pasidArray;
  const rid = entries?.get(0)?.handle;
  if ((fault.flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID) === 0) return rid;
  return entries?.get(fault.pasid)?.handle ?? (ownsPasidTable(dev, rid) ? rid : undefined);
}

/** A stage 1 with a PASID table of its own takes the faults of all PASIDs. */
function ownsPasidTable(dev: Device, rid: AttachHandle | undefined): boolean {
  if (rid?.domain?.type !== IOMMU_DOMAIN_NESTED || !devHasIommu(dev)) return false;
  return dev.iommu.iommuDev.ops.userPasidTable === true;
}

/** All faults of the same number that came before, in order, and this one. */
function collectGroup(param: FaultParam, last: IopfFault, handle: AttachHandle): IopfGroup {
  const faults = param.partial.filter((fault) => fault.grpid === last.grpid);
  const others = param.partial.filter((fault) => fault.grpid !== last.grpid);
  param.partial.splice(0, param.partial.length, ...others);
  const group = { dev: param.dev, faults: [...faults, last], attachHandle: handle, cookie: 0 };
  groupStates.set(group, { param, answered: false });
  param.pending.add(group);
  return group;
}

function refuseFault(dev: Device, fault: IopfFault, rule: string): Status<'EINVAL'> {
  respond(dev, fault, IOMMU_PAGE_RESP_INVALID);
  return refuse(EINVAL, rule, { device: dev.name, addr: fault.addr, pasid: fault.pasid });
}

function respond(dev: Device, fault: IopfFault, code: number): void {
  if (!devHasIommu(dev)) return;
  const { ops } = dev.iommu.iommuDev;
  if (!ops.pageResponse) return;
  const { pasid, grpid } = fault;
  const about = { op: 'page_response', driver: ops.name, pasid };
  callDriver(dev, about, () => ops.pageResponse!(dev, fault, { pasid, grpid, code }));
}

/**
 * Answer a group, once; a second answer is dropped.
 * @kernel iopf_group_response
 */
export function iopfGroupResponse(group: IopfGroup, code: number): void {
  const state = stateOf(group);
  state.param.pending.delete(group);
  if (state.answered) return;
  state.answered = true;
  respond(group.dev, group.faults[group.faults.length - 1]!, code);
}

/**
 * Take a group off the pending ones; the caller still has to answer and free it.
 * @kernel iopf_group_dequeue
 */
export function iopfGroupDequeue(group: IopfGroup): void {
  stateOf(group).param.pending.delete(group);
}

/** @kernel iopf_free_group */
export function iopfFreeGroup(group: IopfGroup): void {
  const { param } = stateOf(group);
  bugOn(param.pending.has(group), 'a page fault group is freed before it was answered');
  groupStates.delete(group);
}

/**
 * Handle a group later, in the queue's worker.
 * Errnos: EBUSY it is queued already.
 */
export function iopfGroupQueueWork(group: IopfGroup, run: () => void): Status<'EBUSY'> {
  const { queue } = stateOf(group).param;
  if (queue.enqueue(group, run)) return undefined;
  return refuse(EBUSY, 'the page fault group is being handled already');
}

function stateOf(group: IopfGroup): GroupState {
  const state = groupStates.get(group);
  if (!state) throw new Bug('a page fault group is used after it was freed');
  return state;
}
