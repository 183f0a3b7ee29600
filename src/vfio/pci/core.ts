/**
 * vfio-pci: what a PCI device answers on its fd (vfio.md 2.1, 2.3, 2.7, 2.10, 2.13).
 *
 * NOT IMPLEMENTED, and answered as a kernel without it: graphics (ENOTTY), VGA regions.
 */
import { ENOTTY, isErrno, type Result, type Status } from '../../base/errno.ts';
import type { Mapping, MmapRequest } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { hex } from '../../base/u64.ts';
import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_IOEVENTFD,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  vfio_device_info,
} from '../../uapi/vfio.ts';
import type { DeviceAccess, VfioDeviceOps } from '../device-ops.ts';
import { copyToUser, readArg } from '../ioctl.ts';
import { pciDeviceFeature } from './feature.ts';
import { ioeventfd } from './ioeventfd.ts';
import { getHotResetInfo, hotReset } from './hot-reset.ts';
import type { Migration } from '../migration/migration.ts';
import { matchPciName } from './name.ts';
import { getRegionInfo, mmapRegion, readWrite } from './regions.ts';
import { getIrqInfo, setIrqs } from './set-irqs.ts';
import type { VfioPciState } from './state.ts';
import { checkVfToken } from './vf-token.ts';

export class VfioPciDevice implements VfioDeviceOps {
  readonly name = 'vfio-pci';
  readonly pasids = true;
  readonly state: VfioPciState;
  readonly sysPath: string;

  constructor(state: VfioPciState, sysPath: string) {
    this.state = state;
    this.sysPath = sysPath;
  }
  get migration(): Migration | undefined {
    return this.state.migration;
  }
  openDevice(): Status {
    this.state.open();
    return undefined;
  }
  closeDevice(): void {
    this.state.close();
  }
  request(): void {
    this.state.irqs.signalSingle('req');
  }
  match(name: string): Result<boolean> {
    const options = matchPciName(this.state.fn.name, name);
    if (isErrno(options) || !options) return options;
    return this.checkToken(options.vfToken) ?? true;
  }
  checkToken(uuid: string | undefined): Status {
    return checkVfToken(this.state.tokens, uuid);
  }

  ioctl(task: Task, cmd: number, arg: bigint, file: DeviceAccess): Result<number> {
    // Entering low power comes by DEVICE_FEATURE itself; anything else wakes the device.
    if (cmd !== VFIO_DEVICE_FEATURE) this.state.wake(true);
    const handler = IOCTLS[cmd];
    if (handler) return handler(this.state, task, arg, file) ?? 0;
    return refuse(ENOTTY, 'vfio-pci has no such request', { cmd: hex(cmd) });
  }
  read(_task: Task, into: Uint8Array, offset: bigint): Result<number> {
    this.state.wake(true);
    return readWrite(this.state, offset, { write: false, data: into });
  }
  write(_task: Task, from: Uint8Array, offset: bigint): Result<number> {
    this.state.wake(true);
    const done = readWrite(this.state, offset, { write: true, data: from });
    // The command register may have been among it.
    this.state.followAccess();
    return done;
  }
  mmap(_task: Task, request: MmapRequest): Result<Mapping> {
    return mmapRegion(this.state, request);
  }
}

type Handler = (
  device: VfioPciState,
  task: Task,
  arg: bigint,
  file: DeviceAccess,
) => Result<number> | undefined;

const IOCTLS: Readonly<Record<number, Handler>> = {
  [VFIO_DEVICE_GET_INFO]: getInfo,
  [VFIO_DEVICE_GET_REGION_INFO]: getRegionInfo,
  [VFIO_DEVICE_GET_IRQ_INFO]: getIrqInfo,
  [VFIO_DEVICE_SET_IRQS]: setIrqs,
  [VFIO_DEVICE_RESET]: (device) => device.reset(),
  [VFIO_DEVICE_GET_PCI_HOT_RESET_INFO]: getHotResetInfo,
  [VFIO_DEVICE_PCI_HOT_RESET]: hotReset,
  [VFIO_DEVICE_IOEVENTFD]: ioeventfd,
  [VFIO_DEVICE_FEATURE]: pciDeviceFeature,
};

/** @kernel vfio_pci_ioctl_get_info */
function getInfo(device: VfioPciState, task: Task, arg: bigint): Status {
  const info = readArg(task, arg, vfio_device_info, 'num_irqs');
  if (isErrno(info)) return info;
  info.flags = VFIO_DEVICE_FLAGS_PCI | (device.resetWorks ? VFIO_DEVICE_FLAGS_RESET : 0);
  info.num_regions = VFIO_PCI_NUM_REGIONS;
  info.num_irqs = VFIO_PCI_NUM_IRQS;
  info.cap_offset = 0;
  const { size } = vfio_device_info;
  return copyToUser(task, arg, info.bytes.subarray(0, Math.min(info.argsz, size)));
}
