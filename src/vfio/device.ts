/**
 * A device as VFIO core sees it: registered by a vfio driver, opened through a group or its cdev (vfio.md 1.6, 2.1, 2.13).
 *
 * One device state is shared by all its open files; the first open makes it, the last close ends it.
 */
import { isErrno, type Result, type Status } from '../base/errno.ts';
import type { Mapping, MmapRequest } from '../base/file.ts';
import type { Task } from '../base/task.ts';
import { WaitQueue } from '../base/wait-queue.ts';
import type { Device } from '../core/contract/device.ts';
import type { DeviceIommufd } from './iommufd.ts';
import type { VfioGroup } from './group.ts';
import type { VfioSubsystem } from './vfio-core.ts';

/** enum vfio_group_type: how the device's DMA is translated. */
export type VfioDeviceKind = 'iommu' | 'emulated' | 'noiommu';

/** What a vfio driver offers for one device (struct vfio_device_ops). */
export interface VfioDeviceOps {
  /** In logs: 'vfio-pci'. */
  readonly name: string;
  /** It takes PASID attaches; EOPNOTSUPP otherwise. */
  readonly pasids: boolean;
  openDevice(): Status;
  closeDevice(): void;
  /** Everything the core does not answer itself; ENOTTY for the unknown. */
  ioctl(task: Task, cmd: number, arg: bigint, file: DeviceAccess): Result<number>;
  read(task: Task, into: Uint8Array, offset: bigint): Result<number>;
  write(task: Task, from: Uint8Array, offset: bigint): Result<number>;
  mmap?(task: Task, request: MmapRequest): Result<Mapping>;
  /** Does the string given to GET_DEVICE_FD name this device? Errnos for bad options. Absent: the exact name. */
  match?(name: string): Result<boolean>;
  /** The rules of the VF token at BIND: `uuid` is undefined when none was given. Absent: a token is EINVAL. */
  checkToken?(uuid: string | undefined): Status;
  /** Somebody wants the device back: tell the user. Called again every 10 s. */
  request?(): void;
  /** An emulated device must let go of pages in this range. */
  dmaUnmap?(iova: bigint, length: bigint): void;
  /** Path shown as vfio-device-syspath in fdinfo. */
  readonly sysPath?: string;
}

/** The file a call came through, as far as drivers may know. */
export interface DeviceAccess {
  readonly isCdev: boolean;
}

export class VfioDevice {
  readonly subsystem: VfioSubsystem;
  readonly dev: Device;
  readonly ops: VfioDeviceOps;
  readonly kind: VfioDeviceKind;
  /** The N of vfioN: lowest free. */
  readonly index: number;
  /** Undefined in a kernel without groups. */
  group: VfioGroup | undefined;
  registered = true;
  openCount = 0;
  /** Files of its cdev, bound or not: each keeps the driver from letting it go. */
  cdevFiles = 0;
  /** What it is bound to and attached to when it is used through iommufd. */
  iommufd: DeviceIommufd | undefined;
  /** Woken when it may be held by nobody any more: unbind waits for that. */
  readonly closed = new WaitQueue();
  #requestTimer: Disposable | undefined;

  constructor(
    subsystem: VfioSubsystem,
    dev: Device,
    what: { ops: VfioDeviceOps; kind: VfioDeviceKind; index: number },
  ) {
    this.subsystem = subsystem;
    this.dev = dev;
    this.ops = what.ops;
    this.kind = what.kind;
    this.index = what.index;
  }
  /** 'vfio3', 'noiommu-vfio3'. */
  get cdevName(): string {
    return `${this.isNoiommuCdev ? 'noiommu-' : ''}vfio${this.index}`;
  }
  get isNoiommuCdev(): boolean {
    return this.kind === 'noiommu' && this.subsystem.env.has('noiommu-cdev');
  }

  /** Does anybody have it open, so that its driver must wait? */
  get isHeld(): boolean {
    return this.openCount > 0 || this.cdevFiles > 0;
  }
  closeCdev(): void {
    this.cdevFiles--;
    this.#letGo();
  }
  #letGo(): void {
    if (this.isHeld) return;
    this.#requestTimer?.[Symbol.dispose]();
    this.#requestTimer = undefined;
    this.closed.wakeAll();
  }

  /** Count one more user; the first makes `start` succeed before the driver's open. */
  open(start: () => Status, undo: () => void): Status {
    if (this.openCount > 0) {
      this.openCount++;
      return undefined;
    }
    const rc = start();
    if (rc) return rc;
    const opened = this.ops.openDevice();
    if (isErrno(opened)) {
      undo();
      return opened;
    }
    this.openCount = 1;
    this.subsystem.env.trace.emit({ kind: 'life', what: 'device-bind', who: this.dev.name });
    return undefined;
  }
  close(stop: () => void): void {
    if (--this.openCount > 0) return;
    this.ops.closeDevice();
    stop();
    this.subsystem.env.trace.emit({ kind: 'life', what: 'device-unbind', who: this.dev.name });
    this.#letGo();
  }
  /** Ask the user to let go, now and every 10 s until the last close. */
  requestBack(): void {
    if (this.#requestTimer) return;
    this.ops.request?.();
    this.#requestTimer = this.subsystem.env.clock.after(10e9, () => {
      this.#requestTimer = undefined;
      if (this.isHeld) this.requestBack();
    });
  }
}
