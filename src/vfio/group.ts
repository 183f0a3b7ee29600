/**
 * A VFIO group: the devices of one iommu group that vfio drivers hold, and its node /dev/vfio/N (vfio.md 1.2 to 1.6).
 *
 * Exactly one open file per group. A device fd opened through it holds a reference on that file.
 */
import {
  EBADFD,
  EBUSY,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOTTY,
  EPERM,
  isErrno,
  type Result,
  type Status,
} from '../base/errno.ts';
import { OpenFile, type FileOps } from '../base/file.ts';
import { Lock } from '../base/lock.ts';
import { refuse, type Facts } from '../base/refuse.ts';
import { CAP_SYS_RAWIO, type Task } from '../base/task.ts';
import { hex } from '../base/u64.ts';
import { groupDmaOwnerClaimed } from '../core/group/ownership.ts';
import type { IommuGroup } from '../core/contract/group.ts';
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  vfio_group_status,
} from '../uapi/vfio.ts';
import { containerOf, type VfioContainer } from './container.ts';
import { VfioDeviceFile } from './device-access.ts';
import { deviceFileOf } from './device-file.ts';
import type { VfioDeviceKind } from './device-ops.ts';
import type { VfioDevice, VfioWorld } from './device.ts';
import { GroupIommufd } from './group-iommufd.ts';
import { copyFromUser, copyToUser, readArg } from './ioctl.ts';

/** struct vfio_group. */
export class VfioGroup {
  readonly world: VfioWorld;
  readonly iommuGroup: IommuGroup;
  readonly kind: VfioDeviceKind;
  readonly minor: number;
  readonly lock = new Lock('vfio_group.group_lock');
  /** In order of registration. Guarded by lock. */
  readonly devices: VfioDevice[] = [];
  /** Guarded by lock, as are all below. */
  openedFile: OpenFile | undefined;
  /** The process that opened it. */
  #openedBy: number | undefined;
  container: VfioContainer | undefined;
  iommufd: GroupIommufd | undefined;
  /** Open devices that use the container. */
  containerUsers = 0;
  /** Devices of the group bound through their cdev. */
  cdevOpen = 0;

  constructor(world: VfioWorld, iommuGroup: IommuGroup, kind: VfioDeviceKind, minor: number) {
    this.world = world;
    this.iommuGroup = iommuGroup;
    this.kind = kind;
    this.minor = minor;
  }
  /** Name of the node below /dev/vfio and of the link in /sys/class/vfio. */
  get nodeName(): string {
    return `${this.kind === 'noiommu' ? 'noiommu-' : ''}${this.iommuGroup.id}`;
  }
  get isDead(): boolean {
    return this.devices.length === 0;
  }
  get isInUse(): boolean {
    return this.container !== undefined || this.iommufd !== undefined;
  }

