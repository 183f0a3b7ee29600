/**
 * Mediated devices of the kernel's sample driver mtty: a parent that is software alone, whose types make devices when a
 * UUID is written to them (vfio.md 1.16, 6.4).
 */
import { Bug } from '../../base/bug.ts';
import { EEXIST, EINVAL, ENODEV, ENOSPC, isErrno, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Outcome } from '../../base/wait-queue.ts';
import { Device } from '../../core/contract/device.ts';
import { MttyDevice } from '../../vfio/mdev/mtty.ts';
import type { VfioSubsystem } from '../../vfio/vfio-core.ts';

/** Ports of the parent, which its devices share out. */
const ALL_PORTS = 24;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** A kind of device a parent makes. @kernel mdev_type */
export interface MdevType {
  /** With its driver's name, 'mtty-1'. */
  readonly name: string;
  readonly pretty: string;
  readonly ports: 1 | 2;
}
export const MTTY_TYPES: readonly MdevType[] = [
  { name: 'mtty-1', pretty: 'Single port serial', ports: 1 },
  { name: 'mtty-2', pretty: 'Dual port serial', ports: 2 },
];
/** Where the parent is. */
export const MTTY_PATH = '/sys/devices/virtual/mtty/mtty';

/** One that was made. @kernel mdev_device */
export interface MdevDevice {
  readonly uuid: string;
  readonly type: MdevType;
  readonly dev: Device;
}

/** The devices of the parent. @kernel mdev_parent */
export class MttyParent {
  readonly #vfio: VfioSubsystem;
  readonly #devices = new Map<string, MdevDevice>();

  constructor(vfio: VfioSubsystem) {
    this.#vfio = vfio;
  }
  /** In the order in which they were made. */
  get devices(): readonly MdevDevice[] {
    return [...this.#devices.values()];
  }
  of(dev: Device): MdevDevice | undefined {
    return this.#devices.get(dev.name);
  }
  /** How many more of this type there can be. */
  available({ ports }: MdevType): number {
    const taken = this.devices.reduce((sum, { type }) => sum + type.ports, 0);
    return Math.floor((ALL_PORTS - taken) / ports);
  }

  /**
   * Write to `create`. EINVAL: no UUID; EEXIST: it is taken; ENOSPC: no ports are left; else what VFIO says.
   * @kernel create_store, mdev_device_create
   */
  create(type: MdevType, text: string): Status {
    const given = text.replace(/\n$/, '');
    if (!UUID.test(given)) return refuse(EINVAL, 'a UUID has 36 characters', { text: given });
    const uuid = given.toLowerCase();
    if (this.#devices.has(uuid)) return refuse(EEXIST, 'the UUID is taken', { uuid });
    if (this.available(type) < 1) {
      return refuse(ENOSPC, 'the ports of the parent are all taken', { type: type.name });
    }
    const dev = new Device(this.#vfio.core, { name: uuid, bus: 'mdev' });
    const migrates = !this.#vfio.env.has('vfio-no-migration');
    const ops = new MttyDevice(type.ports, `${MTTY_PATH}/${uuid}`, migrates);
    const made = this.#vfio.registerDevice(dev, ops, true);
    if (isErrno(made)) return made;
    this.#devices.set(uuid, { uuid, type, dev });
    return undefined;
  }
  /**
   * Write to `remove`: 1 does it, anything else nothing. A WaitQueue: somebody has the device open. ENODEV: it is gone.
   * @kernel remove_store, mdev_device_remove
   */
  remove(device: MdevDevice): Outcome<Status> {
    const { uuid, dev } = device;
    if (this.#devices.get(uuid) !== device) {
      return refuse(ENODEV, 'the mediated device is gone', { uuid });
    }
    const rc = this.#vfio.unregisterDevice(dev);
    if (rc) return rc;
    this.#devices.delete(uuid);
    return undefined;
  }
  /** The machine ends. */
  removeAll(): void {
    for (const device of this.devices) {
      if (this.remove(device)) throw new Bug(`${device.uuid} could not be removed`);
    }
  }
}
