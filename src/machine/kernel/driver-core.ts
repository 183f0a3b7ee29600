/**
 * Drivers of PCI devices: matching, binding and unbinding as the driver core and PCI bus do it (vfio.md 4.2, core.md 2.6).
 */
import {
  EBUSY,
  EEXIST,
  EINVAL,
  ENODEV,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import type { Task } from '../../base/task.ts';
import { refuse } from '../../base/refuse.ts';
import { WaitQueue, type Outcome } from '../../base/wait-queue.ts';
import type { DeviceDriver } from '../../core/contract/device.ts';
import { deviceUnuseDefaultDomain, deviceUseDefaultDomain } from '../../core/group/ownership.ts';
import type { PciDev } from './pci-dev.ts';
import { deviceRef } from '../../core/contract/refs.ts';

/** One entry of new_id. Undefined members match anything. */
export interface DynamicId {
  readonly vendor: number;
  readonly device: number;
  readonly subvendor?: number | undefined;
  readonly subdevice?: number | undefined;
  readonly class: number;
  readonly classMask: number;
}

/** What a driver of the simulated kernel does at its two moments. */
export interface DriverHooks {
  probe?(pci: PciDev): Status;
  /** A WaitQueue: somebody still uses the device; run again when woken. */
  remove?(pci: PciDev): Outcome<Status>;
  /** The device was pulled out: nothing answers any more. Its removal follows. */
  gone?(pci: PciDev): void;
  /** So many virtual functions are wanted; 0: none, and a WaitQueue as for remove. @kernel sriov_configure */
  sriovConfigure?(pci: PciDev, count: number): Outcome<Status>;
}

/** A driver of PCI devices: which devices it takes, and what it does when it gets or loses one. @kernel pci_driver */
export class KernelDriver implements DeviceDriver {
  readonly name: string;
  readonly driverManagedDma: boolean;
  /** Directory under /sys/module. */
  readonly module: string;
  /** Devices it takes by itself, besides dynamic ids and driver_override. */
  readonly matches: (pci: PciDev) => boolean;
  readonly hooks: DriverHooks;
  readonly dynamicIds: DynamicId[] = [];
  readonly bound: PciDev[] = [];

  constructor(given: {
    name: string;
    driverManagedDma: boolean;
    module?: string;
    matches?: (pci: PciDev) => boolean;
    hooks?: DriverHooks;
  }) {
    this.name = given.name;
    this.driverManagedDma = given.driverManagedDma;
    this.module = given.module ?? given.name.replaceAll('-', '_');
    this.matches = given.matches ?? (() => false);
    this.hooks = given.hooks ?? {};
  }
}

/** The drivers of one kernel, and which of them has which device. @kernel driver_register, driver_attach */
export class DriverCore {
  readonly env: KernelEnv;
  readonly drivers = new Map<string, KernelDriver>();
  /** Write to drivers_autoprobe. */
  autoprobe = true;
  /** Who waits in an unbind, and of what. */
  readonly #unbinding = new WeakMap<Task, PciDev>();

  constructor(env: KernelEnv) {
    this.env = env;
  }
  add(driver: KernelDriver): void {
    this.drivers.set(driver.name, driver);
  }

  /** @kernel pci_match_device */
  matches(driver: KernelDriver, pci: PciDev): boolean {
    if (pci.driverOverride !== undefined) return pci.driverOverride === driver.name;
    return driver.dynamicIds.some((id) => idMatches(id, pci)) || driver.matches(pci);
  }

  /**
   * Write of an address to drivers/NAME/bind. ENODEV: no match; EBUSY: bound already; else what the probe says.
   * @kernel bind_store
   */
  bind(driver: KernelDriver, pci: PciDev): Status {
    if (!this.matches(driver, pci)) {
      return refuse(ENODEV, 'the driver does not match the device', {
        driver: driver.name,
        device: pci.name,
        override: pci.driverOverride ?? '(null)',
      });
    }
    if (pci.driver) {
      return refuse(EBUSY, 'the device has a driver already', { driver: pci.driver.name });
    }
    return this.#probe(driver, pci);
  }

  /**
   * Let the driver go. ENODEV: not bound to this driver. Waits until nobody uses the device; who waits for the unbind of
   * another has what it wanted when that is done.
   * @kernel unbind_store
   */
  unbind(driver: KernelDriver, pci: PciDev): Outcome<Status> {
    const caller = this.env.current;
    const hasWaited = caller !== undefined && this.#unbinding.get(caller) === pci;
    if (caller) this.#unbinding.delete(caller);
    if (pci.driver !== driver) {
      if (hasWaited) return undefined;
      return refuse(ENODEV, 'the device is not bound to this driver', {
        driver: driver.name,
        device: pci.name,
      });
    }
    const rc = driver.hooks.remove?.(pci);
    if (rc instanceof WaitQueue && caller) this.#unbinding.set(caller, pci);
    if (rc instanceof WaitQueue || isErrno(rc)) return rc;
    if (!driver.driverManagedDma) deviceUnuseDefaultDomain(pci.dev);
    pci.dev.driver = undefined;
    driver.bound.splice(driver.bound.indexOf(pci), 1);
    this.env.trace.emit({
      kind: 'life',
      what: 'device-unbind',
      who: deviceRef(pci.dev),
      detail: driver.name,
    });
    return undefined;
  }

  /** Its driver, if it has one, hears that the device was pulled out. */
  tellGone(pci: PciDev): void {
    const driver = pci.driver && this.drivers.get(pci.driver.name);
    driver?.hooks.gone?.(pci);
  }
  /** Whatever driver has the device lets it go; as unbind(). @kernel device_release_driver */
  release(pci: PciDev): Outcome<Status> {
    const driver = pci.driver && this.drivers.get(pci.driver.name);
    return driver && this.unbind(driver, pci);
  }

  /** Try every matching driver until one takes the device. A probe that fails is logged, as by the kernel. */
  attach(pci: PciDev): void {
    if (pci.driver) return;
    for (const driver of this.drivers.values()) if (this.#try(driver, pci)) return;
  }
  /** Does the driver take the device? @kernel __driver_attach */
  #try(driver: KernelDriver, pci: PciDev): boolean {
    if (pci.driver || !this.matches(driver, pci)) return false;
    const rc = this.#probe(driver, pci);
    if (rc) this.env.log('warn', `${driver.name} ${pci.name}: probe failed with error ${rc.name}`);
    return rc === undefined;
  }

  /**
   * Write to new_id: the driver is offered every device without one, and no other driver is. It takes those of the id, and
   * those whose override names it. EINVAL: fewer than two numbers; EEXIST: known already.
   * @kernel new_id_store, driver_attach
   */
  newId(driver: KernelDriver, text: string, devices: Iterable<PciDev>): Status {
    const id = parseId(text);
    if (isErrno(id)) return id;
    if (driver.dynamicIds.some((known) => sameId(known, id))) {
      return refuse(EEXIST, 'the driver has this id already', { id: text.trim() });
    }
    driver.dynamicIds.push(id);
    for (const pci of devices) this.#try(driver, pci);
    return undefined;
  }
  /** @kernel remove_id_store */
  removeId(driver: KernelDriver, text: string): Status {
    const id = parseId(text);
    if (isErrno(id)) return id;
    const at = driver.dynamicIds.findIndex(
      (known) => known.vendor === id.vendor && known.device === id.device,
    );
    if (at < 0) return refuse(ENODEV, 'the driver has no such id', { id: text.trim() });
    driver.dynamicIds.splice(at, 1);
    return undefined;
  }

  /** @kernel really_probe, pci_dma_configure */
  #probe(driver: KernelDriver, pci: PciDev): Status {
    if (!pci.canProbe) {
      return refuse(ENODEV, 'sriov_drivers_autoprobe keeps drivers from virtual functions', {
        device: pci.name,
      });
    }
    if (!driver.driverManagedDma) {
      const rc = deviceUseDefaultDomain(pci.dev);
      if (rc) return rc;
    }
    pci.dev.driver = driver;
    const rc = driver.hooks.probe?.(pci);
    if (rc) {
      pci.dev.driver = undefined;
      if (!driver.driverManagedDma) deviceUnuseDefaultDomain(pci.dev);
      return rc;
    }
    driver.bound.push(pci);
    this.env.trace.emit({
      kind: 'life',
      what: 'device-bind',
      who: deviceRef(pci.dev),
      detail: driver.name,
    });
    return undefined;
  }
}

