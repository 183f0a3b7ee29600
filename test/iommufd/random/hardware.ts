/**
 * Devices a random program reaches through VFIO: behind a VT-d unit (one alone in its group, two that share one), behind
 * no IOMMU, and an emulated one.
 */
import { Bug } from '../../../src/base/bug.ts';
import { EBUSY, ENOTTY, isErrno, type Result } from '../../../src/base/errno.ts';
import { WaitQueue } from '../../../src/base/wait-queue.ts';
import { Device } from '../../../src/core/contract/device.ts';
import { probeDevice } from '../../../src/core/probe/probe.ts';
import { releaseDevice } from '../../../src/core/probe/release.ts';
import { deviceRegister } from '../../../src/core/probe/register.ts';
import {
  createIntelDriver,
  type IntelUnitConfig,
} from '../../../src/drivers/intel/driver/driver.ts';
import { createPciGrouping } from '../../../src/drivers/pci-group.ts';
import { PciBus, type PciFunctionConfig } from '../../../src/pci/topology.ts';
import type { VfioDeviceOps } from '../../../src/vfio/device-ops.ts';
import { IOMMUFD_API } from '../../../src/vfio/iommufd-api.ts';
import { VfioParameters, VfioSubsystem, type VfioNode } from '../../../src/vfio/vfio-core.ts';
import { must } from '../../../src/testing/base/must.ts';
import { World } from '../../../src/testing/iommufd/world.ts';

const OPS: VfioDeviceOps = {
  name: 'vfio-test',
  pasids: true,
  openDevice: () => undefined,
  closeDevice: () => undefined,
  ioctl: () => ENOTTY,
  read: () => ENOTTY,
  write: () => ENOTTY,
};

/** A device the unit translates for. */
export interface Requester {
  readonly dev: Device;
  /** Output page of a request, or -1; `pasid` is -1 for one without. */
  translate(page: number, pasid: number, write: boolean): number;
}
export interface Hardware {
  readonly devices: readonly Device[];
  readonly requesters: readonly Requester[];
  /** Nodes there are now. */
  readonly cdevs: readonly VfioNode[];
  readonly groups: readonly VfioNode[];
  /** The vfio driver lets a device go, or takes it again. */
  unbind(n: number): Result<number>;
  bind(n: number): Result<number>;
  /** All files are closed: the devices go away. */
  unplug(): void;
}

/** Units as they differ in what they walk. */
const UNITS = {
  scalable: { pageRequests: true },
  'second stage': { firstStage: false, nested: false },
  'small pages': {
    superpage2m: false,
    superpage1g: false,
    firstStage1g: false,
    snoopControl: false,
  },
  legacy: { scalable: false },
} satisfies Record<string, IntelUnitConfig>;
export type UnitName = keyof typeof UNITS;
export const UNIT_NAMES = Object.keys(UNITS) as UnitName[];

export function plugIn(world: World, unit: UnitName): Hardware {
  const { core, frames: memory } = world;
  const pci = createPciGrouping();
  const driver = createIntelDriver(core, pci);
  const handle = must(driver.addUnit({ memory, ...UNITS[unit] }));
  if (deviceRegister(core, handle.instance, handle.ops)) throw new Bug('no unit');
  const bus = new PciBus({ number: 0 });
  const requester = (config: PciFunctionConfig): Requester => {
    const fn = bus.add(config);
    const dev = new Device(core, {
      name: fn.name,
      bus: 'pci',
      pasidBits: 16,
      ats: true,
      pci: { isVf: false, hasPri: true },
    });
    pci.bind(dev, fn);
    if (probeDevice(dev)) throw new Bug(`${dev.name} was not probed`);
    return {
      dev,
      translate: (page, pasid, write) => handle.unit.translate(fn.requesterId, pasid, page, write),
    };
  };
  const type = 'endpoint';
  const requesters = [
    requester({ slot: 4, type }),
    requester({ slot: 5, func: 0, type, multifunction: true }),
    requester({ slot: 5, func: 1, type, multifunction: true }),
  ];
  const vfio = new VfioSubsystem({
    core,
    iommufd: IOMMUFD_API,
    parameters: new VfioParameters(),
    containerDrivers: [],
    deviceOfFunction: () => undefined,
  });
  const lonely = world.noiommuDevice();
  const emulated = new Device(core, { name: 'mdev0', bus: 'mdev' });
  const devices = [...requesters.map(({ dev }) => dev), lonely, emulated];
  const bind = (dev: Device): Result<number> => {
    if (vfio.deviceOf(dev)) return EBUSY;
    const ops = dev === emulated ? { ...OPS, dmaUnmap: () => undefined } : OPS;
    const made = vfio.registerDevice(dev, ops, dev === emulated);
    return isErrno(made) ? made : 0;
  };
  const unbind = (dev: Device): Result<number> => {
    const rc = vfio.unregisterDevice(dev);
    return rc instanceof WaitQueue ? EBUSY : (rc ?? 0);
  };
  for (const dev of devices) must(bind(dev));
  const nodes = (ofCdevs: boolean) =>
    [...vfio.nodes()].filter(({ path }) => path.startsWith('vfio/devices/') === ofCdevs);
  return {
    devices,
    requesters,
    get cdevs() {
      return nodes(true);
    },
    get groups() {
      // The container is none of ours: type1 pins pages by itself.
      return nodes(false).filter(({ path }) => path !== 'vfio/vfio');
    },
    unbind: (n) => unbind(devices[n % devices.length]!),
    bind(n) {
      const free = devices.filter((dev) => !vfio.deviceOf(dev));
      return free.length > 0 ? bind(free[n % free.length]!) : EBUSY;
    },
    unplug() {
      for (const dev of devices) {
        if (unbind(dev) === EBUSY) throw new Bug(`${dev.name} is in use at the end`);
        if (dev.iommu) releaseDevice(dev);
        pci.unbind(dev);
      }
    },
  };
}

const framesOf = new Map<UnitName, number>();

/** Frames a unit keeps when its devices have come and gone: root table, context table, queues. */
export function ramOfUnit(unit: UnitName): number {
  let frames = framesOf.get(unit);
  if (frames === undefined) {
    const world = new World({ ramBytes: 1 << 21 });
    const before = world.ram.used;
    world.env.setTrait('unsafe-noiommu-mode', true);
    plugIn(world, unit).unplug();
    framesOf.set(unit, (frames = world.ram.used - before));
  }
  return frames;
}
