/**
 * The one place where the core calls into an IOMMU driver (core.md 11.2, 11.5).
 *
 * Every call about a device leaves a 'driver' event: the call log. A driver that throws, answers with something that
 * is no errno, comes back into the core under a lock, keeps a lock or leaks a page is caught here and named.
 */
import { Bug } from '../../base/bug.ts';
import { isErrno, type Errno, type Result, type Status } from '../../base/errno.ts';
import { abandonLocks, locksHeld } from '../../base/lock.ts';
import type { Device } from './device.ts';
import type { Domain } from './domain.ts';
import type { IommuDevice, IommuOps } from './driver.ts';
import { IommuGroup } from './group.ts';
import { deviceRef, domainRef } from './refs.ts';
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

/** The Bug of a driver: always begins with its name and the callback. */
export function driverBug(about: DriverCall, what: string, cause?: unknown): never {
  throw new Bug(`driver ${about.driver}, ${about.op}: ${what}`, { cause });
}

/** Run one callback; what it throws and a lock it keeps or drops become Bugs with its name. */
function guarded<T>(about: DriverCall, call: () => T): T {
  const locks = locksHeld();
  let result: T;
  try {
    result = call();
  } catch (error) {
    abandonLocks(locks);
    return driverBug(about, error instanceof Error ? error.message : String(error), error);
  }
  if (locksHeld() > locks) {
    return driverBug(about, `came back with ${abandonLocks(locks).join(', ')} still held`);
  }
  if (locksHeld() < locks) return driverBug(about, 'let go of a lock of its caller');
  return result;
}

/** Run one callback about a device, and log it. */
export function callDriver<T>(dev: Device, about: DriverCall, call: () => T): T {
  const result = guarded(about, call);
  const { trace } = dev.core.env;
  if (trace.on) {
    trace.emit({
      kind: 'driver',
      op: about.op,
      driver: about.driver,
      device: deviceRef(dev),
      ...(about.domain && { domain: domainRef(about.domain) }),
      ...(about.old && { old: domainRef(about.old) }),
      ...(about.pasid !== undefined && { pasid: about.pasid }),
      result: isErrno(result) ? result : undefined,
    });
  }
  return result;
}

/** Run one callback about a domain only: mapping, flushing, asking. Not part of the call log. */
export function callDomain<T>(domain: Domain, op: string, call: () => T): T {
  return guarded({ op, driver: driverOfDomain(domain) }, call);
}

/** Run one callback about neither, or by way of a vIOMMU. Not part of the call log. */
export function callOps<T>(ops: IommuOps, op: string, call: () => T): T {
  return guarded({ op, driver: ops.name }, call);
}

/** The same for a callback that returns `int`. */
export function callOpsStatus(ops: IommuOps, op: string, call: () => Status): Status {
  const about = { op, driver: ops.name };
  return checkedStatus(about, guarded(about, call));
}

/** A callback about a domain that returns `int`. */
export function callDomainStatus(domain: Domain, op: string, call: () => Status): Status {
  const about = { op, driver: driverOfDomain(domain) };
  return checkedStatus(about, guarded(about, call));
}

/** A static domain belongs to no driver. */
function driverOfDomain(domain: Domain): string {
  return domain.owner?.name ?? domain.name;
}

/** A callback that returns `int`. */
export function callStatus(dev: Device, about: DriverCall, call: () => Status): Status {
  return checkedStatus(about, callDriver(dev, about, call));
}

function checkedStatus(about: DriverCall, result: unknown): Status {
  if (result === undefined || isErrno(result)) return result;
  return driverBug(
    about,
    `answered with a ${typeof result}, which is neither undefined nor an errno`,
  );
}

function checkedType<T>(about: DriverCall, result: T, type: 'boolean' | 'number'): T {
  if (typeof result === type) return result;
  return driverBug(about, `answered with a ${typeof result}, not a ${type}`);
}

/** A callback that returns an object or an errno; `undefined` is handed on for the caller to judge. */
export function callResult<T extends object>(
  dev: Device,
  about: DriverCall,
  call: () => Result<T> | undefined,
): Result<T> | undefined {
  const result: unknown = callDriver(dev, about, call);
  if (result === undefined || (typeof result === 'object' && result !== null)) {
    // cast: an object; the driver was compiled against Result<T>
    return result as T | Errno | undefined;
  }
  return driverBug(
    about,
    `answered with a ${typeof result}, which is neither an object nor an errno`,
  );
}

