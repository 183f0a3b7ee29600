/** Faults that cannot be recovered from, told to whoever owns the domain (core.md 9.1). */
import { ENOSYS, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { hex } from '../../base/u64.ts';
import type { Device } from '../contract/device.ts';
import type { Domain } from '../contract/domain.ts';
import { deviceRef } from '../contract/refs.ts';

export const IOMMU_FAULT_READ = 0;
export const IOMMU_FAULT_WRITE = 1;

/** Hears of a DMA that was refused. @kernel iommu_fault_handler_t */
export type FaultHandler = (domain: Domain, dev: Device, iova: bigint, flags: number) => Status;

/**
 * Be told of faults in a domain. Ignored, with a warning, when the domain has a cookie.
 * @kernel iommu_set_fault_handler
 */
export function setFaultHandler(domain: Domain, handler: FaultHandler, token: unknown): void {
  if (domain.cookie.kind !== 'none') {
    domain.core.env.warn('fault-handler-cookie', `${domain.name}: has a cookie of its own`);
    return;
  }
  domain.cookie = { kind: 'fault-handler', handler, token };
}

/**
 * A driver met a fault.
 * Errnos: ENOSYS nobody listens, or the listener wants the driver's own behaviour; the listener's.
 * @kernel report_iommu_fault
 */
export function reportIommuFault(domain: Domain, dev: Device, iova: bigint, flags: number): Status {
  const { trace } = domain.core.env;
  const write = (flags & IOMMU_FAULT_WRITE) !== 0;
  if (trace.heedsTroubles) {
    trace.emit({
      kind: 'fault',
      unit: dev.iommu?.iommuDev?.name ?? 'none',
      device: deviceRef(dev),
      write,
      iova,
      code: flags,
      reason: 'reported by the IOMMU driver',
      text: `io_page_fault: ${dev.name} iova=${hex(iova)} flags=${hex(flags)}`,
    });
  }
  if (domain.cookie.kind === 'fault-handler') {
    return domain.cookie.handler(domain, dev, iova, flags);
  }
  return refuse(ENOSYS, 'nobody listens to faults of the domain', { domain: domain.name, iova });
}
