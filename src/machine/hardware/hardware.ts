/**
 * The PCI tree of a machine: buses and functions from the description, IOMMUs above them, addresses from the
 * firmware (core.md 1.4, 2.3). It is whole when it is made, and without a kernel; later functions are plugged in and out,
 * and virtual ones come and go as their physical one says.
 */
import { Bug } from '../../base/bug.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import type { HostBackings } from '../../devices/host-services.ts';
import { Wires } from '../../devices/wires.ts';
import type { EnableBits } from '../../drivers/iommu-type.ts';
import { FORMATS } from '../../pt/all-formats.ts';
import type { PciGrouping } from '../../drivers/pci-group.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import { pciName } from '../../pci/identity.ts';
import { PciBus } from '../../pci/topology.ts';
import { iommuNames, parseAddress, type HardwareTypes } from '../description/entries.ts';
import type { DeviceDescription, MachineDescription } from '../description/description.ts';
import type { MachineMemory } from '../memory/physical-memory.ts';
import type { FaultyBus } from './device-faults.ts';
import type { Bus } from './dma-port.ts';
import { Firmware } from './firmware.ts';
import { InterruptController } from './interrupt-controller.ts';
import { makeIommus, type MachineIommu } from './iommus.ts';
import { PciSlot } from './slot.ts';
import { VirtualFunctions, type VirtualBus } from './virtual-functions.ts';

/** Everything that is plugged in, and the IOMMUs above it. */
export class Hardware {
  readonly iommus: readonly MachineIommu[];
  readonly controller = new InterruptController();
  /** By address. */
  readonly #slots = new Map<string, PciSlot>();
  /** Sorted by address. */
  readonly #inOrder: PciSlot[] = [];
  /** To be told of every function that comes from now on. */
  readonly arrivals = new Set<(slot: PciSlot) => void>();
  /** By segment:bus. */
  readonly #buses = new Map<string, PciBus>();
  readonly #types: HardwareTypes;
  readonly #host: HostBackings;
  readonly #wires: Wires;
  readonly #bus: Bus;
  readonly #memory: MachineMemory;
  /** Name of the IOMMU above, by address of the function. */
  readonly #iommuAbove: Map<string, string>;
  readonly #firmware = new Firmware();
  readonly #virtual = new Map<PciSlot, VirtualFunctions>();
  readonly #virtualBus: VirtualBus = {
    make: (pf, index) => this.#makeVf(pf, index),
    appears: (slot) => {
      if (this.#slots.has(slot.name)) return false;
      slot.place.bus.restore(slot.place);
      this.#enter(slot);
      this.#decode(slot, true);
      return true;
    },
    disappears: (slot) => this.#leave(slot),
  };

