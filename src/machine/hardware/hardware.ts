/**
 * The PCI tree of a machine: buses and functions from the description, IOMMUs above them, addresses from the
 * firmware. Whole when it is made, and without a kernel (core.md 1.4, 2.3).
 */
import { Bug } from '../../base/bug.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import type { HostBackings } from '../../devices/host-services.ts';
import { Wires } from '../../devices/wires.ts';
import type { EnableBits } from '../../drivers/iommu-type.ts';
import type { PciGrouping } from '../../drivers/pci-group.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import { PciBus } from '../../pci/topology.ts';
import { iommuNames, parseAddress, type HardwareTypes } from '../description/entries.ts';
import type { DeviceDescription, MachineDescription } from '../description/description.ts';
import type { MachineMemory } from '../memory/physical-memory.ts';
import type { Bus } from './dma-port.ts';
import { Firmware } from './firmware.ts';
import { InterruptController } from './interrupt-controller.ts';
import { makeIommus, type MachineIommu } from './iommus.ts';
import { PciSlot } from './slot.ts';

/** Everything that is plugged in, and the IOMMUs above it. */
export class Hardware {
  readonly iommus: readonly MachineIommu[];
  readonly controller = new InterruptController();
  /** By address. */
  readonly #slots = new Map<string, PciSlot>();
  /** Sorted by address. */
  readonly #inOrder: PciSlot[] = [];
  /** By segment:bus. */
  readonly #buses = new Map<string, PciBus>();
  readonly #types: HardwareTypes;
  readonly #host: HostBackings;
  readonly #wires: Wires;
  readonly #bus: Bus;
  /** Name of the IOMMU above, by address of the function. */
  readonly #iommuAbove: ReadonlyMap<string, string>;

  constructor(parts: {
    core: IommuCore;
    memory: MachineMemory;
    types: HardwareTypes;
    /** What devices may use of the host. */
    host: HostBackings;
    description: MachineDescription;
    /** For the drivers of the IOMMUs. */
    grouping: PciGrouping;
  }) {
    const { core, memory, description } = parts;
    this.#types = parts.types;
    this.#host = parts.host;
    this.#wires = new Wires(core.env.clock, parts.host);
    this.#bus = { env: core.env, memory, controller: this.controller };
    this.#iommuAbove = iommusAbove(description, parts.types);
    const types = parts.types.iommus;
    this.iommus = makeIommus({
      ...parts,
      types,
      nameAbove: (at) => this.#iommuAbove.get(at),
      enableBitsBelow: (iommu) => this.#enableBitsBelow(iommu),
    });
    this.#plugBus(description.devices, undefined);
    for (const { model } of this.#inOrder) model?.powerOn();
    new Firmware().assign(this.childrenOf(undefined), (bridge) => this.childrenOf(bridge));
    for (const slot of this.#inOrder) {
      for (const bar of slot.fn.bars) if (bar && !bar.isIo) memory.addWindow(bar.window);
    }
  }

  /** The machine ends: devices give up what they have in progress outside of it. */
  close(): void {
    for (const { model } of this.#inOrder) model?.close?.();
  }

  /** Everything plugged in, by address. */
  slots(): readonly PciSlot[] {
    return this.#inOrder;
  }
  /** Behind a bridge; undefined: on the root buses. */
  childrenOf(bridge: PciSlot | undefined): PciSlot[] {
    return this.#inOrder.filter((slot) => slot.parent === bridge);
  }

  /** Ids are the same in every segment: only the functions of one IOMMU are told apart by them. */
  #enableBitsBelow(iommu: string): EnableBits {
    const withId = (id: number): PciDeviceFunction[] =>
      this.#inOrder
        .filter((slot) => slot.iommu?.name === iommu && slot.fn.requesterId === id)
        .map(({ fn }) => fn);
    return {
      setAts(requesterId, enabled) {
        for (const fn of withId(requesterId)) fn.enableAts(enabled);
      },
      setPri(requesterId, enabled) {
        for (const fn of withId(requesterId)) fn.enablePageRequests(enabled);
      },
    };
  }

  #plugBus(devices: readonly DeviceDescription[], bridge: PciSlot | undefined): void {
    for (const description of sortedPfsFirst(devices)) {
      const slot = this.#plug(description, bridge, devices);
      if (description.devices.length > 0) this.#plugBus(description.devices, slot);
    }
  }
  #plug(
    description: DeviceDescription,
    parent: PciSlot | undefined,
    siblings: readonly DeviceDescription[],
  ): PciSlot {
    const { at, type, vfOf } = description;
    const { segment, bus } = parseAddress(at);
    const physfn = vfOf === undefined ? undefined : this.#slots.get(vfOf);
    if (vfOf !== undefined && !physfn) throw new Bug(`${at}: the physical function is not there`);
    const above = this.#iommuAbove.get(at);
    const slot = new PciSlot({
      bus: this.#bus,
      description,
      host: this.#host,
      wires: this.#wires,
      type: this.#types.devices.get(type),
      on: this.#busAt(segment, bus, parent),
      parent,
      physfn,
      multifunction: !physfn && sharesDevice(description, siblings),
      iommu: this.iommus.find((iommu) => iommu.name === above),
      hotResetSet: (of) => this.#hotResetSet(of),
    });
    this.#slots.set(at, slot);
    const after = this.#inOrder.findIndex((other) => other.name > at);
    this.#inOrder.splice(after < 0 ? this.#inOrder.length : after, 0, slot);
    return slot;
  }

  #busAt(segment: number, number: number, bridge: PciSlot | undefined): PciBus {
    const key = `${segment}:${number}`;
    let bus = this.#buses.get(key);
    if (!bus) {
      bus = new PciBus({ segment, number, bridge: bridge?.place });
      this.#buses.set(key, bus);
    }
    return bus;
  }

  /** A bus reset takes everything on the bus; there is none of a root bus, nor of one virtual function. */
  #hotResetSet(slot: PciSlot): readonly PciDeviceFunction[] | undefined {
    if (!slot.parent || slot.physfn) return undefined;
    return this.childrenOf(slot.parent).map((sibling) => sibling.fn);
  }
}

/** A function's own word, that of a bridge above it, or the first there is; 'none' is no name of any. */
function iommusAbove(description: MachineDescription, types: HardwareTypes): Map<string, string> {
  const out = new Map<string, string>();
  const visit = (devices: readonly DeviceDescription[], above: string | undefined): void => {
    for (const { at, iommu = above, devices: behind } of devices) {
      if (iommu !== undefined) out.set(at, iommu);
      visit(behind, iommu);
    }
  };
  visit(description.devices, iommuNames(description, types.iommus)[0]);
  return out;
}

/** A virtual function is made from its physical one, so that comes first. */
function sortedPfsFirst(devices: readonly DeviceDescription[]): DeviceDescription[] {
  const isVf = (device: DeviceDescription): number => (device.vfOf === undefined ? 0 : 1);
  return [...devices].sort((a, b) => isVf(a) - isVf(b));
}

/** Does another function, not a virtual one, have the same device number? */
function sharesDevice(device: DeviceDescription, siblings: readonly DeviceDescription[]): boolean {
  const number = device.at.slice(0, -1);
  return siblings.some(
    (other) => other !== device && other.vfOf === undefined && other.at.slice(0, -1) === number,
  );
}
