/**
 * Functions that are put in and pulled out while the machine runs, and what the kernel makes of it (vfio.md 2.6, 2.13;
 * PCIe 6.7).
 *
 * Pulling out asks nobody: nothing answers any more, drivers hear of an error, and then the kernel removes the device,
 * which takes until its user has let go. That is the work of a kernel thread, in turns of its own.
 */
import { EEXIST, EINVAL, ENODEV, type Status } from '../../base/errno.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { refuse } from '../../base/refuse.ts';
import { run } from '../../base/wait-queue.ts';
import type { DeviceDescription, MachineDescription } from '../description/description.ts';
import { driverOf } from '../description/entries.ts';
import type { Hardware } from '../hardware/hardware.ts';
import type { PciSlot } from '../hardware/slot.ts';
import type { DriverCore } from './driver-core.ts';
import type { PciDev } from './pci-dev.ts';
import type { PciDevices } from './pci-devices.ts';

/** A device that is not plugged in any more, and where it was. */
interface PulledOut {
  readonly device: DeviceDescription;
  readonly bridge: PciSlot | undefined;
  readonly whole: MachineDescription;
}

/** The hot plug of one machine. @kernel pciehp_ist */
export class Hotplug {
  readonly #env: KernelEnv;
  readonly #hardware: Hardware;
  readonly #devices: PciDevices;
  readonly #drivers: DriverCore;
  /** What was pulled out, by address. */
  readonly #pulledOut = new Map<string, PulledOut>();
  /** The machine, as its description is now: with what was put in. */
  #whole: MachineDescription;

  constructor(parts: {
    env: KernelEnv;
    hardware: Hardware;
    devices: PciDevices;
    drivers: DriverCore;
    description: MachineDescription;
  }) {
    this.#env = parts.env;
    this.#hardware = parts.hardware;
    this.#devices = parts.devices;
    this.#drivers = parts.drivers;
    this.#whole = parts.description;
  }

  /**
   * Find what is plugged in and unknown, as at boot: a device that the description gives to a user is marked for
   * vfio-pci before a driver looks at it.
   */
  scan(): void {
    this.#devices.scan((pci) => {
      if (driverOf(pci.slot.description) === 'vfio-pci') pci.driverOverride = 'vfio-pci';
    });
  }

  /** Put a device in. It was checked: `whole` is the description of the machine with it. */
  plug(device: DeviceDescription, whole: MachineDescription): PciSlot {
    this.#whole = whole;
    this.#pulledOut.delete(device.at);
    const slot = this.#hardware.plug(device, this.#hardware.bridgeAbove(device.at), whole);
    this.scan();
    return slot;
  }

  /**
   * Pull out what is at an address, with all behind it. ENODEV: nothing is there; EINVAL: a virtual function is part of
   * its physical one.
   */
  unplug(address: string): Status<'ENODEV' | 'EINVAL'> {
    const slot = this.#hardware.slot(address);
    if (!slot) return refuse(ENODEV, 'nothing is plugged in at this address', { address });
    if (slot.fn.carrier) {
      return refuse(EINVAL, 'a virtual function is part of its physical one', { address });
    }
    const known = this.#devices.at(slot);
    const bridge = this.#hardware.bridgeAbove(address);
    this.#pulledOut.set(address, { device: slot.description, bridge, whole: this.#whole });
    this.#hardware.unplug(slot);
    if (known) this.#gone(known);
    return undefined;
  }

  /**
   * Put in again what was pulled out at this address, a bridge with what was behind it at first. ENODEV: nothing was, or
   * the bridge above is gone; EEXIST: another device stands there.
   */
  putBack(address: string): Status<'ENODEV' | 'EEXIST'> {
    const out = this.#pulledOut.get(address);
    if (!out) return refuse(ENODEV, 'nothing was pulled out at this address', { address });
    if (this.#hardware.slot(address)) {
      return refuse(EEXIST, 'a device stands at this address', { address });
    }
    if (this.#hardware.bridgeAbove(address) !== out.bridge) {
      return refuse(ENODEV, 'the bridge above is not the one it stood behind', { address });
    }
    this.plug(out.device, out.whole);
    return undefined;
  }

  #gone(pci: PciDev): void {
    for (const each of this.#within(pci)) this.#drivers.tellGone(each);
    run(
      () => this.#devices.remove(pci),
      // Another device may stand there meanwhile.
      () => this.scan(),
      (attempt) => void this.#env.clock.after(0, attempt),
    );
  }
  #within(pci: PciDev): PciDev[] {
    const behind = this.#devices.childrenOf(pci).flatMap((child) => this.#within(child));
    return [pci, ...this.#devices.vfsOf(pci), ...behind];
  }
}