  constructor(parts: {
    core: IommuCore;
    memory: MachineMemory;
    types: HardwareTypes;
    /** What devices may use of the host. */
    host: HostBackings;
    description: MachineDescription;
    /** For the drivers of the IOMMUs. */
    grouping: PciGrouping;
    faults?: FaultyBus | undefined;
    /** As Bus has it. */
    newBarMemory?: Bus['newBarMemory'];
  }) {
    const { core, memory, description } = parts;
    this.#types = parts.types;
    this.#host = parts.host;
    this.#wires = new Wires(core.env.clock, parts.host);
    this.#memory = memory;
    const { controller } = this;
    const { faults, newBarMemory } = parts;
    this.#bus = { env: core.env, memory, controller, faults, newBarMemory };
    this.#iommuAbove = iommusAbove(description, parts.types);
    const types = parts.types.iommus;
    this.iommus = makeIommus({
      ...parts,
      types,
      formats: new Map([...FORMATS, ...(parts.types.formats ?? [])]),
      nameAbove: (at) => this.#iommuAbove.get(at),
      enableBitsBelow: (iommu) => this.#enableBitsBelow(iommu),
    });
    this.#plugBus(description.devices, undefined);
    for (const { model } of this.#inOrder) model?.powerOn();
    this.#firmware.assign(this.childrenOf(undefined), (bridge) => this.childrenOf(bridge));
    for (const slot of this.#inOrder) this.#decode(slot, true);
  }

  /** The machine ends: devices give up what they have in progress outside of it. */
  close(): void {
    for (const slot of this.#inOrder) this.#end(slot);
  }

  /**
   * Plug a device in, and all behind it if it is a bridge. Checked before: `whole` is the description of the machine with
   * it, and its place is free. The kernel knows nothing of it yet.
   */
  plug(device: DeviceDescription, bridge: PciSlot | undefined, whole: MachineDescription): PciSlot {
    for (const [at, name] of iommusAbove(whole, this.#types)) this.#iommuAbove.set(at, name);
    const siblings = this.childrenOf(bridge).map(({ description }) => description);
    const slot = this.#plug(device, bridge, [...siblings, device]);
    if (device.devices.length > 0) this.#plugBus(device.devices, slot);
    const fresh = this.#within(slot);
    for (const { model } of fresh) model?.powerOn();
    this.#firmware.assign([slot], (of) => this.childrenOf(of));
    if (bridge) this.#firmware.widen(bridge, slot);
    for (const each of fresh) {
      this.#decode(each, true);
      each.fn.setPlugged(true);
    }
    return slot;
  }

  /** Pull a function out with all behind it, whatever it is doing; whoever still uses it sees that nothing answers. */
  unplug(slot: PciSlot): void {
    const all = this.#within(slot).filter(({ fn }) => !fn.carrier);
    for (const each of all.reverse()) {
      each.fn.setPlugged(false);
      this.#leave(each);
      each.fn.reset('bus');
      this.#end(each);
      this.#virtual.delete(each);
      this.#wires.remove(each.name);
      const { bridge } = each.fn.identity;
      if (bridge) this.#buses.delete(busKey(each.fn.at.segment, bridge.secondary));
    }
  }

  /** By address, '0000:00:04.0'. */
  slot(name: string): PciSlot | undefined {
    return this.#slots.get(name);
  }
  /** Buses with no bridge above them, whether anything stands there now or did. */
  rootBuses(): PciBus[] {
    return [...this.#buses.values()].filter((bus) => bus.isRoot);
  }
  /** The bridge that leads to the bus of an address; undefined: it is a root bus. */
  bridgeAbove(at: string): PciSlot | undefined {
    const { segment, bus } = parseAddress(at);
    return this.#inOrder.find(
      ({ fn }) => fn.at.segment === segment && fn.identity.bridge?.secondary === bus,
    );
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

  /** A function and everything behind it. */
  #within(slot: PciSlot): PciSlot[] {
    return [slot, ...this.childrenOf(slot).flatMap((child) => this.#within(child))];
  }
  #end(slot: PciSlot): void {
    for (const vf of this.#virtual.get(slot)?.made ?? []) vf.model?.close?.();
    if (!slot.fn.carrier) slot.model?.close?.();
  }
  /** Its memory answers on the bus, as far as configuration space says, or does not. */
  #decode(slot: PciSlot, on: boolean): void {
    for (const bar of slot.fn.bars) {
      if (!bar || bar.isIo) continue;
      if (on) this.#memory.addWindow(bar.window);
      else this.#memory.removeWindow(bar.window);
    }
  }
  #enter(slot: PciSlot): void {
    this.#slots.set(slot.name, slot);
    const after = this.#inOrder.findIndex((other) => other.name > slot.name);
    this.#inOrder.splice(after < 0 ? this.#inOrder.length : after, 0, slot);
    for (const tell of this.arrivals) tell(slot);
  }
  #leave(slot: PciSlot): void {
    this.#decode(slot, false);
    slot.place.bus.remove(slot.place);
    this.#slots.delete(slot.name);
    this.#inOrder.splice(this.#inOrder.indexOf(slot), 1);
  }

  #makeVf(pf: PciSlot, vfIndex: number): PciSlot {
    const at = vfAddress(pf.fn, vfIndex);
    const above = this.#iommuAbove.get(pf.name);
    if (above !== undefined) this.#iommuAbove.set(at, above);
    const { type, options, acs, bar } = pf.description;
    const own = { bar, aliases: [], directRegions: [], devices: [] };
    return new PciSlot({
      bus: this.#bus,
      description: { type, options, acs, at, driver: 'none', vfOf: pf.name, ...own },
      host: this.#host,
      type: this.#types.devices.get(type),
      on: pf.place.bus,
      parent: pf.parent,
      physfn: pf,
      vfIndex,
      multifunction: false,
      iommu: pf.iommu,
      hotResetSet: () => undefined,
      wires: this.#wires,
    });
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
    this.#enter(slot);
    if (slot.fn.sriov) this.#virtual.set(slot, new VirtualFunctions(slot, this.#virtualBus));
    return slot;
  }

  #busAt(segment: number, number: number, bridge: PciSlot | undefined): PciBus {
    const key = busKey(segment, number);
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

function busKey(segment: number, number: number): string {
  return `${segment}:${number}`;
}

/** Where a virtual function stands: on the bus of its physical one. */
export function vfAddress(pf: PciDeviceFunction, index: number): string {
  const devfn = pf.devfn + pf.sriov!.offsetOf(index);
  return pciName({ ...pf.at, device: devfn >> 3, fn: devfn & 7 });
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
