/** VFIO_DEVICE_FEATURE: the checks that the features of all devices share (vfio.md 2.10). */
import { EINVAL, ENOTTY, isErrno, type Result } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Task } from '../base/task.ts';
import {
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
} from '../uapi/vfio.ts';
import { behind, readArg } from './ioctl.ts';

/** One feature of devices of some kind. */
export interface DeviceFeature<Device> {
  /** GET, SET, or both. */
  readonly ops: number;
  /** Bytes of its data. */
  readonly size: number;
  /** `isSet`: which of its operations. Undefined is 0; some answer with an fd. */
  run(device: Device, task: Task, data: bigint, isSet: boolean): Result<number> | undefined;
}

/** Features by index. */
export type DeviceFeatures<Device> = Readonly<Record<number, DeviceFeature<Device>>>;

/** ENOTTY: the device does not have it. */
export function noFeature(index: number) {
  return refuse(ENOTTY, 'the device does not have this feature', { index });
}

/** `find`: the feature of this index, or why there is none. @kernel vfio_ioctl_device_feature */
export function deviceFeature<Device>(
  device: Device,
  task: Task,
  arg: bigint,
  find: (index: number) => Result<DeviceFeature<Device>>,
): Result<number> | undefined {
  const given = readArg(task, arg, vfio_device_feature, 'flags');
  if (isErrno(given)) return given;
  const { flags, argsz } = given;
  const both = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
  if (flags & ~(VFIO_DEVICE_FEATURE_MASK | both | VFIO_DEVICE_FEATURE_PROBE)) {
    return refuse(EINVAL, 'an unknown flag', { flags });
  }
  const probe = (flags & VFIO_DEVICE_FEATURE_PROBE) !== 0;
  if (!probe && (flags & both) === both) return refuse(EINVAL, 'GET and SET at once', { flags });
  const feature = find(flags & VFIO_DEVICE_FEATURE_MASK);
  if (isErrno(feature)) return feature;
  if (flags & both & ~feature.ops) {
    return refuse(EINVAL, 'the feature does not offer this operation', { flags });
  }
  if (probe) return undefined;
  if ((flags & both) === 0) return refuse(EINVAL, 'neither GET nor SET nor PROBE', { flags });
  if (argsz - vfio_device_feature.size < feature.size) {
    return refuse(EINVAL, 'argsz leaves no room for the data', { argsz, size: feature.size });
  }
  const isSet = (flags & VFIO_DEVICE_FEATURE_SET) !== 0;
  return feature.run(device, task, behind(arg, vfio_device_feature), isSet);
}
