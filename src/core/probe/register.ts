/**
 * Instances of IOMMU hardware come and go; several drivers may be registered at once (core.md 1.2, 1.7).
 */
import { EINVAL, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { devHasIommu, SCANNED_BUSES, type BusName, type Device } from '../contract/device.ts';
import type { IommuDevice, IommuOps } from '../contract/driver.ts';
import { groupPut } from '../group/group-ops.ts';
import type { IommuCore } from '../contract/iommu-core.ts';
import { deviceBorn, deviceGone } from '../contract/refs.ts';
import { probeBus, probeDevice } from './probe.ts';
import { releaseDevice } from './release.ts';

/** What a driver says of a new instance. */
export interface InstanceConfig {
  readonly name: string;
  /** PASIDs it can serve; none by default. */
  readonly maxPasids?: number;
  readonly priv?: unknown;
}

/** An instance before its registration. */
export function newIommuDevice(ops: IommuOps, config: InstanceConfig): IommuDevice {
  return {
    name: config.name,
    ops,
    fwnode: null,
    singletonGroup: undefined,
    maxPasids: config.maxPasids ?? 0,
    ready: false,
    priv: config.priv,
  };
}

/**
 * Register an instance and probe the devices of every scanned bus.
 * Errnos: EINVAL the ops are in a module without an owner; those of a probe, after unregistering.
 * @kernel iommu_device_register
 */
export function deviceRegister(
  core: IommuCore,
  instance: IommuDevice,
  ops: IommuOps,
  hwdev?: { readonly fwnode: object | null },
): Status {
  if (ops.owner === null) {
    core.env.warn('register-no-owner', `driver ${ops.name}: in a module, but names no owner`);
    return refuse(EINVAL, 'the ops are in a module and name no owner', { driver: ops.name });
  }
  instance.ops = ops;
  if (hwdev) instance.fwnode = hwdev.fwnode;
  core.instances.push(instance);
  for (const bus of SCANNED_BUSES) {
    const rc = probeBus(core, bus);
    if (!rc) continue;
    deviceUnregister(core, instance);
    return rc;
  }
  instance.ready = true;
  return undefined;
}

/**
 * Release every device of the instance and forget it.
 * @kernel iommu_device_unregister
 */
export function deviceUnregister(core: IommuCore, instance: IommuDevice): void {
  for (const bus of core.buses.values()) {
    for (const dev of [...bus]) {
      if (dev.iommu?.iommuDev === instance) releaseDevice(dev);
    }
  }
  const at = core.instances.indexOf(instance);
  if (at >= 0) core.instances.splice(at, 1);
  groupPut(instance.singletonGroup);
  instance.singletonGroup = undefined;
  instance.ready = false;
}

/**
 * Register an instance for one bus only, with a firmware node of its own.
 * Errnos: those of a probe, after undoing everything.
 * @kernel iommu_device_register_bus
 */
export function deviceRegisterBus(
  core: IommuCore,
  instance: IommuDevice,
  ops: IommuOps,
  bus: BusName,
): Status {
  instance.ops = ops;
  instance.fwnode = { bus };
  core.notifiedBuses.add(bus);
  core.instances.push(instance);
  const rc = probeBus(core, bus);
  if (rc) {
    deviceUnregisterBus(core, instance, bus);
    return rc;
  }
  instance.ready = true;
  return undefined;
}

/** @kernel iommu_device_unregister_bus */
export function deviceUnregisterBus(core: IommuCore, instance: IommuDevice, bus: BusName): void {
  core.notifiedBuses.delete(bus);
  deviceUnregister(core, instance);
}

/**
 * A device appears on its bus. Whether an IOMMU driver wants it is no concern of whoever adds it.
 * @kernel iommu_bus_notifier, BUS_NOTIFY_ADD_DEVICE
 */
export function busAddDevice(dev: Device): void {
  const { core, bus } = dev;
  deviceBorn(dev);
  const devices = core.buses.get(bus);
  if (devices) devices.push(dev);
  else core.buses.set(bus, [dev]);
  if (core.notifiedBuses.has(bus)) void probeDevice(dev);
}

/** @kernel iommu_bus_notifier, BUS_NOTIFY_REMOVED_DEVICE */
export function busRemoveDevice(dev: Device): void {
  const { core, bus } = dev;
  const devices = core.buses.get(bus);
  const at = devices?.indexOf(dev) ?? -1;
  if (at >= 0) devices?.splice(at, 1);
  if (core.notifiedBuses.has(bus) || devHasIommu(dev)) releaseDevice(dev);
  deviceGone(dev);
}

/** The devices an instance serves, by bus and in order of discovery: the links of its `devices` directory. */
export function instanceDevices(core: IommuCore, instance: IommuDevice): Device[] {
  return [...core.buses.values()].flat().filter((dev) => dev.iommu?.iommuDev === instance);
}