  /** @kernel vfio_group_fops_open */
  open(task: Task): Result<OpenFile> {
    using _ = this.lock.hold();
    if (this.isDead)
      return refuse(ENODEV, 'no vfio driver holds a device of this group any more', this.#facts());
    if (this.kind === 'noiommu' && !task.capable(CAP_SYS_RAWIO)) {
      return refuse(EPERM, 'DMA without an IOMMU needs CAP_SYS_RAWIO', {
        ...this.#facts(),
        uid: task.uid,
      });
    }
    if (this.cdevOpen > 0) {
      return refuse(EBUSY, 'a device of the group is in use through its cdev', this.#facts());
    }
    if (this.openedFile) return refuse(EBUSY, 'the group is open already', this.#holder());
    const file = new OpenFile(`/dev/vfio/${this.nodeName}`, groupOps, this);
    this.openedFile = file;
    this.#openedBy = task.pid;
    return file;
  }
  /** The last reference to the open file is gone: no fd, no device fd. */
  release(): void {
    using _ = this.lock.hold();
    this.openedFile = undefined;
    this.#detachContainer();
  }
  /** The last device left: what is attached is let go although the file may stay open. */
  die(): void {
    using _ = this.lock.hold();
    if (this.isInUse) this.#detachContainer();
  }

  /** While a device of the group is bound through its cdev. @kernel vfio_device_block_group */
  blockOpen(): Status<'EBUSY'> {
    using _ = this.lock.hold();
    if (this.openedFile) return refuse(EBUSY, 'the group of the device is open', this.#holder());
    this.cdevOpen++;
    return undefined;
  }
  /** @kernel vfio_device_unblock_group */
  unblockOpen(): void {
    this.cdevOpen--;
  }
  /** A device file that came through this group is closed. @kernel vfio_df_group_close */
  closeDevice(device: VfioDevice): void {
    using _ = this.lock.hold();
    device.close(() => this.#leaveContainer(device));
  }

  ioctl(task: Task, file: OpenFile, cmd: number, arg: bigint): Result<number> {
    switch (cmd) {
      case VFIO_GROUP_GET_STATUS:
        return this.#getStatus(task, arg) ?? 0;
      case VFIO_GROUP_SET_CONTAINER:
        return this.#setContainer(task, arg) ?? 0;
      case VFIO_GROUP_UNSET_CONTAINER:
        return this.#unsetContainer() ?? 0;
      case VFIO_GROUP_GET_DEVICE_FD:
        return this.#getDeviceFd(task, file, arg);
      default:
        return refuse(ENOTTY, 'a group has no such request', { cmd: hex(cmd) });
    }
  }

  #getStatus(task: Task, arg: bigint): Status {
    const status = readArg(task, arg, vfio_group_status, 'flags');
    if (isErrno(status)) return status;
    using _ = this.lock.hold();
    if (this.isDead)
      return refuse(ENODEV, 'no vfio driver holds a device of this group any more', this.#facts());
    status.flags = 0;
    if (this.isInUse) status.flags = VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET;
    else if (this.#isViable()) status.flags = VFIO_GROUP_FLAGS_VIABLE;
    return copyToUser(task, arg, status.bytes);
  }

  #setContainer(task: Task, arg: bigint): Status {
    const raw = copyFromUser(task, arg, 4);
    if (isErrno(raw)) return raw;
    const file = task.getFile(new DataView(raw.buffer).getInt32(0, true));
    if (isErrno(file)) return file;
    using _ = this.lock.hold();
    if (this.isInUse) return refuse(EINVAL, 'the group has a container already', this.#facts());
    if (this.isDead)
      return refuse(ENODEV, 'no vfio driver holds a device of this group any more', this.#facts());
    const container = containerOf(file);
    if (container) {
      const rc = container.attachGroup(task, this);
      if (!rc) this.container = container;
      return rc;
    }
    const iommufd = GroupIommufd.fromFile(this, file);
    if (iommufd === undefined)
      return refuse(EBADFD, 'the fd is neither a container nor an iommufd', this.#facts());
    if (isErrno(iommufd)) return iommufd;
    this.iommufd = iommufd;
    return undefined;
  }

  #unsetContainer(): Status {
    using _ = this.lock.hold();
    if (!this.isInUse) return refuse(EINVAL, 'the group has no container', this.#facts());
    if (this.container && this.containerUsers > 0) {
      return refuse(EBUSY, 'a device of the group is open', { users: this.containerUsers });
    }
    this.#detachContainer();
    return undefined;
  }

  #getDeviceFd(task: Task, file: OpenFile, arg: bigint): Result<number> {
    const name = readString(task, arg);
    if (isErrno(name)) return name;
    const device = this.#find(name);
    if (isErrno(device)) return device;
    return this.#openDevice(file, device, task);
  }
  /** Open a device and give the program an fd. @kernel vfio_device_open_file */
  #openDevice(groupFile: OpenFile, device: VfioDevice, task: Task): Result<number> {
    const access = new VfioDeviceFile(device, task, { group: this, file: groupFile });
    const rc = this.#startDevice(device, task);
    if (rc) return rc;
    access.accessGranted = true;
    device.files.add(access);
    groupFile.get();
    if (device.kind === 'noiommu') {
      const text = `${device.dev.name}: opened without an IOMMU by process ${task.pid}`;
      this.world.env.log('warn', text);
    }
    const file = deviceFileOf(access);
    const fd = task.installFile(file, true);
    if (isErrno(fd)) file.put();
    return fd;
  }
  #startDevice(device: VfioDevice, task: Task): Status {
    using _ = this.lock.hold();
    if (!this.isInUse) return refuse(EINVAL, 'the group has no container', this.#facts());
    return device.open(
      () => this.#joinContainer(device, task),
      () => this.#leaveContainer(device),
    );
  }
  /** The first open of a device: join the container, or bind to the iommufd in its place. */
  #joinContainer(device: VfioDevice, task: Task): Status {
    if (this.iommufd) return this.iommufd.openDevice(task, device);
    const iommu = this.container!.iommu;
    if (!iommu) return refuse(EINVAL, 'the container has no IOMMU type yet', this.#facts());
    if (this.kind === 'noiommu' && !task.capable(CAP_SYS_RAWIO)) {
      return refuse(EPERM, 'DMA without an IOMMU needs CAP_SYS_RAWIO', {
        ...this.#facts(),
        uid: task.uid,
      });
    }
    this.containerUsers++;
    if (device.ops.dmaUnmap) iommu.registerDevice(device);
    return undefined;
  }
  #leaveContainer(device: VfioDevice): void {
    device.iommufd?.unbind();
    device.iommufd = undefined;
    if (!this.container) return;
    this.container.iommu?.unregisterDevice(device);
    this.containerUsers--;
  }

  #find(name: string): Result<VfioDevice> {
    for (const device of this.devices) {
      const found = device.ops.match?.(name) ?? name === device.dev.name;
      if (isErrno(found)) return found;
      if (found) return device;
    }
    return refuse(ENODEV, 'the group has no device of this name', { name });
  }
  #isViable(): boolean {
    return this.kind !== 'iommu' || !groupDmaOwnerClaimed(this.iommuGroup);
  }
  #detachContainer(): void {
    this.container?.detachGroup(this);
    this.container = undefined;
    this.iommufd?.put();
    this.iommufd = undefined;
  }
  #facts(): { group: string } {
    return { group: this.nodeName };
  }
  /** Of a group that is open: by whom it was opened. */
  #holder(): Facts {
    const openedBy = this.#openedBy;
    return { ...this.#facts(), ...(openedBy !== undefined && { openedBy }) };
  }
}

/** At most a page, the NUL included. */
function readString(task: Task, at: bigint): Result<string> {
  const text: number[] = [];
  const one = new Uint8Array(1);
  for (let n = 0; n < 4096; n++) {
    if (task.mem.read(at + BigInt(n), one))
      return refuse(EFAULT, 'the name cannot be read', { at });
    if (one[0] === 0) return String.fromCharCode(...text);
    text.push(one[0]!);
  }
  return refuse(EINVAL, 'the name is not terminated within a page', { at });
}

export const groupOps: FileOps = {
  ioctl: (file, task, cmd, arg) => behind(file).ioctl(task, file, cmd, arg),
  release: (file) => behind(file).release(),
};

function behind(file: OpenFile): VfioGroup {
  // cast: files with groupOps are made for groups only
  return file.priv as VfioGroup;
}

/** The group behind a file, or undefined for any other file. */
export function groupOf(file: object): VfioGroup | undefined {
  return file instanceof OpenFile && file.ops === groupOps ? behind(file) : undefined;
}
