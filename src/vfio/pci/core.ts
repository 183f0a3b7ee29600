/**
 * vfio-pci: what a PCI device answers on its fd (vfio.md 2.1, 2.3, 2.7, 2.10, 2.13).
 *
 * NOT IMPLEMENTED, and answered as a kernel without it: migration and dirty logging (DEVICE_FEATURE 1, 2, 6 to 9:
 * ENOTTY), IOEVENTFD and graphics (ENOTTY), VGA regions, SR-IOV and VF tokens.
 */
import { EINVAL, ENOTTY, isErrno, type Result, type Status } from '../../base/errno.ts';
import type { Mapping, MmapRequest } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import type { Eventfd, Task } from '../../base/task.ts';
import { hex } from '../../base/u64.ts';
import { devHasIommu, type Device } from '../../core/contract/device.ts';
import { resetDone, resetPrepare } from '../../core/group/reset.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import {
  PCI_CAP_ID_PM,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_PM_CTRL,
  PCI_PM_CTRL_STATE_MASK,
} from '../../uapi/pci-regs.ts';
import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  vfio_device_info,
} from '../../uapi/vfio.ts';
import type { DeviceAccess, VfioDeviceOps } from '../device.ts';
import { copyToUser, readArg } from '../ioctl.ts';
import { VfioPciConfig } from './config.ts';
import { BarExports } from './dmabuf.ts';
import { deviceFeature } from './feature.ts';
import { getHotResetInfo, hotReset } from './hot-reset.ts';
import { VfioPciIrqs } from './irqs.ts';
import { matchPciName } from './name.ts';
import type { PciIrqs } from './pci-irqs.ts';
import { getRegionInfo, mmapRegion, readWrite } from './regions.ts';
import { getIrqInfo, setIrqs } from './set-irqs.ts';
import type { VfioSubsystem } from '../vfio-core.ts';

/** A PCI function as the bus gives it to its driver. @kernel pci_dev */
export interface VfioPciFunction {
  readonly dev: Device;
  readonly fn: PciDeviceFunction;
  readonly irqs: PciIrqs;
  /** Its directory in sysfs. */
  readonly sysPath: string;
}

export class VfioPciDevice implements VfioDeviceOps {
  readonly name = 'vfio-pci';
  readonly pasids = true;
  readonly subsystem: VfioSubsystem;
  readonly dev: Device;
  readonly fn: PciDeviceFunction;
  readonly sysPath: string;
  readonly irqs: VfioPciIrqs;
  readonly exports = new BarExports();
  #config: VfioPciConfig | undefined;
  /** Configuration space as it was before the first open. */
  #saved: Uint8Array | undefined;
  #resetWorks = false;
  /** In the low power the user asked for, and what tells it that something woke the device. */
  lowPower: { readonly wakeup: Eventfd | undefined } | undefined;

  constructor(subsystem: VfioSubsystem, pci: VfioPciFunction) {
    this.subsystem = subsystem;
    this.dev = pci.dev;
    this.fn = pci.fn;
    this.sysPath = pci.sysPath;
    this.irqs = new VfioPciIrqs(pci, () => this.config);
  }
  /** Does this kernel export BARs as dma-bufs? */
  get canExport(): boolean {
    return this.subsystem.env.has('vfio-dmabuf');
  }
  /** Registers answer whoever reaches them: the user has not switched them off, and no reset is under way. */
  answers(): boolean {
    return this.isOpen && this.fn.memoryEnabled && this.isMemoryAccessible();
  }
  /** Something changed that may decide whether registers answer. */
  followAccess(): void {
    if (!this.exports.isEmpty) this.exports.follow(this.answers());
  }
  readonly #watcher = (): void => this.followAccess();
  get isOpen(): boolean {
    return this.#config !== undefined;
  }
  get config(): VfioPciConfig {
    return this.#config!;
  }
  /** Virtual decode on and the device awake. */
  isMemoryAccessible(): boolean {
    return this.config.memoryEnabled && this.fn.powerState < 3 && this.lowPower === undefined;
  }

