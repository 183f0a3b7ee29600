/**
 * What the kernel knows of the PCI tree: found by a scan, gone after a removal (vfio.md 4.2).
 *
 * A function that was removed stays plugged in; the next scan finds it again, as a new device.
 */
import type { Status } from '../../base/errno.ts';
import type { Outcome } from '../../base/wait-queue.ts';
import type { Device } from '../../core/contract/device.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import { busAddDevice, busRemoveDevice } from '../../core/probe/register.ts';
import type { PciGrouping } from '../../drivers/pci-group.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import { vfAddress, type Hardware } from '../hardware/hardware.ts';
import type { PciSlot } from '../hardware/slot.ts';
import { configureAri } from './ari.ts';
import type { DriverCore } from './driver-core.ts';
import { PciDev } from './pci-dev.ts';
import { disableSriov } from './sriov.ts';

/** Every PciDev of a machine, by name and by function. @kernel pci_scan_root_bus, pci_stop_and_remove_bus_device */
export class PciDevices {
  readonly #core: IommuCore;
  readonly #hardware: Hardware;
  readonly #grouping: PciGrouping;
  readonly #drivers: DriverCore;
  readonly #byFunction = new Map<PciDeviceFunction, PciDev>();
  readonly #byName = new Map<string, PciDev>();

  constructor(parts: {
    core: IommuCore;
    hardware: Hardware;
    grouping: PciGrouping;
    drivers: DriverCore;
  }) {
    this.#core = parts.core;
    this.#hardware = parts.hardware;
    this.#grouping = parts.grouping;
    this.#drivers = parts.drivers;
  }

  /** All of them, by address. */
  devices(): PciDev[] {
    return [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
  /** By address, '0000:00:04.0'. */
  device(name: string): PciDev | undefined {
    return this.#byName.get(name);
  }
  of(dev: Device): PciDev | undefined {
    const pci = this.#byName.get(dev.name);
    return pci?.dev === dev ? pci : undefined;
  }
  at(slot: PciSlot): PciDev | undefined {
    return this.#byFunction.get(slot.fn);
  }
  ofFunction(fn: PciDeviceFunction): PciDev | undefined {
    return this.#byFunction.get(fn);
  }
  /** Behind a bridge; undefined: on the root buses. */
  childrenOf(bridge: PciDev | undefined): PciDev[] {
    return this.devices().filter(({ slot }) => slot.parent === bridge?.slot);
  }
  /** Undefined: it is on a root bus. */
  bridgeAbove(pci: PciDev): PciDev | undefined {
    return pci.slot.parent && this.at(pci.slot.parent);
  }
  /** Virtual functions of a physical one. */
  vfsOf(pf: PciDev): PciDev[] {
    return this.devices().filter((pci) => pci.slot.physfn === pf.slot);
  }

  /**
   * Find what is plugged in and unknown: all functions of a bus, then what is behind its bridges; then their
   * drivers. `found` hears of each one before a driver does.
   * @kernel pci_rescan_bus
   */
  scan(found: (pci: PciDev) => void = () => undefined): void {
    this.#scanBus(undefined, found);
  }
  /** The same for the bus behind a bridge, and all below it; undefined: everything. */
  rescan(bridge: PciDev | undefined): void {
    this.#scanBus(bridge?.slot, () => undefined);
  }

  /**
   * The driver lets go, the kernel forgets the function and everything behind it. A WaitQueue: somebody still uses
   * the device; run again when woken.
   * @kernel pci_stop_and_remove_bus_device
   */
  remove(pci: PciDev): Outcome<Status> {
    if (this.device(pci.name) !== pci) return undefined;
    for (const child of this.childrenOf(pci)) {
      const rc = this.remove(child);
      if (rc) return rc;
    }
    const rc = this.#drivers.release(pci) ?? disableSriov(this, pci);
    if (rc) return rc;
    this.#forget(pci);
    return undefined;
  }

  /** Find the virtual functions that `pf` shows now, then their drivers. `found` as for scan(). */
  addVirtualFunctions(pf: PciDev, found: (pci: PciDev) => void): void {
    const slots = this.#hardware.slots().filter(({ physfn }) => physfn === pf.slot);
    this.#attach(this.#discoverAll(slots, found));
  }
  /** Of those a physical function would show: the first address at which another function answers. */
  takenByOthers(pf: PciDev, count: number): string | undefined {
    const names = Array.from({ length: count }, (_, n) => vfAddress(pf.fn, n));
    return names.find((name) => this.#hardware.slot(name) ?? this.device(name));
  }
  /** A virtual function does not answer a scan: its vendor id reads as if nobody was there. */
  #scanBus(bridge: PciSlot | undefined, found: (pci: PciDev) => void): void {
    const slots = this.#hardware.childrenOf(bridge).filter(({ fn }) => !fn.carrier);
    const fresh = this.#discoverAll(slots, found);
    for (const slot of slots) if (slot.isBridge) this.#scanBus(slot, found);
    this.#attach(fresh);
  }
  /** Where the kernel still knows a function that was pulled out, it does not look for another. */
  #discoverAll(slots: readonly PciSlot[], found: (pci: PciDev) => void): PciDev[] {
    const unknown = slots.filter(({ name }) => !this.#byName.has(name));
    const fresh = unknown.map((slot) => this.#discover(slot));
    for (const pci of fresh) found(pci);
    return fresh;
  }
  #attach(fresh: readonly PciDev[]): void {
    if (!this.#drivers.autoprobe) return;
    for (const pci of fresh) if (pci.canProbe) this.#drivers.attach(pci);
  }

  /** It is made known to its IOMMU, then probed by the IOMMU layer. @kernel pci_device_add */
  #discover(slot: PciSlot): PciDev {
    const pci = new PciDev({
      core: this.#core,
      controller: this.#hardware.controller,
      slot,
      physfn: slot.physfn && this.at(slot.physfn),
    });
    this.#core.env.refs.same(slot.fn, pci.dev);
    this.#byFunction.set(slot.fn, pci);
    this.#byName.set(slot.name, pci);
    configureAri(pci, this.bridgeAbove(pci));
    this.#grouping.bind(pci.dev, slot.place);
    slot.iommu?.plug(pci.dev, slot.dma.requesterId);
    busAddDevice(pci.dev);
    return pci;
  }
  #forget(pci: PciDev): void {
    const { slot } = pci;
    pci.removed = true;
    busRemoveDevice(pci.dev);
    slot.iommu?.unplug(slot.dma.requesterId);
    this.#grouping.unbind(pci.dev);
    this.#byFunction.delete(slot.fn);
    this.#byName.delete(slot.name);
  }
}
