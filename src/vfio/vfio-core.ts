/**
 * The VFIO subsystem of one machine: registered devices, their groups, minors and nodes (vfio.md 1.1, 1.2, 3.1, 3.5, 4.2).
 *
 * NOT IMPLEMENTED: spapr and platform devices.
 */
import { EINVAL, ENODEV, isErrno, type Result, type Status } from '../base/errno.ts';
import type { OpenFile } from '../base/file.ts';
import { IdTable } from '../base/id-table.ts';
import type { KernelEnv } from '../base/kernel-env.ts';
import { refuse } from '../base/refuse.ts';
import type { Task } from '../base/task.ts';
import type { Outcome } from '../base/wait-queue.ts';
import { devHasIommu, type Device } from '../core/contract/device.ts';
import { IOMMU_CAP_CACHE_COHERENCY } from '../core/contract/driver.ts';
import { groupAddDevice, groupAlloc, groupPut, groupSetName } from '../core/group/group-ops.ts';
import { deviceIommuCapable } from '../core/probe/probe.ts';
import { groupRemoveDevice } from '../core/probe/release.ts';
import type { IommuCore } from '../core/contract/iommu-core.ts';
import type { IommuGroup } from '../core/contract/group.ts';
import type { PciDeviceFunction } from '../pci/function.ts';
import { openContainer } from './container.ts';
import { openCdev } from './device-file.ts';
import type { VfioDeviceKind, VfioDeviceOps } from './device-ops.ts';
import { VfioDevice, type VfioWorld } from './device.ts';
import { VfioGroup } from './group.ts';
import type { ContainerIommuDriver } from './iommu-driver.ts';
import type { IommufdApi } from './iommufd.ts';
import { noiommuDriver } from './noiommu.ts';

/** A character device below /dev. */
export interface VfioNode {
  /** Relative to /dev: 'vfio/vfio', 'vfio/26', 'vfio/devices/vfio0'. */
  readonly path: string;
  readonly major: number;
  readonly minor: number;
  readonly mode: number;
  /** What it stands for. */
  readonly identity: object;
  open(task: Task): Result<OpenFile>;
}

const MISC_MAJOR = 10;
const CONTAINER_MINOR = 196;
/** Dynamic majors, as a kernel that has just booted hands them out. */
export const VFIO_GROUP_MAJOR = 243;
export const VFIO_DEVICE_MAJOR = 511;

/** Parameters of the modules, as a program may change them while they are loaded. */
export class VfioParameters {
  /** dma_entry_limit of vfio_iommu_type1: mappings a container may hold. */
  dmaEntryLimit = 65535;
}

/** What the constructor is given. */
export interface VfioParts {
  readonly core: IommuCore;
  /** Undefined: a kernel without iommufd. */
  readonly iommufd: IommufdApi | undefined;
  readonly parameters: VfioParameters;
  /** IOMMU drivers of containers besides the one of no IOMMU. @kernel vfio_register_iommu_driver */
  readonly containerDrivers: readonly ContainerIommuDriver[];
  /** The device of a function, whichever driver it has; undefined where the kernel knows none. */
  readonly deviceOfFunction: (fn: PciDeviceFunction) => Device | undefined;
}

export class VfioSubsystem implements VfioWorld {
  readonly core: IommuCore;
  readonly env: KernelEnv;
  readonly iommufd: IommufdApi | undefined;
  readonly parameters: VfioParameters;
  readonly deviceOfFunction: VfioParts['deviceOfFunction'];
  readonly #drivers: readonly ContainerIommuDriver[];
  readonly #groups = new Map<IommuGroup, VfioGroup>();
  readonly #groupMinors = new IdTable<VfioGroup>(0);
  readonly #devices = new IdTable<VfioDevice>(0);
  readonly #byDevice = new Map<Device, VfioDevice>();

  constructor(parts: VfioParts) {
    this.core = parts.core;
    this.env = parts.core.env;
    this.iommufd = parts.iommufd;
    this.parameters = parts.parameters;
    this.deviceOfFunction = parts.deviceOfFunction;
    this.#drivers = [noiommuDriver(this.env), ...parts.containerDrivers];
  }