  /** @kernel vfio_pci_core_enable */
  openDevice(): Status {
    this.#saved = this.fn.config.bytes.slice();
    this.#toD0();
    this.#setCommand(PCI_COMMAND_MASTER, 0);
    this.#setCommand(0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    this.#resetWorks = !this.#resetFunction();
    this.#setCommand(PCI_COMMAND_INTX_DISABLE, 0);
    this.fn.watchers.add(this.#watcher);
    this.#config = new VfioPciConfig(this.fn, {
      setIntxDisabled: (disabled) => this.irqs.setIntxDisabled(disabled),
      resetFunction: () => void this.#resetFunction(),
      msiVectorsLg2: () => this.irqs.msiVectorsLg2(),
    });
    return undefined;
  }
  /** @kernel vfio_pci_core_disable */
  closeDevice(): void {
    this.wake(false);
    this.#toD0();
    this.#setCommand(PCI_COMMAND_MASTER, 0);
    this.irqs.disableAll();
    this.fn.watchers.delete(this.#watcher);
    this.exports.close();
    this.#config = undefined;
    this.fn.config.bytes.set(this.#saved!);
    this.#saved = undefined;
    this.#setCommand(PCI_COMMAND_MASTER, 0);
    if (this.#resetWorks) void this.#resetFunction();
  }
  request(): void {
    this.irqs.signalSingle('req');
  }
  match(name: string): Result<boolean> {
    return matchPciName(this.fn.name, name);
  }
  /** No function of ours has VFs in use, so a token is never right. */
  checkToken(uuid: string | undefined): Status {
    if (uuid === undefined) return undefined;
    return refuse(EINVAL, 'the function is neither a PF with VFs nor a VF', { uuid });
  }

  ioctl(task: Task, cmd: number, arg: bigint, file: DeviceAccess): Result<number> {
    // Entering low power comes by DEVICE_FEATURE itself; anything else wakes the device.
    if (cmd !== VFIO_DEVICE_FEATURE) this.wake(true);
    const handler = IOCTLS[cmd];
    if (handler) return handler(this, task, arg, file) ?? 0;
    return refuse(ENOTTY, 'vfio-pci has no such request', { cmd: hex(cmd) });
  }
  read(_task: Task, into: Uint8Array, offset: bigint): Result<number> {
    this.wake(true);
    return readWrite(this, offset, { write: false, data: into });
  }
  write(_task: Task, from: Uint8Array, offset: bigint): Result<number> {
    this.wake(true);
    const done = readWrite(this, offset, { write: true, data: from });
    // The command register may have been among it.
    this.followAccess();
    return done;
  }
  mmap(_task: Task, request: MmapRequest): Result<Mapping> {
    return mmapRegion(this, request);
  }

  /**
   * Function reset; what configuration space says to the user survives, and so do interrupts and mappings.
   * EINVAL: there is no working function reset.
   * @kernel vfio_pci_ioctl_reset
   */
  reset(): Status {
    if (!this.#resetWorks) return refuse(EINVAL, 'no function reset works on this device');
    this.#toD0();
    return this.#resetFunction();
  }
  /** Leave the low power of the user's choice. */
  wake(tell: boolean): void {
    const asleep = this.lowPower;
    if (!asleep) return;
    // Without a wake-up eventfd the device goes back to sleep after the access.
    if (tell && !asleep.wakeup) return;
    this.lowPower = undefined;
    this.followAccess();
    if (tell) asleep.wakeup?.signal();
    asleep.wakeup?.put();
  }

  /** @kernel vfio_pci_ioctl_get_info */
  getInfo(task: Task, arg: bigint): Status {
    const info = readArg(task, arg, vfio_device_info, 16);
    if (isErrno(info)) return info;
    info.flags = VFIO_DEVICE_FLAGS_PCI | (this.#resetWorks ? VFIO_DEVICE_FLAGS_RESET : 0);
    info.num_regions = VFIO_PCI_NUM_REGIONS;
    info.num_irqs = VFIO_PCI_NUM_IRQS;
    info.cap_offset = 0;
    const { size } = vfio_device_info;
    return copyToUser(task, arg, info.bytes.subarray(0, Math.min(info.argsz, size)));
  }
  /** While it lasts the device is blocked at its IOMMU. */
  #resetFunction(): Status {
    const { dev } = this;
    if (!this.fn.canResetFunction || !devHasIommu(dev)) return this.fn.resetFunction();
    const rc = resetPrepare(dev);
    if (rc) return rc;
    const failed = this.fn.resetFunction();
    resetDone(dev);
    return failed;
  }
  #toD0(): void {
    const pm = this.fn.config.capability(PCI_CAP_ID_PM);
    if (pm === 0 || this.fn.powerState === 0) return;
    const control = this.fn.readConfig(pm + PCI_PM_CTRL, 2);
    this.fn.writeConfig(pm + PCI_PM_CTRL, 2, control & ~PCI_PM_CTRL_STATE_MASK);
  }
  #setCommand(clear: number, set: number): void {
    const command = this.fn.command;
    const wanted = (command & ~clear) | set;
    if (wanted !== command) this.fn.writeConfig(PCI_COMMAND, 2, wanted);
  }
}

type Handler = (
  device: VfioPciDevice,
  task: Task,
  arg: bigint,
  file: DeviceAccess,
) => Result<number> | undefined;

const IOCTLS: Readonly<Record<number, Handler>> = {
  [VFIO_DEVICE_GET_INFO]: (device, task, arg) => device.getInfo(task, arg),
  [VFIO_DEVICE_GET_REGION_INFO]: getRegionInfo,
  [VFIO_DEVICE_GET_IRQ_INFO]: getIrqInfo,
  [VFIO_DEVICE_SET_IRQS]: setIrqs,
  [VFIO_DEVICE_RESET]: (device) => device.reset(),
  [VFIO_DEVICE_GET_PCI_HOT_RESET_INFO]: getHotResetInfo,
  [VFIO_DEVICE_PCI_HOT_RESET]: hotReset,
  [VFIO_DEVICE_FEATURE]: deviceFeature,
};
