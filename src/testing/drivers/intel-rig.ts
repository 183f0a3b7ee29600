/** The intel driver in a test: a core with one unit, and devices on a root bus. */
import { Bug } from '../../base/bug.ts';
import { KernelEnv } from '../../base/kernel-env.ts';
import type { KernelTrait } from '../../base/kernel-traits.ts';
import type { FaultEvent, TraceEvent } from '../../base/events.ts';
import { Device, type DeviceConfig } from '../../core/contract/device.ts';
import { IommuCore } from '../../core/contract/iommu-core.ts';
import { attachGroup } from '../../core/attach/attach.ts';
import type { Domain } from '../../core/contract/domain.ts';
import { pagingDomainAlloc } from '../../core/map/domain-alloc.ts';
import { iommuMap } from '../../core/map/map.ts';
import { deviceClaimDmaOwner } from '../../core/group/ownership.ts';
import { probeDevice } from '../../core/probe/probe.ts';
import { deviceRegister } from '../../core/probe/register.ts';
import { PciBus, type PciFunction } from '../../pci/topology.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';
import { Ram } from '../../pt/ram.ts';
import { createPciGrouping, type PciGrouping } from '../../drivers/pci-group.ts';
import {
  createIntelDriver,
  type IntelDriver,
  type IntelUnitConfig,
  type IntelUnitHandle,
} from '../../drivers/intel/driver/driver.ts';
import { FaultSwitch } from '../base/fault-switch.ts';
import { must } from '../base/must.ts';

export const RW = IOMMU_READ | IOMMU_WRITE;
/** Requester id of the scene's device. */
export const SCENE_RID = 4 << 3;

export interface IntelRig {
  readonly core: IommuCore;
  readonly ram: Ram;
  /** What makes allocations of frames fail. */
  readonly failing: FaultSwitch;
  readonly pci: PciGrouping;
  readonly bus: PciBus;
  readonly events: TraceEvent[];
  readonly driver: IntelDriver;
  readonly handle: IntelUnitHandle;
  /** A device in a slot of the root bus, probed. */
  device(slot: number, config?: Partial<DeviceConfig>): Device;
  /** A device for a function that exists, probed. */
  deviceOf(fn: PciFunction, config?: Partial<DeviceConfig>): Device;
  /** Output granule of a request without PASID, or -1. */
  dma(dev: Device, iovaG: number, write?: boolean, pasid?: number): number;
  faults(): FaultEvent[];
}

export function intelRig(
  config: IntelUnitConfig = {},
  how: { readonly ramBytes?: number; readonly traits?: readonly KernelTrait[] } = {},
): IntelRig {
  const failing = new FaultSwitch();
  const ram = new Ram(how.ramBytes ?? 1 << 24, failing);
  const core = new IommuCore(new KernelEnv(how.traits ?? ['test-dev']), ram);
  const events: TraceEvent[] = [];
  core.env.trace.listen(({ event }) => events.push(event));
  const pci = createPciGrouping();
  const driver = createIntelDriver(core, pci);
  const handle = must(driver.addUnit(config));
  const bus = new PciBus({ number: 0 });
  const status = deviceRegister(core, handle.instance, handle.ops);
  if (status) throw new Bug(`the unit was not registered: ${status.name}`);
  const deviceOf = (fn: PciFunction, more: Partial<DeviceConfig> = {}): Device => {
    const dev = new Device(core, { name: fn.name, bus: 'pci', ...more });
    pci.bind(dev, fn);
    const rc = probeDevice(dev);
    if (rc) throw new Bug(`${dev.name} was not probed: ${rc.name}`);
    return dev;
  };
  return {
    core,
    ram,
    failing,
    pci,
    bus,
    events,
    driver,
    handle,
    deviceOf,
    device: (slot, more) => deviceOf(bus.add({ slot, type: 'endpoint' }), more),
    dma(dev, iovaG, write = false, pasid = -1) {
      const fn = pci.functionOf(dev)!;
      return handle.unit.translate(fn.requesterId, pasid, iovaG, write);
    },
    faults: () => events.filter((event) => event.kind === 'fault'),
  };
}

/** A device of the rig that user space owns: its group is attached to the blocked domain. */
export function ownedDevice(rig: IntelRig, slot = 4, config: Partial<DeviceConfig> = {}): Device {
  const dev = rig.device(slot, config);
  const rc = deviceClaimDmaOwner(dev, rig);
  if (rc) throw new Bug(`${dev.name} cannot be claimed: ${rc.name}`);
  return dev;
}

/** 64-bit words of RAM from a word index on. */
export function words64(ram: Ram, at: number, count: number): bigint[] {
  return Array.from({ length: count }, (_, n) => {
    const low = BigInt(ram.words[at + 2 * n]! >>> 0);
    return low | (BigInt(ram.words[at + 2 * n + 1]! >>> 0) << 32n);
  });
}

/** One owned device on a paging domain that maps granule 1 to 5, and where the unit reads its entries. */
export interface Scene {
  readonly rig: IntelRig;
  readonly dev: Device;
  readonly domain: Domain;
  readonly words: Int32Array;
  /** Word indexes of the entries the unit reads for this device. */
  readonly root: number;
  readonly context: number;
  readonly dir: number;
  readonly pasid: number;
  /** Word index of the leaf that maps granule 1. */
  readonly leaf: number;
  readonly top: number;
}

export function scene(config: IntelUnitConfig, device = {}): Scene {
  const rig = intelRig(config);
  const dev = ownedDevice(rig, 4, device);
  const domain = must(pagingDomainAlloc(dev));
  const attached = attachGroup(domain, dev.iommuGroup!);
  const rc = attached ?? iommuMap(domain, 0x1000n, 0x5000n, 0x1000n, RW);
  if (rc) throw new Bug(`the scene could not be set: ${rc.name}`);
  const explained = rig.handle.unit.explain(SCENE_RID, -1, 0x1000n, false);
  const at = (name: string) => {
    const found = explained.tables.find((table) => table.name === name);
    return found ? Number(found.pa / 4n) : -1;
  };
  const walk = explained.walk;
  return {
    rig,
    dev,
    domain,
    words: rig.ram.words,
    root: at('root entry'),
    context: at('context entry'),
    dir: at('PASID directory entry'),
    pasid: at('PASID entry'),
    leaf: Number(walk[walk.length - 1]!.entryPa / 4n),
    top: Number(walk[0]!.entryPa / 4n),
  };
}

/** Tell the unit to forget everything it cached. */
export function flushAll(rig: IntelRig): void {
  const { queue } = rig.handle.instance;
  queue.contextGlobal();
  if (rig.handle.unit.hw.scalable) queue.pasidCacheGlobal();
  queue.iotlbGlobal();
}
