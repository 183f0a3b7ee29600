/** What an open device file knows of itself: its device, the group it came through, and whether it may be used. */
import type { OpenFile } from '../base/file.ts';
import type { DeviceAccess, VfioDevice } from './device.ts';
import type { VfioGroup } from './group.ts';

/** struct vfio_device_file. */
export class VfioDeviceFile implements DeviceAccess {
  readonly device: VfioDevice;
  /** Present when it came from a group: that file stays open as long as this one. */
  readonly groupFile: OpenFile | undefined;
  readonly group: VfioGroup | undefined;
  /** Set at open for a group file, at BIND for a cdev. */
  accessGranted = false;

  constructor(device: VfioDevice, from?: { group: VfioGroup; file: OpenFile }) {
    this.device = device;
    this.group = from?.group;
    this.groupFile = from?.file;
  }
  get isCdev(): boolean {
    return this.group === undefined;
  }
}
