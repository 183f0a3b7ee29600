/** VFIO_DEVICE_FEATURE of vfio-pci: tokens, low power, dma-bufs, and what a device that migrates has (vfio.md 2.10). */
import { EINVAL, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Eventfd, Task } from '../../base/task.ts';
import { hexOf } from '../../base/u64.ts';
import {
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature_dma_buf,
  vfio_device_low_power_entry_with_wakeup,
} from '../../uapi/vfio.ts';
import { deviceFeature, noFeature, type DeviceFeature, type DeviceFeatures } from '../feature.ts';
import { copyFromUser } from '../ioctl.ts';
import { migrationFeature } from '../migration/features.ts';
import type { VfioPciState } from './state.ts';
import { exportDmabuf } from './dmabuf.ts';

const UUID_SIZE = 16;
const SET = VFIO_DEVICE_FEATURE_SET;
const GET = VFIO_DEVICE_FEATURE_GET;
/** Those that need no migration. */
const FEATURES: DeviceFeatures<VfioPciState> = {
  [VFIO_DEVICE_FEATURE_PCI_VF_TOKEN]: { ops: SET, size: UUID_SIZE, run: setToken },
  [VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY]: {
    ops: SET,
    size: 0,
    run: (device) => enterLowPower(device, undefined),
  },
  [VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP]: {
    ops: SET,
    size: vfio_device_low_power_entry_with_wakeup.size,
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

/** @kernel vfio_pci_core_ioctl_feature */
export function pciDeviceFeature(
  device: VfioPciState,
  task: Task,
  arg: bigint,
): Result<number> | undefined {
  return deviceFeature(device, task, arg, (index) => find(device, index));
}

function find(device: VfioPciState, index: number): Result<DeviceFeature<VfioPciState>> {
  const { env } = device.subsystem;
  const isPrecopyInfo = index === VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2;
  if (isPrecopyInfo && env.has('vfio-no-precopy-info')) return noFeature(index);
  const isMissing =
    (index === VFIO_DEVICE_FEATURE_DMA_BUF && !device.canExport) ||
    (index === VFIO_DEVICE_FEATURE_PCI_VF_TOKEN && !device.tokens.own);
  const feature = isMissing ? undefined : FEATURES[index];
  const found = feature ?? migrationFeature(device.migration, index);
  if (found) return found;
  if (!isPrecopyInfo) return noFeature(index);
  return refuse(EINVAL, 'the device does not support PRE_COPY', { device: device.fn.name });
}

/** @kernel vfio_pci_core_feature_token */
function setToken(device: VfioPciState, task: Task, data: bigint): Status {
  const uuid = copyFromUser(task, data, UUID_SIZE);
  if (isErrno(uuid)) return uuid;
  device.tokens.own!.set(hexOf(uuid));
  return undefined;
}

function enterLowPower(device: VfioPciState, wakeup: Eventfd | undefined): Status {
  if (device.sleeps) {
    wakeup?.put();
    return refuse(EINVAL, 'the device is in low power already', { device: device.fn.name });
  }
  device.sleep(wakeup);
  return undefined;
}
function enterWithWakeup(device: VfioPciState, task: Task, data: bigint): Status {
  const layout = vfio_device_low_power_entry_with_wakeup;
  const raw = copyFromUser(task, data, layout.size);
  if (isErrno(raw)) return raw;
  const fd = layout.view(raw).wakeup_eventfd | 0;
  if (fd < 0) return refuse(EINVAL, 'a negative fd', { fd });
  const eventfd = task.getEventfd(fd);
  return isErrno(eventfd) ? eventfd : enterLowPower(device, eventfd);
}
