/**
 * A device as VFIO core sees it: registered by a vfio driver, opened through a group or its cdev (vfio.md 1.6, 2.1, 2.13).
 *
 * One device state is shared by all its open files; the first open makes it, the last close ends it.
 */
import { isErrno, type Status } from '../base/errno.ts';
import type { KernelEnv } from '../base/kernel-env.ts';
import type { Facts } from '../base/refuse.ts';
import { WaitQueue } from '../base/wait-queue.ts';
import type { Device } from '../core/contract/device.ts';
import { deviceRef } from '../core/contract/refs.ts';
import type { VfioDeviceKind, VfioDeviceOps } from './device-ops.ts';
import type { DeviceIommufd, IommufdApi } from './iommufd.ts';

/** The subsystem as its devices and groups see it. */
export interface VfioWorld {
  readonly env: KernelEnv;
  /** Undefined: a kernel without iommufd. */
  readonly iommufd: IommufdApi | undefined;
}

/** The group as its devices see it. */
export interface DeviceGroup {
  /** Name of its node below /dev/vfio. */
  readonly nodeName: string;
  /** Keep it from being opened, once more; EBUSY: it is open. */
  blockOpen(): Status<'EBUSY'>;
  /** Undo blockOpen(). */
  unblockOpen(): void;
}

/** One device in the hands of a vfio driver (struct vfio_device). */
export class VfioDevice {
  readonly world: VfioWorld;
  readonly dev: Device;
  readonly ops: VfioDeviceOps;
  readonly kind: VfioDeviceKind;
  /** The N of vfioN: lowest free. */
  readonly index: number;
  /** Undefined in a kernel without groups. */
  group: DeviceGroup | undefined;
  registered = true;
  openCount = 0;
  /** Files of its cdev, bound or not: each keeps the driver from letting it go. */
  cdevFiles = 0;
  /** What it is bound to and attached to when it is used through iommufd. */
  iommufd: DeviceIommufd | undefined;
  /** Its open files, each with the process that opened it. */
  readonly files = new Set<{ readonly openedBy: number }>();
  /** Woken when it may be held by nobody any more: unbind waits for that. */
  readonly closed = new WaitQueue(() => ({
    rule: 'the device is in use: its driver lets it go when its last file is closed',
    facts: this.#holders(),
  }));
  #requestTimer: Disposable | undefined;

  constructor(
    world: VfioWorld,
    dev: Device,
    what: { ops: VfioDeviceOps; kind: VfioDeviceKind; index: number },
  ) {
    this.world = world;
    this.dev = dev;
    this.ops = what.ops;
    this.kind = what.kind;
    this.index = what.index;
  }
  /** 'vfio3', 'noiommu-vfio3'. */
  get cdevName(): string {
    return `${this.isNoiommuCdev ? 'noiommu-' : ''}vfio${this.index}`;
  }
  get isNoiommuCdev(): boolean {
    return this.kind === 'noiommu' && this.world.env.has('noiommu-cdev');
  }

  /** Does anybody have it open, so that its driver must wait? */
  get isHeld(): boolean {
    return this.openCount > 0 || this.cdevFiles > 0;
  }
  /** Processes that have opened it, and may have given it on. */
  get users(): readonly number[] {
    return [...new Set([...this.files].map(({ openedBy }) => openedBy))];
  }
  #holders(): Facts {
    const openedBy = this.users.join(', ');
    return { device: this.dev.name, ...(openedBy !== '' && { openedBy }) };
  }
  closeCdev(): void {
    this.cdevFiles--;
    this.#letGo();
  }
  #letGo(): void {
    if (this.isHeld) return;
    this.#requestTimer?.[Symbol.dispose]();
    this.#requestTimer = undefined;
    this.closed.wakeAll();
  }

  /** Count one more user; the first makes `start` succeed before the driver's open. */
  open(start: () => Status, undo: () => void): Status {
    if (this.openCount > 0) {
      this.openCount++;
      return undefined;
    }
    const rc = start();
    if (rc) return rc;
    const opened = this.ops.openDevice();
    if (isErrno(opened)) {
      undo();
      return opened;
    }
    this.openCount = 1;
    this.#tell('device-open');
    return undefined;
  }
  close(stop: () => void): void {
    if (--this.openCount > 0) return;
    this.ops.closeDevice();
    stop();
    this.#tell('device-close');
    this.#letGo();
  }
  #tell(what: 'device-open' | 'device-close'): void {
    const { trace } = this.world.env;
    if (trace.hears.life) trace.emit({ kind: 'life', what, who: deviceRef(this.dev) });
  }
  /** Ask the user to let go, now and every 10 s until the last close. */
  requestBack(): void {
    if (this.#requestTimer) return;
    this.ops.request?.();
    this.#requestTimer = this.world.env.clock.remind(10e9, () => {
      this.#requestTimer = undefined;
      if (this.isHeld) this.requestBack();
    });
  }
}
