/** VFIO_DEVICE_FEATURE of vfio-pci: the checks all features share, and low power (vfio.md 2.10). */
import { EINVAL, ENOTTY, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Eventfd, Task } from '../../base/task.ts';
import { hexOf } from '../../base/u64.ts';
import {
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
  vfio_device_feature_dma_buf,
} from '../../uapi/vfio.ts';
import { behind, copyFromUser, readArg } from '../ioctl.ts';
import type { VfioPciState } from './state.ts';
import { exportDmabuf } from './dmabuf.ts';

interface Feature {
  readonly ops: number;
  /** Bytes of its data. */
  readonly size: number;
  /** Undefined is 0; DMA_BUF answers with an fd. */
  run(device: VfioPciState, task: Task, data: bigint): Result<number> | undefined;
}

const UUID_SIZE = 16;
const SET = VFIO_DEVICE_FEATURE_SET;
const GET = VFIO_DEVICE_FEATURE_GET;
/** Features that are not here are ENOTTY. */
const FEATURES: Readonly<Record<number, Feature>> = {
  [VFIO_DEVICE_FEATURE_PCI_VF_TOKEN]: { ops: SET, size: UUID_SIZE, run: setToken },
  [VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY]: {
    ops: SET,
    size: 0,
    run: (device) => enterLowPower(device, undefined),
  },
  [VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP]: {
    ops: SET,
    size: 8,
    run: enterWithWakeup,
  },
  [VFIO_DEVICE_FEATURE_LOW_POWER_EXIT]: {
    ops: SET,
    size: 0,
    run(device) {
      device.wake(false);
      return undefined;
    },
  },
  [VFIO_DEVICE_FEATURE_DMA_BUF]: {
    ops: GET,
    size: vfio_device_feature_dma_buf.size,
    run: exportDmabuf,
  },
};

/** @kernel vfio_ioctl_device_feature */
export function deviceFeature(
  device: VfioPciState,
  task: Task,
  arg: bigint,
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
  const feature = find(device, flags & VFIO_DEVICE_FEATURE_MASK);
  if (isErrno(feature)) return feature;
  if (flags & both & ~feature.ops) {
    return refuse(EINVAL, 'the feature does not offer this operation', { flags });
  }
  if (probe) return undefined;
  if ((flags & both) === 0) return refuse(EINVAL, 'neither GET nor SET nor PROBE', { flags });
  if (argsz - vfio_device_feature.size < feature.size) {
    return refuse(EINVAL, 'argsz leaves no room for the data', { argsz, size: feature.size });
  }
  return feature.run(device, task, behind(arg, vfio_device_feature));
}

function find(device: VfioPciState, index: number): Result<Feature> {
  const { env } = device.subsystem;
  if (index === VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 && !env.has('vfio-no-precopy-info')) {
    return refuse(EINVAL, 'the device does not support PRE_COPY', { device: device.fn.name });
  }
  const isMissing =
    (index === VFIO_DEVICE_FEATURE_DMA_BUF && !device.canExport) ||
    (index === VFIO_DEVICE_FEATURE_PCI_VF_TOKEN && !device.tokens.own);
  const feature = isMissing ? undefined : FEATURES[index];
  return feature ?? refuse(ENOTTY, 'the device does not have this feature', { index });
}

/** @kernel vfio_pci_core_feature_token */
function setToken(device: VfioPciState, task: Task, data: bigint): Status {
  const uuid = copyFromUser(task, data, UUID_SIZE);
  if (isErrno(uuid)) return uuid;
  device.tokens.own!.set(hexOf(uuid));
  return undefined;
}

function enterLowPower(device: VfioPciState, wakeup: Eventfd | undefined): Status {
  if (device.lowPower) {
    wakeup?.put();
    return refuse(EINVAL, 'the device is in low power already', { device: device.fn.name });
  }
  device.lowPower = { wakeup };
  device.followAccess();
  return undefined;
}
function enterWithWakeup(device: VfioPciState, task: Task, data: bigint): Status {
  const raw = copyFromUser(task, data, 8);
  if (isErrno(raw)) return raw;
  const fd = new DataView(raw.buffer).getInt32(0, true);
  if (fd < 0) return refuse(EINVAL, 'a negative fd', { fd });
  const eventfd = task.getEventfd(fd);
  return isErrno(eventfd) ? eventfd : enterLowPower(device, eventfd);
}
