/** Test bench of the intel driver: a core with one unit, and devices on a root bus. Used by tests only. */
import { Bug } from '../../src/base/bug.ts';
import { isErrno, type Result } from '../../src/base/errno.ts';
import { KernelEnv } from '../../src/base/kernel-env.ts';
import type { KernelTrait } from '../../src/base/kernel-traits.ts';
import type { FaultEvent, TraceEvent } from '../../src/base/trace.ts';
import { Device, type DeviceConfig } from '../../src/core/device.ts';
import { IommuCore } from '../../src/core/iommu-core.ts';
import { deviceClaimDmaOwner } from '../../src/core/ownership.ts';
import { probeDevice } from '../../src/core/probe.ts';
import { deviceRegister } from '../../src/core/register.ts';
import { PciBus, type PciFunction } from '../../src/pci/topology.ts';
import { Ram } from '../../src/pt/ram.ts';
import { createPciGrouping, type PciGrouping } from '../../src/drivers/pci-group.ts';
import {
  createIntelDriver,
  type IntelDriver,
  type IntelUnitConfig,
  type IntelUnitHandle,
} from '../../src/drivers/intel/driver.ts';

export interface IntelBench {
  readonly core: IommuCore;
  readonly ram: Ram;
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

export function must<T>(result: Result<T>): T {
  if (isErrno(result)) throw new Bug(`unexpected ${result.name}`);
  return result;
}

export function intelBench(
  config: IntelUnitConfig = {},
  how: { readonly ramBytes?: number; readonly traits?: readonly KernelTrait[] } = {},
): IntelBench {
  const ram = new Ram(how.ramBytes ?? 1 << 24);
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

/** A device of the bench that user space owns: its group is attached to the blocked domain. */
export function ownedDevice(
  bench: IntelBench,
  slot = 4,
  config: Partial<DeviceConfig> = {},
): Device {
  const dev = bench.device(slot, config);
  const rc = deviceClaimDmaOwner(dev, bench);
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
