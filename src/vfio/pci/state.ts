/**
 * The state of one function in the hands of vfio-pci: what its user sees, and whether its registers answer
 * (vfio.md 2.1, 2.3, 2.7, 2.13).
 */
import { EINVAL, type Status } from '../../base/errno.ts';
import type { Remark } from '../../base/events.ts';
import { refuse } from '../../base/refuse.ts';
import type { Eventfd } from '../../base/task.ts';
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
import type { MigratableDevice } from '../migration/migratable.ts';
import { Migration } from '../migration/migration.ts';
import type { VfioSubsystem } from '../vfio-core.ts';
import { VfioPciConfig } from './config.ts';
import { BarExports } from './exports.ts';
import { VfioPciIrqs } from './irqs.ts';
import type { PciIrqs } from './pci-irqs.ts';
import type { TokenRules } from './vf-token.ts';

/** An eventfd whose every signal writes a register. @kernel vfio_pci_ioeventfd */
export interface IoEventfd {
  /** What makes it another one: BAR, offset, width and value. */
  readonly key: string;
  stop(): void;
}

/**
 * How users reach a memory BAR: trap, they map it, and each load and store is a call; plain, they map it, and have its plain
 * pages as memory; none, they cannot map it, and read and write it.
 */
export type BarAccess = 'trap' | 'plain' | 'none';

/** A PCI function as the bus gives it to its driver. @kernel pci_dev */
export interface VfioPciFunction {
  readonly dev: Device;
  readonly fn: PciDeviceFunction;
  readonly irqs: PciIrqs;
  /** How users reach a memory BAR. */
  barAccess(index: number): BarAccess | undefined;
  /** Its state can be taken elsewhere. */
  readonly migratable: MigratableDevice | undefined;
  /** Virtual functions it shows. */
  readonly numVfs: number;
  /** Its user has it in low power, which is what its power/runtime_status says. */
  suspended: boolean;
  /** Its directory in sysfs. */
  readonly sysPath: string;
}

/** struct vfio_pci_core_device. */
export class VfioPciState {
  readonly subsystem: VfioSubsystem;
  readonly dev: Device;
  readonly fn: PciDeviceFunction;
  readonly irqs: VfioPciIrqs;
  readonly exports = new BarExports();
  /** Eventfds that write registers. */
  readonly ioeventfds: IoEventfd[] = [];
  readonly tokens: TokenRules;
  /** Undefined: the device does not migrate. */
  readonly migration: Migration | undefined;
  /** How users reach a memory BAR; undefined: nobody has said. */
  readonly barAccess: (index: number) => BarAccess | undefined;
  /** Virtual functions were switched on through vfio-pci. */
  carriesVfs = false;
  #config: VfioPciConfig | undefined;
  /** Configuration space as it was before the first open. */
  #saved: Uint8Array | undefined;
  #resetWorks = false;
  readonly #pci: VfioPciFunction;
  #lowPower: { readonly wakeup: Eventfd | undefined } | undefined;

