/**
 * The PCI tree of a machine: buses and functions from the description, addresses from the firmware, IOMMUs above,
 * and what the kernel sees of it by scanning (core.md 1.4, 2.3).
 */
import { Bug } from '../../base/bug.ts';
import type { Device } from '../../core/contract/device.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import { busAddDevice, busRemoveDevice } from '../../core/probe/register.ts';
import { createPciGrouping, type PciGrouping } from '../../drivers/pci-group.ts';
import { PciBus } from '../../pci/topology.ts';
import { iommuNames, parseAddress, type DeviceTypes } from '../description/description-check.ts';
import type { DeviceDescription, MachineDescription } from '../description/description.ts';
import type { Bus } from './dma-port.ts';
import { Firmware } from './firmware.ts';
import { InterruptController } from './interrupt-controller.ts';
import { makeIommus, type MachineIommu } from './iommus.ts';
import type { MachineMemory } from '../memory/physical-memory.ts';
import { plugIn, type PciDev } from '../kernel/pci-dev.ts';

export class Hardware {
  readonly core: IommuCore;
  readonly grouping: PciGrouping = createPciGrouping();
  readonly controller = new InterruptController();
  readonly iommus: readonly MachineIommu[];
  /** By segment:bus. */
  readonly #buses = new Map<string, PciBus>();
  /** By name, in order of plugging: a bridge before what is behind it. */
  readonly #devices = new Map<string, PciDev>();
  readonly #memory: MachineMemory;
  readonly #types: DeviceTypes;
  readonly #bus: Bus;
  readonly #nameAbove: (pci: PciDev) => string | undefined;
  readonly #rootDescriptions: readonly DeviceDescription[];

  constructor(parts: {
    core: IommuCore;
    memory: MachineMemory;
    types: DeviceTypes;
    description: MachineDescription;
  }) {
    this.core = parts.core;
    this.#memory = parts.memory;
    this.#types = parts.types;
    this.#bus = { env: parts.core.env, memory: parts.memory, controller: this.controller };
    this.#rootDescriptions = parts.description.devices;
    this.#plugBus(this.#rootDescriptions, undefined);
    new Firmware().assign(this.childrenOf(undefined), (bridge) => this.childrenOf(bridge));
    for (const pci of this.#devices.values()) {
      for (const bar of pci.fn.bars) if (bar && !bar.isIo) this.#memory.addWindow(bar.window);
      pci.fn.hotResetSet = () => this.#hotResetSet(pci);
    }
    const above = new Map(this.all().map((pci) => [pci.place, pci]));
    const names = iommuNames(parts.description);
    this.#nameAbove = (pci) => nameAbove(pci, names[0]);
    this.iommus = makeIommus({
      ...parts,
      grouping: this.grouping,
      functions: () => this.#devices.values(),
      nameAbove: (fn) => this.#nameAbove(above.get(fn)!),
    });
  }

  /** What the kernel knows, by address. */
  devices(): PciDev[] {
    return this.all().filter((pci) => pci.present);
  }
  /** What is plugged in, known to the kernel or not. */
  all(): PciDev[] {
    return [...this.#devices.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
  device(name: string): PciDev | undefined {
    const pci = this.#devices.get(name);
    return pci?.present ? pci : undefined;
  }
  of(dev: Device): PciDev | undefined {
    const pci = this.#devices.get(dev.name);
    return pci?.dev === dev ? pci : undefined;
  }
  childrenOf(parent: PciDev | undefined): PciDev[] {
    return this.all().filter((pci) => pci.parent === parent);
  }
  vfsOf(pf: PciDev): PciDev[] {
    return this.all().filter((pci) => pci.physfn === pf);
  }
  /** Undefined: addresses of this function are physical. */
  iommuOf(pci: PciDev): MachineIommu | undefined {
    const name = this.#nameAbove(pci);
    return this.iommus.find((iommu) => iommu.name === name);
  }

  /** The kernel finds a function: it gets its unit and is probed by the IOMMU layer. */
  discover(pci: PciDev): void {
    pci.present = true;
    const iommu = this.iommuOf(pci);
    this.grouping.bind(pci.dev, pci.place);
    pci.port.unit = iommu?.unit;
    iommu?.plug(pci);
    busAddDevice(pci.dev);
  }
  /** The kernel forgets a function; the hardware stays. */
  forget(pci: PciDev): void {
    busRemoveDevice(pci.dev);
    this.iommuOf(pci)?.unplug(pci);
    this.grouping.unbind(pci.dev);
    pci.present = false;
    pci.driverOverride = undefined;
    pci.dev = pci.newDevice(this.core);
  }

  #plugBus(devices: readonly DeviceDescription[], parent: PciDev | undefined): void {
    for (const description of sortedPfsFirst(devices)) {
      const pci = this.#plug(description, parent);
      if (description.devices.length > 0) this.#plugBus(description.devices, pci);
    }
  }
  #plug(description: DeviceDescription, parent: PciDev | undefined): PciDev {
    const at = parseAddress(description.at);
    const physfn = description.vfOf === undefined ? undefined : this.#devices.get(description.vfOf);
    if (description.vfOf !== undefined && !physfn) {
      throw new Bug(`${description.at}: the physical function is not there`);
    }
    const siblings = parent?.description.devices ?? this.#rootDescriptions;
    const pci = plugIn({
      bus: this.#bus,
      core: this.core,
      types: this.#types,
      description,
      on: this.#busAt(at.segment, at.bus, parent),
      parent,
      physfn,
      multifunction: !physfn && sharesSlot(description, siblings),
    });
    this.#devices.set(pci.name, pci);
    return pci;
  }

  #busAt(segment: number, number: number, parent: PciDev | undefined): PciBus {
    const key = `${segment}:${number}`;
    let bus = this.#buses.get(key);
    if (!bus) {
      bus = new PciBus({ segment, number, bridge: parent?.place });
      this.#buses.set(key, bus);
    }
    return bus;
  }

  /** A bus reset takes everything on the bus; there is none of a root bus, nor of one virtual function. */
  #hotResetSet(pci: PciDev): readonly PciDev['fn'][] | undefined {
    if (!pci.parent || pci.physfn) return undefined;
    return this.childrenOf(pci.parent).map((sibling) => sibling.fn);
  }
}

/** Its own word, that of a bridge above it, or the first there is; 'none' is no name of any. */
function nameAbove(pci: PciDev, first: string | undefined): string | undefined {
  for (let at: PciDev | undefined = pci; at; at = at.parent) {
    const name = at.description.iommu;
    if (name !== undefined) return name;
  }
  return first;
}

/** A virtual function is made from its physical one, so that comes first. */
function sortedPfsFirst(devices: readonly DeviceDescription[]): DeviceDescription[] {
  const isVf = (device: DeviceDescription): number => (device.vfOf === undefined ? 0 : 1);
  return [...devices].sort((a, b) => isVf(a) - isVf(b));
}

function sharesSlot(device: DeviceDescription, siblings: readonly DeviceDescription[]): boolean {
  const slot = device.at.slice(0, -1);
  return siblings.some(
    (other) => other !== device && other.vfOf === undefined && other.at.slice(0, -1) === slot,
  );
}
