/** A fault as a unit recorded it becomes an event. */
import type { KernelEnv } from '../../base/kernel-env.ts';
import { hex } from '../../base/u64.ts';
import type { Requesters } from './requesters.ts';

/** The IOMMU it happened on. */
export interface FaultReporter {
  readonly env: KernelEnv;
  /** Name of the instance. */
  readonly name: string;
  readonly requesters: Requesters;
}
/** What the record says. */
export interface RecordedFault {
  readonly requesterId: number;
  /** -1 without PASID. */
  readonly pasid: number;
  readonly write: boolean;
  /** In bytes. */
  readonly iova: bigint;
  /** As the hardware has it, and what it means. */
  readonly code: number;
  readonly reason: string;
  /** The line of the kernel log, where the driver writes one of its own. */
  readonly text?: string;
}

/** Nothing is built while nobody listens. */
export function reportFault({ env, name, requesters }: FaultReporter, fault: RecordedFault): void {
  if (!env.trace.heedsTroubles) return;
  const { requesterId, pasid, write, iova, code, reason } = fault;
  const device = requesters.refOf(requesterId);
  const { text = `${name}: ${device.id}: ${write ? 'write' : 'read'} at ${hex(iova)}: ${reason}` } =
    fault;
  const source = { unit: name, device, ...(pasid >= 0 && { pasid }) };
  env.trace.emit({ kind: 'fault', ...source, write, iova, code, reason, text });
}