const HEX = /^(0x)?[0-9a-f]+$/i;

/** "vendor device [subvendor subdevice class class_mask driver_data]" in hex. */
function parseId(text: string): Result<DynamicId, 'EINVAL'> {
  const words = text.trim().split(/\s+/);
  const numbers = words.map((word) => (HEX.test(word) ? parseInt(word, 16) : NaN));
  const [vendor, device] = numbers;
  if (vendor === undefined || device === undefined || numbers.some(Number.isNaN)) {
    return refuse(EINVAL, 'an id is at least a vendor and a device, in hex', { text: text.trim() });
  }
  return {
    vendor,
    device,
    subvendor: numbers[2],
    subdevice: numbers[3],
    class: numbers[4] ?? 0,
    classMask: numbers[5] ?? 0,
  };
}

function sameId(a: DynamicId, b: DynamicId): boolean {
  // cast: Object.keys forgets that the keys are those of a DynamicId
  return (Object.keys(a) as (keyof DynamicId)[]).every((key) => a[key] === b[key]);
}

function idMatches(id: DynamicId, pci: PciDev): boolean {
  const { identity } = pci.fn;
  const any = (wanted: number | undefined, value: number | undefined): boolean =>
    wanted === undefined || wanted === 0xffff_ffff || wanted === (value ?? 0);
  return (
    any(id.vendor, identity.vendor) &&
    any(id.device, identity.device) &&
    any(id.subvendor, identity.subsystemVendor) &&
    any(id.subdevice, identity.subsystem) &&
    ((id.class ^ identity.classCode) & id.classMask) === 0
  );
}