/**
 * A callback that makes a domain. One that fails must have given back what it took; one that succeeds must have made a
 * domain that is nobody's yet.
 */
export function callAlloc(
  dev: Device,
  about: DriverCall,
  call: () => Result<Domain> | undefined,
): Result<Domain> | undefined {
  const { core } = dev;
  const used = core.ram.used;
  const domain = callResult(dev, about, call);
  if (domain === undefined || isErrno(domain)) {
    const leaked = core.ram.used - used;
    if (leaked > 0) return driverBug(about, `failed, and leaked ${String(leaked)} pages`);
    return domain;
  }
  if (!('ops' in domain) || domain.core !== core)
    return driverBug(about, 'answered with no domain');
  if (core.domains.has(domain)) {
    return driverBug(about, `answered with ${domain.name}, which is in use already`);
  }
  return domain;
}

/** domain->ops->free(): the page table must be gone afterwards. */
export function callFree(domain: Domain): void {
  const { ops, pt } = domain;
  if (!ops.free) return;
  const about = { op: 'free', driver: driverOfDomain(domain) };
  guarded(about, () => ops.free!(domain));
  if (pt && pt.frames > 0) {
    return driverBug(about, `leaked ${String(pt.frames)} pages of the table of ${domain.name}`);
  }
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

/** domain->ops->test_dev() (core.md 6.2); a domain without it fits. Group mutex held. */
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
  if (instance === undefined) return driverBug(about, 'answered neither an instance nor an errno');
  if (isErrno(instance)) return instance;
  if (!('ops' in instance)) return driverBug(about, 'answered with no instance');
  return instance;
}

/** ops->device_group(): probe lock held, no group mutex. The answer comes with one reference taken, for the device. */
export function callDeviceGroup(ops: IommuOps, dev: Device): Result<IommuGroup> | undefined {
  const { core } = dev;
  core.probeLock.assertHeld();
  const about = { op: 'device_group', driver: ops.name };
  // An instance keeps a reference of its own to the one group of all its devices.
  const kept = (): number => (dev.iommu?.iommuDev?.singletonGroup ? 1 : 0);
  const before = core.groupRefs - kept();
  const group = callResult(dev, about, () => ops.deviceGroup(dev));
  const taken = core.groupRefs - kept() - before;
  const isGroup = group instanceof IommuGroup;
  if (group !== undefined && !isErrno(group) && !isGroup) {
    return driverBug(about, 'answered with no group');
  }
  if (taken === (isGroup ? 1 : 0)) return group;
  return driverBug(
    about,
    `took ${String(taken)} references to groups where ${isGroup ? 'one is' : 'none are'} wanted`,
  );
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
  return checkedType(
    about,
    callDriver(dev, about, () => ops.isAttachDeferred!(dev)),
    'boolean',
  );
}

/** ops->def_domain_type(); 0 without the op. Group mutex held. */
export function callDefDomainType(ops: IommuOps, dev: Device): number {
  if (!ops.defDomainType) return 0;
  const about = { op: 'def_domain_type', driver: ops.name };
  return checkedType(
    about,
    callDriver(dev, about, () => ops.defDomainType!(dev)),
    'number',
  );
}

/** ops->get_resv_regions(); none without the op. */
export function callGetResvRegions(ops: IommuOps, dev: Device): readonly ResvRegion[] {
  if (!ops.getResvRegions) return [];
  const about = { op: 'get_resv_regions', driver: ops.name };
  const regions: unknown = callDriver(dev, about, () => ops.getResvRegions!(dev));
  if (!Array.isArray(regions) || !regions.every(isRegion)) {
    return driverBug(about, 'answered with what is no list of regions');
  }
  return regions;
}

function isRegion(value: unknown): value is ResvRegion {
  // cast: each member is looked at below
  const region = value as ResvRegion | null | undefined;
  if (typeof region?.start !== 'bigint' || typeof region.length !== 'bigint') return false;
  return region.length > 0n && typeof region.type === 'number' && typeof region.prot === 'number';
}

/** ops->capable(); false without the op. */
export function callCapable(ops: IommuOps, dev: Device, cap: number): boolean {
  if (!ops.capable) return false;
  const about = { op: 'capable', driver: ops.name };
  return checkedType(
    about,
    callDriver(dev, about, () => ops.capable!(dev, cap)),
    'boolean',
  );
}
