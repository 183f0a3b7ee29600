/**
 * A device gets its IOMMU driver, its group and its first domain (core.md 1.4).
 *
 * Locks: the probe lock around all of it, the group mutex inside. probe_device and device_group run under the first
 * only, probe_finalize under none.
 */
import { EINVAL, ENODEV, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { createDeviceDirectMappings } from '../group/direct-map.ts';
import { setupDmaOps } from '../dma/dma-iommu.ts';
import { setupDefaultDomain } from '../group/default-domain.ts';
import { devHasIommu, type BusName, type Device } from '../contract/device.ts';
import {
  callCapable,
  callDeviceGroup,
  callIsAttachDeferred,
  callProbeDevice,
  callProbeFinalize,
  callReleaseDevice,
} from '../contract/driver-call.ts';
import type { IommuDevice, IommuOps } from '../contract/driver.ts';
import { getDevIommu, instanceForDevice } from './fwspec.ts';
import { groupPut, newMember } from '../group/group-ops.ts';
import type { IommuGroup } from '../contract/group.ts';
import type { IommuCore } from '../contract/iommu-core.ts';
import { groupChanged } from '../contract/refs.ts';
import { deinitDevice, unlinkMember } from './release.ts';
import { deviceSetDomain } from '../attach/set-domain.ts';
import { testDevice } from '../attach/test-dev.ts';

/**
 * Probe one device that has just come. Nothing to do when it has a group.
 * Errnos: ENODEV no driver wants it; EINVAL the driver cannot be used or gives no group; driver's; those of the
 * default domain.
 * @kernel iommu_probe_device
 */
export function probeDevice(dev: Device): Status {
  {
    using _ = dev.core.probeLock.hold();
    const rc = probeLocked(dev, undefined);
    if (rc) return rc;
  }
  if (devHasIommu(dev)) callProbeFinalize(dev.iommu.iommuDev.ops, dev);
  return undefined;
}

/**
 * Probe every device of a bus, then set up the groups that came of it, each once.
 * Errnos: those of probeDevice but ENODEV, and of setupDefaultDomain; either ends the walk.
 * @kernel bus_iommu_probe
 */
export function probeBus(core: IommuCore, bus: BusName): Status {
  const queue = new Set<IommuGroup>();
  for (const dev of [...(core.buses.get(bus) ?? [])]) {
    using _ = core.probeLock.hold();
    const rc = probeLocked(dev, queue);
    if (rc && rc !== ENODEV) return rc;
  }
  for (const group of queue) {
    const rc = setupQueuedGroup(group);
    if (rc) return rc;
    for (const member of group.devices) {
      if (devHasIommu(member.dev)) callProbeFinalize(member.dev.iommu.iommuDev.ops, member.dev);
    }
  }
  return undefined;
}

function setupQueuedGroup(group: IommuGroup): Status {
  using _ = group.mutex.hold();
  const rc = setupDefaultDomain(group, 0);
  if (rc) return rc;
  for (const member of group.devices) setupDmaOps(member.dev);
  return undefined;
}

/** With a queue (bulk probe) the default domain of a new group is left to the caller. */
function probeLocked(dev: Device, queue: Set<IommuGroup> | undefined): Status {
  if (dev.iommuGroup) return undefined;
  const group = initDevice(dev);
  if (isErrno(group)) return group;
  const rc = joinGroup(dev, group, queue);
  if (rc) {
    groupPut(group);
    return rc;
  }
  if (dev.driver && dev.config.dmaConfigure) {
    dev.core.env.warn('late-probe', `${dev.name}: IOMMU probe while a driver is bound`);
  }
  return undefined;
}

function joinGroup(dev: Device, group: IommuGroup, queue: Set<IommuGroup> | undefined): Status {
  using _ = group.mutex.hold();
  group.devices.push(newMember(group, dev));
  const rc = firstDomain(dev, group, queue);
  if (rc) {
    unlinkMember(group, dev);
    deinitDevice(dev, group);
    return rc;
  }
  groupChanged(dev, 'group-add', group.id);
  if (group.defaultDomain) setupDmaOps(dev);
  return undefined;
}

function firstDomain(dev: Device, group: IommuGroup, queue: Set<IommuGroup> | undefined): Status {
  if (group.defaultDomain && !group.domain) {
    dev.core.env.warn('default-without-domain', `group ${String(group.id)}: on no domain`);
  }
  if (group.defaultDomain) {
    // What the set below refuses is refused there; mappings alone do not keep a device out.
    void createDeviceDirectMappings(dev, group.defaultDomain);
  }
  if (group.domain) {
    if (dev.core.env.has('test-dev')) {
      const unfit = testDevice(group.domain, dev, 0, undefined);
      if (unfit) return unfit;
    }
    return deviceSetDomain(group, dev, group.domain, undefined, { mustSucceed: false });
  }
  if (group.defaultDomain) return undefined;
  if (!queue) return setupDefaultDomain(group, 0);
  queue.add(group);
  return undefined;
}

/**
 * From nothing to a device with an instance and a group, or back to nothing.
 * @kernel iommu_init_device
 */
function initDevice(dev: Device): Result<IommuGroup> {
  getDevIommu(dev);
  const configured = configureDma(dev);
  if (configured) return configured;
  const group = askDriver(dev);
  if (isErrno(group)) dev.iommu = undefined;
  return group;
}

/** Without a fwspec the bus is asked for one, outside the probe lock, so that somebody else may finish first. */
function configureDma(dev: Device): Status {
  const { core, config } = dev;
  if (dev.iommu?.fwspec || dev.driver || !config.dmaConfigure) return undefined;
  core.probeLock[Symbol.dispose]();
  try {
    config.dmaConfigure(dev);
  } finally {
    core.probeLock.hold();
  }
  // cast: read again, for the call may have probed the device to the end
  const { iommu, iommuGroup } = dev as { iommu: unknown; iommuGroup: unknown };
  if (iommu !== undefined && iommuGroup === undefined) return undefined;
  return refuse(ENODEV, 'somebody else finished probing the device', { device: dev.name });
}

function askDriver(dev: Device): Result<IommuGroup> {
  const candidate = instanceForDevice(dev);
  if (!candidate) return refuse(ENODEV, 'no IOMMU driver for the device', { device: dev.name });
  const { ops } = candidate;
  if (isGoing(ops.owner)) {
    return refuse(EINVAL, 'the module of the IOMMU driver is going', { driver: ops.name });
  }
  const instance = callProbeDevice(ops, dev);
  if (isErrno(instance)) return instance;
  const record = getDevIommu(dev);
  record.iommuDev = instance;

  const group = askGroup(ops, dev);
  if (isErrno(group)) {
    callReleaseDevice(ops, dev);
    return group;
  }
  dev.iommuGroup = group;
  record.maxPasids = maxPasids(dev, instance);
  record.attachDeferred = callIsAttachDeferred(ops, dev);
  return group;
}

function askGroup(ops: IommuOps, dev: Device): Result<IommuGroup> {
  const group = callDeviceGroup(ops, dev);
  if (group) return group;
  dev.core.env.warnOnce('device-group-null', `driver ${ops.name}: device_group gave no group`);
  return refuse(EINVAL, 'the driver gives no group for the device', { driver: ops.name });
}

/** try_module_get() fails for a module that is being unloaded. */
function isGoing(owner: object | null | undefined): boolean {
  return owner != null && 'going' in owner && owner.going === true;
}

/** A VF has the PASIDs of its PF. */
function maxPasids(dev: Device, instance: IommuDevice): number {
  const width = dev.config.pci?.physfn?.config.pasidBits ?? dev.config.pasidBits ?? 0;
  return Math.min(width === 0 ? 0 : 2 ** width, instance.maxPasids);
}

/**
 * Ask the driver about a capability; false without an IOMMU.
 * @kernel device_iommu_capable
 */
export function deviceIommuCapable(dev: Device, cap: number): boolean {
  return devHasIommu(dev) && callCapable(dev.iommu.iommuDev.ops, dev, cap);
}

/**
 * Do the interrupts of every member stay apart from those of others?
 * @kernel iommu_group_has_isolated_msi
 */
export function groupHasIsolatedMsi(group: IommuGroup): boolean {
  using _ = group.mutex.hold();
  return group.devices.every(({ dev }) => dev.config.isolatedMsi ?? true);
}
