/**
 * The one place where the core calls into an IOMMU driver (core.md 11.2, 11.5).
 *
 * Every call leaves a 'driver' event: the call log. A driver that throws, answers with something that is no
 * errno, or comes back into the core under a lock is caught here and named.
 */
import { Bug } from '../base/bug.ts';
import { isErrno, type Errno, type Result, type Status } from '../base/errno.ts';
import type { Device } from './device.ts';
import type { Domain } from './domain.ts';
import type { IommuDevice, IommuOps } from './driver.ts';
import type { IommuGroup } from './group.ts';
import type { ResvRegion } from './resv-region.ts';

/** What a call is about: the columns of the call log. */
export interface DriverCall {
  /** The kernel's name of the callback: 'attach_dev'. */
  readonly op: string;
  readonly driver: string;
  readonly dev?: Device;
  readonly domain?: Domain;
  readonly old?: Domain | undefined;
  readonly pasid?: number;
}

/** Run one callback, log it, and turn whatever it throws into a Bug with its name. */
export function callDriver<T>(dev: Device, about: DriverCall, call: () => T): T {
  let result: T;
  try {
    result = call();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Bug(`driver ${about.driver}, ${about.op}: ${text}`, { cause: error });
  }
  const { trace } = dev.core.env;
  if (trace.on) {
    trace.emit({
      kind: 'driver',
      op: about.op,
      driver: about.driver,
      device: dev.name,
      ...(about.domain && { domain: about.domain.name }),
      ...(about.old && { old: about.old.name }),
      ...(about.pasid !== undefined && { pasid: about.pasid }),
      result: isErrno(result) ? result : undefined,
    });
  }
  return result;
}

/** A callback that returns `int`. */
export function callStatus(dev: Device, about: DriverCall, call: () => Status): Status {
  const result: unknown = callDriver(dev, about, call);
  if (result === undefined || isErrno(result)) return result;
  throw new Bug(
    `driver ${about.driver}, ${about.op}: answered with a ${typeof result}, which is neither undefined nor an errno`,
  );
}

/** A callback that returns an object or an errno; `undefined` is handed on for the caller to judge. */
export function callResult<T extends object>(
  dev: Device,
  about: DriverCall,
  call: () => Result<T> | undefined,
): Result<T> | undefined {
  const result: unknown = callDriver(dev, about, call);
  if (result === undefined || (typeof result === 'object' && result !== null)) {
    return result as T | Errno | undefined;
  }
  throw new Bug(
    `driver ${about.driver}, ${about.op}: answered with a ${typeof result}, which is neither an object nor an errno`,
  );
}

function driverOf(dev: Device): string {
  return dev.iommu?.iommuDev?.ops.name ?? 'none';
}

/** domain->ops->attach_dev(); the caller has tested that the op exists. Group mutex held. */
export function callAttachDev(domain: Domain, dev: Device, old: Domain | undefined): Status {
  dev.iommuGroup?.mutex.assertHeld();
  const about = { op: 'attach_dev', driver: driverOf(dev), domain, old };
  return callStatus(dev, about, () => domain.ops.attachDev!(domain, dev, old));
}

/** domain->ops->set_dev_pasid(); the caller has tested that the op exists. Group mutex held. */
export function callSetDevPasid(
  domain: Domain,
  dev: Device,
  pasid: number,
  old: Domain | undefined,
): Status {
  dev.iommuGroup?.mutex.assertHeld();
  const about = { op: 'set_dev_pasid', driver: driverOf(dev), domain, old, pasid };
  return callStatus(dev, about, () => domain.ops.setDevPasid!(domain, dev, pasid, old));
}

/** domain->ops->test_dev() of seed 000; a domain without it fits. Group mutex held. */
export function callTestDev(
  domain: Domain,
  dev: Device,
  pasid: number,
  old: Domain | undefined,
): Status {
  dev.iommuGroup?.mutex.assertHeld();
  if (!domain.ops.testDev) return undefined;
  const about = { op: 'test_dev', driver: driverOf(dev), domain, old, pasid };
  return callStatus(dev, about, () => domain.ops.testDev!(domain, dev, pasid, old));
}

/** ops->probe_device(): probe lock held, no group mutex. */
export function callProbeDevice(ops: IommuOps, dev: Device): Result<IommuDevice> {
  dev.core.probeLock.assertHeld();
  const about = { op: 'probe_device', driver: ops.name };
  const instance = callResult(dev, about, () => ops.probeDevice(dev));
  if (instance === undefined) {
    throw new Bug(`driver ${ops.name}, probe_device: answered neither an instance nor an errno`);
  }
  return instance;
}

/** ops->device_group(): probe lock held, no group mutex. */
export function callDeviceGroup(ops: IommuOps, dev: Device): Result<IommuGroup> | undefined {
  dev.core.probeLock.assertHeld();
  return callResult(dev, { op: 'device_group', driver: ops.name }, () => ops.deviceGroup(dev));
}

export function callReleaseDevice(ops: IommuOps, dev: Device): void {
  if (!ops.releaseDevice) return;
  callDriver(dev, { op: 'release_device', driver: ops.name }, () => ops.releaseDevice!(dev));
}

/** ops->probe_finalize(): outside all locks. */
export function callProbeFinalize(ops: IommuOps, dev: Device): void {
  if (!ops.probeFinalize) return;
  callDriver(dev, { op: 'probe_finalize', driver: ops.name }, () => ops.probeFinalize!(dev));
}

/** ops->is_attach_deferred(); false without the op. */
export function callIsAttachDeferred(ops: IommuOps, dev: Device): boolean {
  if (!ops.isAttachDeferred) return false;
  const about = { op: 'is_attach_deferred', driver: ops.name };
  return callDriver(dev, about, () => ops.isAttachDeferred!(dev));
}

/** ops->def_domain_type(); 0 without the op. Group mutex held. */
export function callDefDomainType(ops: IommuOps, dev: Device): number {
  if (!ops.defDomainType) return 0;
  const about = { op: 'def_domain_type', driver: ops.name };
  return callDriver(dev, about, () => ops.defDomainType!(dev));
}

/** ops->get_resv_regions(); none without the op. */
export function callGetResvRegions(ops: IommuOps, dev: Device): readonly ResvRegion[] {
  if (!ops.getResvRegions) return [];
  const about = { op: 'get_resv_regions', driver: ops.name };
  return callDriver(dev, about, () => ops.getResvRegions!(dev));
}

/** ops->capable(); false without the op. */
export function callCapable(ops: IommuOps, dev: Device, cap: number): boolean {
  if (!ops.capable) return false;
  return callDriver(dev, { op: 'capable', driver: ops.name }, () => ops.capable!(dev, cap));
}
