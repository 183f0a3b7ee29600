/**
 * The driver's side of page requests: the interrupt handler, the responses, and which devices may ask
 * (core.md 9.2, 9.3; formats.md 11.1; VT-d 7.5, 7.6).
 */
import { ENODEV, type Status } from '../../../base/errno.ts';
import { refuse } from '../../../base/refuse.ts';
import { fromGranules } from '../../../base/u64.ts';
import type { Device } from '../../../core/contract/device.ts';
import {
  iopfQueueAddDevice,
  iopfQueueRemoveDevice,
  reportDeviceFault,
} from '../../../core/contract/iopf.ts';
import {
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
  IOMMU_PAGE_RESP_FAILURE,
  IOMMU_PAGE_RESP_INVALID,
  IOMMU_PAGE_RESP_SUCCESS,
  type IopfFault,
  type PageResponse,
} from '../../../core/contract/iopf-queue.ts';
import { toIntelDevice, type IntelDevice } from './domain.ts';
import type { IntelIommu } from './iommu.ts';
import { ringPointers, type RegisterPort } from '../../unit/register-port.ts';
import { Ring } from '../../unit/ring.ts';
import { PRS_PPR, PRS_PRO, REG_PQH, REG_PQT, REG_PRS } from '../registers.ts';
import { PAGE_REQUEST_BYTES, pageRequest } from '../words.ts';

/** Response codes of the hardware: 0 success, 1 invalid, 15 failure. */
const CODES = new Map([
  [IOMMU_PAGE_RESP_SUCCESS, 0],
  [IOMMU_PAGE_RESP_INVALID, 1],
  [IOMMU_PAGE_RESP_FAILURE, 15],
]);
const INVALID = 1;
const PERM_READ = 1;
const PERM_WRITE = 2;
const PERM_EXEC = 4;
const PERM_PRIV = 8;

/**
 * Report everything in the queue. Requests that arrive meanwhile are seen by the same run.
 * @kernel prq_event_thread
 */
export function handlePageRequests(iommu: IntelIommu, port: RegisterPort): void {
  port.write32(REG_PRS, PRS_PPR);
  const { ram } = iommu.core;
  const place = { pfn: iommu.prqPfn, bytes: 4096, entryBytes: PAGE_REQUEST_BYTES };
  const ring = new Ring(ram, place, ringPointers(port, REG_PQH, REG_PQT));
  while (!ring.isEmpty) {
    const at = ring.take();
    report(iommu, ram.words.slice(at, at + PAGE_REQUEST_BYTES / 4));
  }
  if ((port.read32(REG_PRS) & PRS_PRO) === 0) return;
  iommu.core.env.log('info', `${iommu.name}: page request queue overflow`);
  port.write32(REG_PRS, PRS_PRO);
}

function report(iommu: IntelIommu, record: Int32Array): void {
  const requesterId = pageRequest.rid.get(record, 0);
  const dev = iommu.config.requesters.deviceOf(requesterId);
  const fault = decode(record);
  if (fault === undefined) return;
  if (dev === undefined || isForbidden(fault.perm)) {
    const hasPasid = (fault.flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID) !== 0;
    const pasid = hasPasid ? fault.pasid : -1;
    iommu.queue.pageResponse({ requesterId, pasid, group: fault.grpid, code: INVALID });
    return;
  }
  // What nobody takes was answered by the core.
  void reportDeviceFault(dev, fault);
}

/** Undefined: a marker that ends the use of a PASID, which asks for nothing. */
function decode(record: Int32Array): IopfFault | undefined {
  const last = pageRequest.last.get(record, 0) === 1;
  const perm =
    pageRequest.read.get(record, 0) * PERM_READ +
    pageRequest.write.get(record, 0) * PERM_WRITE +
    pageRequest.execute.get(record, 0) * PERM_EXEC +
    pageRequest.privileged.get(record, 0) * PERM_PRIV;
  if (last && (perm & (PERM_READ | PERM_WRITE)) === 0) return undefined;
  const hasPasid = pageRequest.pasidPresent.get(record, 0) === 1;
  return {
    flags:
      (hasPasid ? IOMMU_FAULT_PAGE_REQUEST_PASID_VALID : 0) |
      (last ? IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE : 0),
    pasid: pageRequest.pasid.get(record, 0),
    grpid: pageRequest.group.get(record, 0),
    perm,
    addr: fromGranules(pageRequest.page.get(record, 0), 12),
  };
}

/** Privileged accesses, and execution together with reading, are not offered. */
function isForbidden(perm: number): boolean {
  const privileged = (perm & PERM_PRIV) !== 0 && (perm & (PERM_READ | PERM_WRITE)) !== 0;
  const execute = (perm & PERM_EXEC) !== 0 && (perm & PERM_READ) !== 0;
  return privileged || execute;
}

/** @kernel intel_iommu_page_response */
export function pageResponse(dev: Device, fault: IopfFault, response: PageResponse): void {
  const { iommu, requesterId } = toIntelDevice(dev);
  const hasPasid = (fault.flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID) !== 0;
  iommu.queue.pageResponse({
    requesterId,
    pasid: hasPasid ? response.pasid : -1,
    group: response.grpid,
    code: CODES.get(response.code)!,
  });
}

/**
 * A domain that handles page faults is about to be attached: the first one lets the device ask.
 * Errnos: ENODEV the device or its unit has no page requests; EBUSY.
 * @kernel intel_iommu_enable_iopf
 */
export function enableIopf(device: IntelDevice): Status<'ENODEV' | 'EBUSY'> {
  const queue = device.iommu.iopfQueue;
  if (!device.priSupported || queue === undefined) {
    return refuse(ENODEV, 'the device or its unit has no page requests', {
      device: device.dev.name,
    });
  }
  if (device.faultCapable === 0) {
    const status = iopfQueueAddDevice(queue, device.dev);
    if (status) return status;
    device.iommu.config.ats.setPri(device.requesterId, true);
  }
  device.faultCapable++;
  return undefined;
}

/** @kernel intel_iommu_disable_iopf */
export function disableIopf(device: IntelDevice): void {
  if (--device.faultCapable > 0) return;
  device.iommu.config.ats.setPri(device.requesterId, false);
  iopfQueueRemoveDevice(device.iommu.iopfQueue!, device.dev);
}
