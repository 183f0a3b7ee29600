/**
 * What is plugged in at one place of the bus: a function, its device model, and its way to memory.
 *
 * Hardware only: it is there whether a kernel knows it or not. What a kernel makes of it is a PciDev.
 */
import { Bug } from '../../base/bug.ts';
import { withDefaults } from '../../base/options.ts';
import type { HostBackings, HostServices } from '../../devices/host-services.ts';
import { hostServices } from '../../devices/host-turns.ts';
import type { DeviceModel, DeviceOptions, DevicePort, DeviceType } from '../../devices/port.ts';
import type { Wires } from '../../devices/wires.ts';
import { requesterIdAtRoot } from '../../pci/alias.ts';
import { PciDeviceFunction, type Carrier } from '../../pci/function.ts';
import type { PciIdentity } from '../../pci/identity.ts';
import type { PciBus, PciFunction } from '../../pci/topology.ts';
import { isBridge, parseAddress } from '../description/entries.ts';
import type { DeviceDescription } from '../description/description.ts';
import { bridgeIdentity } from './bridge.ts';
import { devicePort } from './device-port.ts';
import { DmaPort, type Bus } from './dma-port.ts';
import type { MachineIommu } from './iommus.ts';
import { SlotMigration } from './slot-migration.ts';

/** Source validation, translation blocking, both redirects, upstream forwarding, direct translated requests. */
const ACS_CAPABILITY = 0x5f;
/** What the kernel switches on. */
const ACS_CONTROL = 0x1d;

/** What is to be plugged in, and where. */
export interface PlugIn {
  readonly bus: Bus;
  readonly description: DeviceDescription;
  /** What its device may use of the host. */
  readonly host: HostBackings;
  readonly wires: Wires;
  /** Undefined for bridges. */
  readonly type: DeviceType | undefined;
  /** The bus it stands on. */
  readonly on: PciBus;
  /** The bridge above. */
  readonly parent: PciSlot | undefined;
  /** Of a virtual function: the function that carries it. */
  readonly physfn: PciSlot | undefined;
  /** Of a virtual function that its physical one switches on: which of them, from 0. */
  readonly vfIndex?: number;
  /** Another function answers at the same device number. */
  readonly multifunction: boolean;
  /** Undefined: addresses of this function are physical. */
  readonly iommu: MachineIommu | undefined;
  /** As PciDeviceFunction has it. */
  readonly hotResetSet: (slot: PciSlot) => readonly PciDeviceFunction[] | undefined;
}

/** A function in its place. */
export class PciSlot {
  readonly description: DeviceDescription;
  readonly fn: PciDeviceFunction;
  readonly place: PciFunction;
  /** Its way to memory and to the interrupt controller. */
  readonly dma: DmaPort;
  /** Undefined for bridges. */
  readonly model: DeviceModel | undefined;
  /** Its state can be taken elsewhere. */
  readonly migration: SlotMigration | undefined;
  /** The bridge above. */
  readonly parent: PciSlot | undefined;
  readonly physfn: PciSlot | undefined;
  /** What translates its requests; undefined: nothing does. */
  readonly iommu: MachineIommu | undefined;

  constructor(plug: PlugIn) {
    const { bus, description, type, iommu } = plug;
    const options = type && withDefaults(type.options, description.options);
    const identity = withNeighbours(
      plug,
      type && options ? identityOf(plug, type, options) : bridgeIdentity(description),
    );
    this.description = description;
    this.parent = plug.parent;
    this.physfn = plug.physfn;
    this.iommu = iommu;
    this.place = placeOn(plug, identity);
    this.fn = new PciDeviceFunction({
      env: bus.env,
      at: parseAddress(description.at),
      identity,
      sink: {
        message: (message) => this.dma.message(message),
        line: () => bus.controller.line(this.fn),
      },
      registers: () => this.migration?.registers ?? this.model,
      hotResetSet: () => plug.hotResetSet(this),
      carrier: carrierOf(plug),
      newBarMemory: bus.newBarMemory,
    });
    this.dma = new DmaPort({
      bus,
      fn: this.fn,
      requesterId: requesterIdAtRoot(this.place),
      unit: iommu?.unit,
    });
    this.#tellUnit(iommu);
    if (!type || !options) return;
    this.migration = migrationOf(plug, type, options, this);
    const host = hostOf(plug, type, options, this.migration);
    const port = devicePort(this.fn, this.dma, host, this.migration);
    this.model = virtualModel(plug, port) ?? type.create(port, options);
    this.migration?.attach(this.model);
  }
  /** A unit that keeps the TLBs of devices hears who has one, before the device does. */
  #tellUnit(iommu: MachineIommu | undefined): void {
    const { fn, dma } = this;
    const unit = iommu?.heeds;
    if (!unit) return;
    fn.watchers.add(() => {
      unit.setAts(dma.requesterId, fn.atsEnabled);
      unit.setPri(dma.requesterId, fn.pageRequestsEnabled);
    });
  }
  /** '0000:00:04.0' */
  get name(): string {
    return this.fn.name;
  }
  get isBridge(): boolean {
    return this.fn.identity.bridge !== undefined;
  }
}

