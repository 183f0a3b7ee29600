/** What an open device file knows of itself: its device, the group it came through, and whether it may be used. */
import type { OpenFile } from '../base/file.ts';
import type { Task } from '../base/task.ts';
import type { DeviceAccess } from './device-ops.ts';
import type { VfioDevice } from './device.ts';

/** The group a device file came through, as the file sees it. */
export interface GroupOfFile {
  /** The file is closed: one user less, and the last one leaves the container. */
  closeDevice(device: VfioDevice): void;
}

/** struct vfio_device_file. */
export class VfioDeviceFile implements DeviceAccess {
  readonly device: VfioDevice;
  /** Present when it came from a group: that file stays open as long as this one. */
  readonly groupFile: OpenFile | undefined;
  readonly group: GroupOfFile | undefined;
  /** Set at open for a group file, at BIND for a cdev. */
  accessGranted = false;
  /** The process that opened it; others may have got it since. */
  readonly openedBy: number;

  constructor(device: VfioDevice, task: Task, from?: { group: GroupOfFile; file: OpenFile }) {
    this.device = device;
    this.group = from?.group;
    this.groupFile = from?.file;
    this.openedBy = task.pid;
  }
  get isCdev(): boolean {
    return this.group === undefined;
  }
}
