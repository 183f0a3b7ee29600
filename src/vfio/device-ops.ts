/** What a vfio driver gives the core for one device, and how the device's DMA is translated (vfio.md 1.2, 2.1). */
import type { Result, Status } from '../base/errno.ts';
import type { Mapping, MmapRequest } from '../base/file.ts';
import type { Task } from '../base/task.ts';

/** enum vfio_group_type: how the device's DMA is translated. */
export type VfioDeviceKind = 'iommu' | 'emulated' | 'noiommu';

/** The migration of a device, for people who look. */
export interface DeviceMigration {
  /** 'RUNNING' */
  readonly stateName: string;
  readonly device: { readonly p2p: boolean; readonly preCopy: boolean };
}

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
  /** Of a device that migrates. */
  readonly migration?: DeviceMigration | undefined;
  /** Path shown as vfio-device-syspath in fdinfo. */
  readonly sysPath?: string;
}

/** The file a call came through, as far as drivers may know. */
export interface DeviceAccess {
  readonly isCdev: boolean;
}