  constructor(subsystem: VfioSubsystem, pci: VfioPciFunction, tokens: TokenRules) {
    this.subsystem = subsystem;
    this.tokens = tokens;
    this.#pci = pci;
    this.barAccess = (index) => pci.barAccess(index);
    this.dev = pci.dev;
    this.fn = pci.fn;
    const { migratable } = pci;
    const migrates = migratable !== undefined && !subsystem.env.has('vfio-no-migration');
    this.migration = migrates ? new Migration(migratable) : undefined;
    this.irqs = new VfioPciIrqs(
      pci,
      () => this.config,
      () => this.msixGrows,
    );
  }
  /** Does this kernel export BARs as dma-bufs? */
  get canExport(): boolean {
    return this.subsystem.env.has('vfio-dmabuf');
  }
  /** Does this kernel have an interrupt for errors of this function? */
  get hasErrIrq(): boolean {
    const { env } = this.subsystem;
    return this.fn.identity.pcie !== undefined || !env.has('vfio-err-irq-pcie-only');
  }
  /** Can MSI-X vectors be added while it is on? */
  get msixGrows(): boolean {
    return !this.subsystem.env.has('vfio-msix-fixed');
  }
  /** Does a function reset work on it? Known since its open. */
  get resetWorks(): boolean {
    return this.#resetWorks;
  }
  /** Registers answer whoever reaches them: the user has not switched them off, and no reset is under way. */
  answers(): boolean {
    return this.isOpen && this.fn.memoryEnabled && this.isMemoryAccessible();
  }
  /** Something changed that may decide whether registers answer. */
  followAccess(): void {
    const answers = this.answers();
    if (!this.exports.isEmpty) this.exports.follow(answers);
    for (const bar of this.fn.bars) bar?.memory?.lend(answers && !this.fn.standsStill);
  }
  readonly #watcher = (): void => this.followAccess();
  /** Whether a virtual function answers is its physical one's affair. */
  get #watched(): readonly PciDeviceFunction[] {
    const { carrier } = this.fn;
    return carrier ? [this.fn, carrier.pf] : [this.fn];
  }
  get isOpen(): boolean {
    return this.#config !== undefined;
  }
  get config(): VfioPciConfig {
    return this.#config!;
  }
  /** Virtual decode on and the device awake. */
  isMemoryAccessible(): boolean {
    return this.#memoryObstacle() === undefined;
  }

  /** Why its user's touch of a register is a SIGBUS. Undefined: it is none. */
  obstacle(): Remark | undefined {
    if (this.isOpen) return this.#memoryObstacle();
    return { rule: 'the last file of the device is closed', facts: { device: this.fn.name } };
  }
  #memoryObstacle(): Remark | undefined {
    const { name: device, powerState } = this.fn;
    if (!this.config.memoryEnabled) {
      return { rule: 'memory decode of the device is off', facts: { device } };
    }
    if (powerState >= 3) {
      return { rule: 'the device sleeps', facts: { device, power: `D${powerState}` } };
    }
    if (!this.#lowPower) return undefined;
    return { rule: 'the device is in low power, as its user has asked', facts: { device } };
  }

  /** @kernel vfio_pci_core_enable */
  open(): void {
    if (this.tokens.carriers) this.tokens.carriers.users++;
    this.#saved = this.fn.config.bytes.slice();
    this.#toD0();
    this.#setCommand(PCI_COMMAND_MASTER, 0);
    this.#setCommand(0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    this.#resetWorks = !this.#resetFunction();
    this.#setCommand(PCI_COMMAND_INTX_DISABLE, 0);
    for (const fn of this.#watched) fn.watchers.add(this.#watcher);
    this.migration?.open();
    this.#config = new VfioPciConfig(this.fn, {
      setIntxDisabled: (disabled) => this.irqs.setIntxDisabled(disabled),
      resetFunction: () => void this.#resetFunction(),
      msiVectorsLg2: () => this.irqs.msiVectorsLg2(),
    });
    this.followAccess();
  }
  /** @kernel vfio_pci_core_disable */
  close(): void {
    if (this.tokens.carriers) this.tokens.carriers.users--;
    this.wake(false);
    this.#toD0();
    this.#setCommand(PCI_COMMAND_MASTER, 0);
    this.migration?.close();
    this.irqs.disableAll();
    for (const each of this.ioeventfds.splice(0)) each.stop();
    for (const fn of this.#watched) fn.watchers.delete(this.#watcher);
    this.exports.close();
    this.#config = undefined;
    this.followAccess();
    this.fn.restoreConfig(this.#saved!);
    this.#saved = undefined;
    this.#setCommand(PCI_COMMAND_MASTER, 0);
    if (this.#resetWorks) void this.#resetFunction();
  }

  /**
   * Function reset; what configuration space says to the user survives, and so do interrupts and mappings.
   * EINVAL: there is no working function reset.
   * @kernel vfio_pci_ioctl_reset
   */
  reset(): Status {
    if (!this.#resetWorks) {
      return refuse(EINVAL, 'no function reset works on this device', { device: this.dev.name });
    }
    this.#toD0();
    return this.#resetFunction();
  }
  /** In the low power the user asked for. */
  get sleeps(): boolean {
    return this.#lowPower !== undefined;
  }
  /** Enter it; `wakeup` tells that something woke the device. */
  sleep(wakeup: Eventfd | undefined): void {
    this.#setLowPower({ wakeup });
  }
  #setLowPower(asleep: { readonly wakeup: Eventfd | undefined } | undefined): void {
    this.#lowPower = asleep;
    this.#pci.suspended = asleep !== undefined;
    this.followAccess();
  }
  /** Leave the low power of the user's choice. */
  wake(tell: boolean): void {
    const asleep = this.#lowPower;
    if (!asleep) return;
    // Without a wake-up eventfd the device goes back to sleep after the access.
    if (tell && !asleep.wakeup) return;
    this.#setLowPower(undefined);
    if (tell) asleep.wakeup?.signal();
    asleep.wakeup?.put();
  }

  /** While it lasts the device is blocked at its IOMMU. */
  #resetFunction(): Status {
    const { dev } = this;
    if (this.fn.resetMethods.length === 0 || !devHasIommu(dev)) return this.fn.resetFunction();
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
