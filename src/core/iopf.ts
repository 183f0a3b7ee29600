/** I/O page faults: requests, groups, queues, responses (core.md 9.2). */
import type { Device } from './device.ts';
import type { AttachHandle } from './domain.ts';

export const IOMMU_FAULT_PAGE_REQUEST_PASID_VALID = 1;
export const IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE = 2;
export const IOMMU_FAULT_PAGE_RESPONSE_NEEDS_PASID = 4;
export const IOMMU_PAGE_RESP_SUCCESS = 0;
export const IOMMU_PAGE_RESP_INVALID = 1;
export const IOMMU_PAGE_RESP_FAILURE = 2;

/** struct iommu_fault_page_request. */
export interface IopfFault {
  readonly flags: number;
  readonly pasid: number;
  readonly grpid: number;
  /** READ 1, WRITE 2, EXEC 4, PRIV 8. */
  readonly perm: number;
  readonly addr: bigint;
}
export interface PageResponse {
  readonly pasid: number;
  readonly grpid: number;
  readonly code: number;
}
/** All faults of one page request group, the last-page one at the end. */
export interface IopfGroup {
  readonly dev: Device;
  readonly faults: readonly IopfFault[];
  readonly attachHandle: AttachHandle;
  /** For the handler's owner. */
  cookie: number;
}
export interface FaultParam {
  readonly dev: Device;
  readonly queue: object;
  readonly partial: IopfFault[];
  readonly pending: Set<IopfGroup>;
}
