/**
 * The open file of a device, from a group or from its cdev: who answers which call (vfio.md 2.1, 1.6).
 *
 * A cdev file answers nothing but BIND until it is bound; a file from a group is usable at once.
 */
import { EINVAL, ENODEV, EPERM, isErrno, type Result, type Status } from '../base/errno.ts';
import { OpenFile, type FileOps } from '../base/file.ts';
import { refuse } from '../base/refuse.ts';
import { CAP_SYS_RAWIO, type Task } from '../base/task.ts';
import { hex } from '../base/u64.ts';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from '../uapi/vfio.ts';
import { attachIommufdPt, bindIommufd, detachIommufdPt, unbindIommufd } from './cdev.ts';
import { VfioDeviceFile } from './device-access.ts';
import type { VfioDevice } from './device.ts';

/** Most bytes one read or write moves; a longer one is cut short, as read(2) may. */
const LONGEST_TRANSFER = 1 << 24;

const FILE_NAME = 'anon_inode:[vfio-device]';

/**
 * Any number may open it; it is useless until bound.
 * @kernel vfio_device_fops_cdev_open
 */
export function openCdev(device: VfioDevice, task: Task): Result<OpenFile> {
  if (!device.registered)
    return refuse(ENODEV, 'the vfio driver let the device go', { device: device.dev.name });
  if (device.kind === 'noiommu' && !task.capable(CAP_SYS_RAWIO)) {
    return refuse(EPERM, 'DMA without an IOMMU needs CAP_SYS_RAWIO', {
      device: device.dev.name,
      uid: task.uid,
    });
  }
  device.cdevFiles++;
  const access = new VfioDeviceFile(device, task);
  device.files.add(access);
  return new OpenFile(
    `/dev/vfio/devices/${device.cdevName}`,
    deviceFileOps,
    access,
    device.dev.name,
  );
}

/** The open file of a device that came through its group. */
export function deviceFileOf(access: VfioDeviceFile): OpenFile {
  return new OpenFile(FILE_NAME, deviceFileOps, access, access.device.dev.name);
}

function behind(file: OpenFile): VfioDeviceFile {
  // cast: files with deviceFileOps are made in this module only
  return file.priv as VfioDeviceFile;
}

function release(file: OpenFile): void {
  const access = behind(file);
  const { device, group } = access;
  device.files.delete(access);
  if (!group) {
    unbindIommufd(access);
    device.closeCdev();
    return;
  }
  if (access.accessGranted) group.closeDevice(device);
  access.groupFile!.put();
}

function ioctl(file: OpenFile, task: Task, cmd: number, arg: bigint): Result<number> {
  const access = behind(file);
  if (cmd === VFIO_DEVICE_BIND_IOMMUFD) return bindIommufd(access, task, arg) ?? 0;
  const refused = notYet(access, { cmd: hex(cmd) });
  if (refused) return refused;
  if (access.isCdev && cmd === VFIO_DEVICE_ATTACH_IOMMUFD_PT) {
    return attachIommufdPt(access, task, arg) ?? 0;
  }
  if (access.isCdev && cmd === VFIO_DEVICE_DETACH_IOMMUFD_PT) {
    return detachIommufdPt(access, task, arg) ?? 0;
  }
  return access.device.ops.ioctl(task, cmd, arg, access);
}

function notYet(access: VfioDeviceFile, facts: { cmd: string }): Status {
  if (access.accessGranted) return undefined;
  return refuse(EINVAL, 'the cdev is not bound to an iommufd yet', facts);
}

export const deviceFileOps: FileOps = {
  ioctl,
  release,
  read(file, task, into, offset) {
    const access = behind(file);
    const refused = notYet(access, { cmd: 'read' });
    if (refused) return refused;
    const bytes = new Uint8Array(Math.min(into.length, LONGEST_TRANSFER));
    const got = access.device.ops.read(task, bytes, offset ?? file.position);
    return isErrno(got) ? got : (into.copyTo(0, bytes.subarray(0, got)) ?? got);
  },
  write(file, task, from, offset) {
    const access = behind(file);
    const refused = notYet(access, { cmd: 'write' });
    if (refused) return refused;
    const bytes = new Uint8Array(Math.min(from.length, LONGEST_TRANSFER));
    return from.copyFrom(0, bytes) ?? access.device.ops.write(task, bytes, offset ?? file.position);
  },
  mmap(file, task, request) {
    const access = behind(file);
    const refused = notYet(access, { cmd: 'mmap' });
    if (refused) return refused;
    if (access.device.ops.mmap) return access.device.ops.mmap(task, request);
    return refuse(EINVAL, 'the device has nothing to map', { device: access.device.dev.name });
  },
  fdinfo(file) {
    const { ops, world } = behind(file).device;
    const path = world.env.has('vfio-no-fdinfo') ? undefined : ops.sysPath;
    return path === undefined ? '' : `vfio-device-syspath: ${path}\n`;
  },
};
