/**
 * A PCI function as the simulated kernel knows it (struct pci_dev): its hardware, its place in the tree, its port,
 * its device in the IOMMU layer, and its driver.
 */
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import { Device } from '../../core/contract/device.ts';
import { dmaPrepareMsi } from '../../core/dma/msi.ts';
import type { DeviceModel } from '../../devices/port.ts';
import { PciDeviceFunction } from '../../pci/function.ts';
import type { PciIdentity } from '../../pci/identity.ts';
import { PciBus, type PciFunction } from '../../pci/topology.ts';
import { requesterIdAtRoot } from '../../pci/alias.ts';
import { isBridge, parseAddress, type DeviceTypes } from '../description/description-check.ts';
import type { BridgeType, DeviceDescription } from '../description/description.ts';
import { DmaPort, type Bus } from '../hardware/dma-port.ts';
import type { InterruptController } from '../hardware/interrupt-controller.ts';
import type { KernelDriver } from './driver-core.ts';
import { PciDevIrqs } from './irqs.ts';

/** Source validation, translation blocking, both redirects, upstream forwarding, direct translated requests. */
const ACS_CAPABILITY = 0x5f;
/** What the kernel switches on. */
const ACS_CONTROL = 0x1d;

export class PciDev {
  readonly description: DeviceDescription;
  readonly fn: PciDeviceFunction;
  readonly place: PciFunction;
  readonly port: DmaPort;
  /** Undefined for bridges. */
  readonly model: DeviceModel | undefined;
  /** The bridge above. */
  readonly parent: PciDev | undefined;
  readonly physfn: PciDev | undefined;
  readonly irqs: PciDevIrqs;
  /** The device in the IOMMU layer; a new one after remove and rescan. */
  dev: Device;
  driver: KernelDriver | undefined;
  driverOverride: string | undefined;
  /** False between remove and rescan: the hardware is there, the kernel does not know it. */
  present = true;
  numaNode = -1;
  /** By writing the sysfs file `enable`. */
  enabledByHand = false;

  constructor(parts: {
    description: DeviceDescription;
    fn: PciDeviceFunction;
    place: PciFunction;
    port: DmaPort;
    model: DeviceModel | undefined;
    parent: PciDev | undefined;
    physfn: PciDev | undefined;
    core: IommuCore;
    controller: InterruptController;
  }) {
    this.description = parts.description;
    this.fn = parts.fn;
    this.place = parts.place;
    this.port = parts.port;
    this.model = parts.model;
    this.parent = parts.parent;
    this.physfn = parts.physfn;
    this.irqs = new PciDevIrqs({
      fn: parts.fn,
      controller: parts.controller,
      // A doorbell is mapped where the unit translates what is written to it.
      prepare: (at) => (parts.port.translatesMessages ? dmaPrepareMsi(this.dev, at) : at),
    });
    this.dev = this.newDevice(parts.core);
  }
  /** '0000:00:04.0' */
  get name(): string {
    return this.fn.name;
  }
  get isBridge(): boolean {
    return this.fn.identity.bridge !== undefined;
  }
  /** '/sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0' */
  get sysPath(): string {
    return this.parent
      ? `${this.parent.sysPath}/${this.name}`
      : `${rootBusPath(this)}/${this.name}`;
  }
  newDevice(core: IommuCore): Device {
    const { identity } = this.fn;
    const physfn = this.physfn;
    return new Device(core, {
      name: this.name,
      bus: 'pci',
      pasidBits: (physfn ?? this).fn.identity.pasidBits ?? 0,
      ats: identity.ats ?? false,
      pci: {
        isVf: physfn !== undefined,
        hasPri: identity.pri ?? false,
        ...(physfn && { physfn: physfn.dev }),
      },
    });
  }
}

function rootBusPath(pci: PciDev): string {
  const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
  return `/sys/devices/pci${hex(pci.fn.at.segment, 4)}:${hex(pci.fn.at.bus, 2)}`;
}

export interface PlugIn {
  readonly bus: Bus;
  readonly core: IommuCore;
  readonly types: DeviceTypes;
  readonly description: DeviceDescription;
  /** Where it stands; made by the caller. */
  readonly on: PciBus;
  readonly parent: PciDev | undefined;
  readonly physfn: PciDev | undefined;
  /** Another function answers in the same slot. */
  readonly multifunction: boolean;
}

/** Make a function and its model, and connect them. The IOMMU and the driver come later. */
export function plugIn(plug: PlugIn): PciDev {
  const { description, physfn } = plug;
  const port = new DmaPort(plug.bus);
  const type = plug.types.get(description.type);
  const model = type?.create(port, description.options);
  const isolates = isolating(plug, model) && description.acs;
  const identity: PciIdentity = {
    ...(model ? model.pci : bridgeIdentity(description)),
    ...(plug.multifunction && { multifunction: true }),
    ...(isolates && { acs: ACS_CAPABILITY }),
  };
  const at = parseAddress(description.at);
  const fn = new PciDeviceFunction({ env: plug.bus.env, at, identity, sink: port });
  if (model) fn.connect(model);
  const place = plug.on.add({
    slot: at.device,
    func: at.fn,
    type: placeType(description.type, identity),
    multifunction: plug.multifunction,
    ...(isolates && { acs: { capability: ACS_CAPABILITY, control: ACS_CONTROL } }),
    ...(physfn && { physfn: physfn.place }),
    aliasDevfns: description.aliases.map(devfnOf),
  });
  port.connect(fn, requesterIdAtRoot(place));
  const { parent, core } = plug;
  const { controller } = plug.bus;
  return new PciDev({ description, fn, place, port, model, parent, physfn, core, controller });
}

/** Functions with a peer to be kept from: switch ports, and PCIe functions that share a slot. */
function isolating(plug: PlugIn, model: DeviceModel | undefined): boolean {
  if (!model) return ['root-port', 'downstream-port'].includes(plug.description.type);
  return model.pci.pcie !== undefined && plug.multifunction;
}

function placeType(type: string, identity: PciIdentity): PciFunction['type'] {
  if (isBridge(type)) return type;
  return (identity.pcie?.type as PciFunction['type'] | undefined) ?? 'pci';
}

function devfnOf(text: string): number {
  const [device, fn] = text.split('.') as [string, string];
  return (parseInt(device, 16) << 3) | parseInt(fn, 16);
}

/** Vendor and device as well-known emulated bridges have them. */
const BRIDGE_IDS: Readonly<Record<BridgeType, readonly [vendor: number, device: number]>> = {
  'root-port': [0x1b36, 0x000c],
  'upstream-port': [0x104c, 0x8232],
  'downstream-port': [0x104c, 0x8233],
  'pcie-to-pci-bridge': [0x1b36, 0x000e],
  'pci-bridge': [0x1b36, 0x0001],
};

function bridgeIdentity(description: DeviceDescription): PciIdentity {
  const type = description.type as BridgeType;
  const [vendor, device] = BRIDGE_IDS[type];
  const secondary = parseAddress(description.devices[0]!.at).bus;
  return {
    vendor,
    device,
    revision: 0,
    classCode: 0x060400,
    bars: [],
    interruptPin: 0,
    bridge: {
      primary: parseAddress(description.at).bus,
      secondary,
      subordinate: highestBus(description),
    },
    ...(type !== 'pci-bridge' && { pcie: { flr: false, type } }),
    functionReset: false,
    powerManagement: true,
  };
}

function highestBus(description: DeviceDescription): number {
  return Math.max(
    ...description.devices.map((d) => Math.max(parseAddress(d.at).bus, highestBus(d))),
  );
}