  /** By index, lowest first. */
  *devices(): IterableIterator<VfioDevice> {
    for (const [, device] of this.#devices.entries()) yield device;
  }
  deviceOf(dev: Device): VfioDevice | undefined {
    return this.#byDevice.get(dev);
  }
  groupOf(group: IommuGroup): VfioGroup | undefined {
    return this.#groups.get(group);
  }

  /**
   * A vfio driver takes a device: its group and nodes appear. `emulated` is an mdev, which has no IOMMU of its own.
   * EINVAL: no IOMMU and enable_unsafe_noiommu_mode is N, or an IOMMU without cache coherency.
   * @kernel vfio_register_group_dev
   */
  registerDevice(dev: Device, ops: VfioDeviceOps, emulated = false): Result<VfioDevice> {
    const kind = this.#kindOf(dev, emulated);
    if (isErrno(kind)) return kind;
    const index = this.#devices.reserve();
    if (isErrno(index)) return index;
    const device = new VfioDevice(this, dev, { ops, kind, index });
    const rc = this.#hasGroups ? this.#joinGroup(device) : undefined;
    if (rc) {
      this.#devices.abort(index);
      return rc;
    }
    this.#devices.publish(index, device);
    this.#byDevice.set(dev, device);
    if (kind === 'noiommu') {
      this.env.tainted = true;
      this.env.log('warn', `${dev.name}: users may do DMA without an IOMMU, the kernel is tainted`);
    }
    return device;
  }

  /**
   * The driver lets the device go. Waits, asking the user every 10 s, until its last file is closed.
   * ENODEV: no vfio driver holds it.
   * @kernel vfio_unregister_group_dev
   */
  unregisterDevice(dev: Device): Outcome<Status> {
    const device = this.#byDevice.get(dev);
    if (!device) return refuse(ENODEV, 'no vfio driver holds the device', { device: dev.name });
    if (device.isHeld) {
      device.requestBack();
      return device.closed;
    }
    device.registered = false;
    this.#byDevice.delete(dev);
    this.#devices.remove(device.index);
    this.#leaveGroup(device);
    return undefined;
  }

  /** Every node now; asked afresh each time. */
  *nodes(): IterableIterator<VfioNode> {
    if (this.#hasGroups && !this.env.has('vfio-container-iommufd')) yield this.#containerNode();
    for (const [minor, group] of this.#groupMinors.entries()) {
      yield {
        path: `vfio/${group.nodeName}`,
        major: VFIO_GROUP_MAJOR,
        minor,
        mode: 0o600,
        identity: group,
        open: (task) => group.open(task),
      };
    }
    for (const device of this.devices()) {
      if (this.hasCdev(device)) yield this.#cdevNode(device);
    }
  }
  /** Names in /sys/class/vfio. */
  *groups(): IterableIterator<VfioGroup> {
    for (const [, group] of this.#groupMinors.entries()) yield group;
  }
  /** A noiommu device has one only in kernels that can bind it. */
  hasCdev(device: VfioDevice): boolean {
    if (this.iommufd === undefined || this.env.has('vfio-groups-only')) return false;
    return device.kind !== 'noiommu' || device.isNoiommuCdev;
  }

  get #hasGroups(): boolean {
    return !this.env.has('vfio-cdev-only');
  }
  /** Is there a way for a user to open a device without an IOMMU in this kernel, and is it allowed? */
  get #takesNoiommu(): boolean {
    const isBuilt = this.#hasGroups || this.env.has('noiommu-cdev');
    return isBuilt && this.env.has('unsafe-noiommu-mode');
  }
  #containerNode(): VfioNode {
    return {
      path: 'vfio/vfio',
      major: MISC_MAJOR,
      minor: CONTAINER_MINOR,
      mode: 0o666,
      identity: this,
      open: () => openContainer(this.env, this.#drivers),
    };
  }
  #cdevNode(device: VfioDevice): VfioNode {
    return {
      path: `vfio/devices/${device.cdevName}`,
      major: VFIO_DEVICE_MAJOR,
      minor: device.index,
      mode: 0o600,
      identity: device,
      open: (task) => openCdev(device, task),
    };
  }

  #kindOf(dev: Device, emulated: boolean): Result<VfioDeviceKind> {
    if (emulated) return 'emulated';
    if (!devHasIommu(dev)) {
      if (this.#takesNoiommu) return 'noiommu';
      return refuse(EINVAL, 'the device has no IOMMU and enable_unsafe_noiommu_mode is N', {
        device: dev.name,
      });
    }
    if (deviceIommuCapable(dev, IOMMU_CAP_CACHE_COHERENCY)) return 'iommu';
    return refuse(EINVAL, 'the IOMMU of the device is not cache coherent', { device: dev.name });
  }

  #joinGroup(device: VfioDevice): Status {
    const iommuGroup = this.#iommuGroupFor(device);
    if (isErrno(iommuGroup)) return iommuGroup;
    let group = this.#groups.get(iommuGroup);
    if (!group) {
      const minor = this.#groupMinors.reserve();
      if (isErrno(minor)) {
        this.#dropFakeGroup(device);
        return minor;
      }
      group = new VfioGroup(this, iommuGroup, device.kind, minor);
      this.#groupMinors.publish(minor, group);
      this.#groups.set(iommuGroup, group);
    }
    group.devices.push(device);
    device.group = group;
    return undefined;
  }
  #leaveGroup(device: VfioDevice): void {
    const group = [...this.groups()].find(({ devices }) => devices.includes(device));
    if (!group) return;
    group.devices.splice(group.devices.indexOf(device), 1);
    device.group = undefined;
    if (group.isDead) {
      group.die();
      this.#groupMinors.remove(group.minor);
      this.#groups.delete(group.iommuGroup);
    }
    this.#dropFakeGroup(device);
  }
  /** Its own, or a fresh one for a device that has none to give. */
  #iommuGroupFor(device: VfioDevice): Result<IommuGroup> {
    if (device.kind === 'iommu') return device.dev.iommuGroup!;
    // An mdev group made by the parent's driver is kept: aux domains are recorded on it.
    if (device.dev.iommuGroup) return device.dev.iommuGroup;
    const group = groupAlloc(this.core);
    if (isErrno(group)) return group;
    const rc = groupSetName(group, 'vfio-noiommu') ?? groupAddDevice(group, device.dev);
    groupPut(group);
    return rc ?? group;
  }
  #dropFakeGroup(device: VfioDevice): void {
    if (device.kind === 'iommu' || device.dev.iommuGroup?.name !== 'vfio-noiommu') return;
    groupRemoveDevice(device.dev);
  }
}
