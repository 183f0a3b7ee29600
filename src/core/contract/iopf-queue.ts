/**
 * What a page request is made of, and the queue that devices share for theirs: the types of core.md 9.2, below everything
 * that handles them.
 */
import { type KernelEnv } from '../../base/kernel-env.ts';
import { Lock } from '../../base/lock.ts';
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
/** The answer to a page request. @kernel iommu_page_response */
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
/** What is kept for a device that reports page requests. @kernel iommu_fault_param */
export interface FaultParam {
  readonly dev: Device;
  readonly queue: IopfQueue;
  readonly partial: IopfFault[];
  readonly pending: Set<IopfGroup>;
}

/** Devices that share one worker for their faults. */
export class IopfQueue {
  readonly name: string;
  readonly lock = new Lock('iopf_queue.lock');
  /** Guarded by lock. */
  readonly params = new Set<FaultParam>();
  readonly #env: KernelEnv;
  readonly #work = new Map<IopfGroup, () => void>();
  #wake: Disposable | undefined;

  constructor(env: KernelEnv, name: string) {
    this.#env = env;
    this.name = name;
  }
  /** Run once the present call is over. False when this group waits already. */
  enqueue(group: IopfGroup, run: () => void): boolean {
    if (this.#work.has(group)) return false;
    this.#work.set(group, run);
    this.#wake ??= this.#env.clock.after(0, () => this.drain());
    return true;
  }
  /** flush_workqueue(): run now what waits. */
  drain(): void {
    this.#wake?.[Symbol.dispose]();
    this.#wake = undefined;
    for (const [group, run] of this.#work) {
      this.#work.delete(group);
      run();
    }
  }
}
