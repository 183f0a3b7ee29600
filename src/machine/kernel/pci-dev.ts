/**
 * A PCI function as the simulated kernel knows it (struct pci_dev): its device in the IOMMU layer, its interrupts,
 * its driver. There is one for every slot the kernel has found, from the scan to the removal.
 */
import { Device, type DeviceDriver } from '../../core/contract/device.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import { dmaPrepareMsi } from '../../core/dma/msi.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import type { InterruptController } from '../hardware/interrupt-controller.ts';
import type { PciSlot } from '../hardware/slot.ts';
import { PciDevIrqs } from './irqs.ts';

/** A function as the kernel knows it. @kernel pci_dev */
export class PciDev {
  /** The hardware. */
  readonly slot: PciSlot;
  /** The device in the IOMMU layer. */
  readonly dev: Device;
  readonly irqs: PciDevIrqs;
  driverOverride: string | undefined;
  readonly numaNode = -1;
  /** By writing the sysfs file `enable`. */
  enabledByHand = false;

  /** `physfn` is the device of the function that carries this virtual one, when the kernel knows it. */
  constructor(parts: {
    core: IommuCore;
    controller: InterruptController;
    slot: PciSlot;
    physfn: Device | undefined;
  }) {
    const { core, controller, slot, physfn } = parts;
    this.slot = slot;
    this.dev = newDevice(core, slot, physfn);
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
  get sysPath(): string {
    return sysPathOf(this.slot);
  }
}

function translatesMessages({ iommu }: PciSlot): boolean {
  return iommu !== undefined && iommu.unit.messages === undefined;
}

/** '/sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0' */
export function sysPathOf({ parent, name, fn }: PciSlot): string {
  if (parent) return `${sysPathOf(parent)}/${name}`;
  const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
  return `/sys/devices/pci${hex(fn.at.segment, 4)}:${hex(fn.at.bus, 2)}/${name}`;
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
