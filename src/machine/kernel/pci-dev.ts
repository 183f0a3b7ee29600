/**
 * A PCI function as the simulated kernel knows it (struct pci_dev): its device in the IOMMU layer, its interrupts,
 * its driver. There is one for every slot the kernel has found, from the scan to the removal.
 */
import { Device, type DeviceDriver } from '../../core/contract/device.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import { dmaPrepareMsi } from '../../core/dma/msi.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import type { PciBus } from '../../pci/topology.ts';
import type { Sriov } from '../../pci/sriov.ts';
import type { BarAccess } from '../../vfio/pci/state.ts';
import type { MigratableDevice } from '../../vfio/migration/migratable.ts';
import type { InterruptController } from '../hardware/interrupt-controller.ts';
import { barAccessOf } from '../description/bar-wishes.ts';
import type { PciSlot } from '../hardware/slot.ts';
import { PciDevIrqs } from './irqs.ts';

/** What the kernel keeps of the virtual functions of a physical one. @kernel pci_sriov */
export class PciSriov {
  readonly hardware: Sriov;
  /** Virtual functions that are in use. */
  numVfs = 0;
  /** Are they offered to drivers when they appear? */
  driversAutoprobe = true;
  constructor(hardware: Sriov) {
    this.hardware = hardware;
  }
  get totalVfs(): number {
    return this.hardware.spec.totalVfs;
  }
}

/** A function as the kernel knows it. @kernel pci_dev */
export class PciDev {
  /** The hardware. */
  readonly slot: PciSlot;
  /** The device in the IOMMU layer. */
  readonly dev: Device;
  readonly irqs: PciDevIrqs;
  driverOverride: string | undefined;
  readonly numaNode = -1;
  /** Of a physical function with SR-IOV. */
  readonly sriov: PciSriov | undefined;
  /** What sysfs files of the same names hold; the simulated machine does nothing else with them. */
  readonly flags = { d3cold_allowed: true, broken_parity_status: false, msi_bus: true };
  /** power/control: the device may sleep while nobody uses it. */
  mayIdle = false;
  /** Its user has it in low power. */
  suspended = false;
  /** The kernel has forgotten it: its files in sysfs lead nowhere. */
  removed = false;
  /** By writing to `rom`: its image can be read. */
  romEnabled = false;
  /** By writing the sysfs file `enable`. */
  enabledByHand = false;

  /** The function that carries this virtual one, when the kernel knows it. */
  readonly physfn: PciDev | undefined;

  constructor(parts: {
    core: IommuCore;
    controller: InterruptController;
    slot: PciSlot;
    physfn: PciDev | undefined;
  }) {
    const { core, controller, slot, physfn } = parts;
    this.slot = slot;
    this.physfn = physfn;
    this.dev = newDevice(core, slot, physfn?.dev);
    this.sriov = slot.fn.sriov && new PciSriov(slot.fn.sriov);
    this.irqs = new PciDevIrqs({
      fn: slot.fn,
      controller,
      // A doorbell is mapped where the unit translates what is written to it.
      prepare: (at) => (translatesMessages(slot) ? dmaPrepareMsi(this.dev, at) : at),
    });
  }
  /** '0000:00:04.0' */
  get name(): string {
    return this.slot.name;
  }
  get fn(): PciDeviceFunction {
    return this.slot.fn;
  }
  get isBridge(): boolean {
    return this.slot.isBridge;
  }
  get driver(): DeviceDriver | undefined {
    return this.dev.driver;
  }
  /** Virtual functions in use. @kernel pci_num_vf */
  get numVfs(): number {
    return this.sriov?.numVfs ?? 0;
  }
  /** May a driver look at it? Virtual functions can be kept for users. @kernel pci_device_can_probe */
  get canProbe(): boolean {
    const { driversAutoprobe = true } = this.physfn?.sriov ?? {};
    return driversAutoprobe || this.driverOverride !== undefined;
  }
  /** How users of vfio reach a memory BAR; undefined: nobody has said. */
  barAccess(index: number): BarAccess | undefined {
    return barAccessOf(this.slot.description.bar, index);
  }
  /** Its state can be taken elsewhere. */
  get migratable(): MigratableDevice | undefined {
    return this.slot.migration;
  }
  get sysPath(): string {
    return sysPathOf(this.slot);
  }
}

function translatesMessages({ iommu }: PciSlot): boolean {
  return iommu !== undefined && iommu.unit.messages === undefined;
}

/** '/sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0' */
export function sysPathOf({ parent, name, place }: PciSlot): string {
  if (parent) return `${sysPathOf(parent)}/${name}`;
  return `/sys/devices/${hostBridgeOf(place.bus)}/${name}`;
}

/** 'pci0000:00' for a root bus. */
export function hostBridgeOf({ segment, number }: PciBus): string {
  const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
  return `pci${hex(segment, 4)}:${hex(number, 2)}`;
}

function newDevice(core: IommuCore, slot: PciSlot, physfn: Device | undefined): Device {
  const { identity } = slot.fn;
  return new Device(core, {
    name: slot.name,
    bus: 'pci',
    pasidBits: (slot.physfn ?? slot).fn.identity.pasidBits ?? 0,
    ats: identity.ats ?? false,
    pci: {
      isVf: slot.physfn !== undefined,
      hasPri: identity.pri ?? false,
      ...(physfn && { physfn }),
    },
  });
}