function carrierOf({ physfn, vfIndex }: PlugIn): Carrier | undefined {
  return physfn && vfIndex !== undefined ? { pf: physfn.fn, index: vfIndex } : undefined;
}

/** Of a virtual function its physical one says the ids and the BARs. */
function identityOf(plug: PlugIn, type: DeviceType, options: DeviceOptions): PciIdentity {
  const carrier = carrierOf(plug);
  if (!carrier) return type.identity(options);
  const { sriov, ...pf } = carrier.pf.identity;
  return {
    vendor: pf.vendor,
    device: sriov!.device,
    revision: pf.revision,
    classCode: pf.classCode,
    ...(pf.subsystemVendor !== undefined && { subsystemVendor: pf.subsystemVendor }),
    ...(pf.subsystem !== undefined && { subsystem: pf.subsystem }),
    ...type.virtualIdentity?.(options),
    bars: sriov!.bars,
    interruptPin: 0,
    pcie: { flr: true, type: pf.pcie?.type ?? 'endpoint' },
    virtual: true,
    ari: true,
  };
}

/** Undefined: it does not migrate. */
function migrationOf(
  { bus, description }: PlugIn,
  { type }: DeviceType,
  options: DeviceOptions,
  slot: PciSlot,
): SlotMigration | undefined {
  const { migration: choice = 'none' } = description;
  if (choice === 'none') return undefined;
  return new SlotMigration({
    ...{ choice, type, options, clock: bus.env.clock },
    dma: () => slot.dma,
    setStill: (still) => slot.fn.setStill(still),
  });
}

/** What a virtual function has of the host it has through its physical one. */
function hostOf(
  plug: PlugIn,
  type: DeviceType,
  options: DeviceOptions,
  migration: SlotMigration | undefined,
): HostServices {
  const { bus, wires, description } = plug;
  const clock = migration?.clock ?? bus.env.clock;
  return hostServices(
    { given: plug.host, clock, plug: (name) => wires.plug(description.at, name, clock) },
    carrierOf(plug) ? [] : (type.needs?.(options) ?? []),
  );
}

function virtualModel(plug: PlugIn, port: DevicePort): DeviceModel | undefined {
  const { physfn, vfIndex, description } = plug;
  if (!physfn || vfIndex === undefined) return undefined;
  const made = physfn.model?.virtualFunction?.(vfIndex, port);
  if (!made) throw new Bug(`${description.type} has SR-IOV and makes no virtual functions`);
  return made;
}

/** The identity of the model, and what it says only because of where it stands. */
function withNeighbours(plug: PlugIn, identity: PciIdentity): PciIdentity {
  return {
    ...identity,
    ...(plug.multifunction && { multifunction: true }),
    ...(plug.physfn && { virtual: true }),
    ...(isolates(plug, identity) && { acs: ACS_CAPABILITY }),
  };
}

/** Functions with a peer to be kept from: switch ports, and PCIe functions that share a device number. */
function isolates({ description, multifunction, type }: PlugIn, identity: PciIdentity): boolean {
  if (!description.acs) return false;
  if (!type) return ['root-port', 'downstream-port'].includes(description.type);
  return multifunction && identity.pcie !== undefined;
}

function placeOn(plug: PlugIn, identity: PciIdentity): PciFunction {
  const { description, physfn, multifunction } = plug;
  const at = parseAddress(description.at);
  const { type } = description;
  return plug.on.add({
    slot: at.device,
    func: at.fn,
    type: isBridge(type) ? type : (identity.pcie?.type ?? 'pci'),
    multifunction,
    ...(identity.acs !== undefined && {
      acs: { capability: identity.acs, control: ACS_CONTROL },
    }),
    ...(physfn && { physfn: physfn.place }),
    aliasDevfns: description.aliases.map(devfnOf),
  });
}

function devfnOf(text: string): number {
  const [device = '', fn = ''] = text.split('.');
  return (parseInt(device, 16) << 3) | parseInt(fn, 16);
}
