/**
 * The IOMMUs of a description: one driver per type, one instance per entry, and which unit stands above which function.
 *
 * A function names its instance by firmware node (fwspec), so instances of different drivers stand side by side.
 */
import { Bug } from '../../base/bug.ts';
import { isErrno } from '../../base/errno.ts';
import { fieldsGiven } from '../description/defined-fields.ts';
import type { Device } from '../../core/contract/device.ts';
import type { IommuDevice } from '../../core/contract/driver.ts';
import { fwspecInit } from '../../core/probe/fwspec.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import { deviceRegister } from '../../core/probe/register.ts';
import type { RemappingUnit } from '../../core/contract/remapping-unit.ts';
import {
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_SW_MSI,
  type ResvRegion,
} from '../../core/contract/resv-region.ts';
import {
  createIntelDriver,
  type IntelDriver,
  type IntelUnitHandle,
} from '../../drivers/intel/driver/driver.ts';
import { read64, REG_CAP, REG_ECAP } from '../../drivers/intel/registers.ts';
import { createMockDriver, type MockDriver } from '../../drivers/mock/driver.ts';
import { MockUnit } from '../../drivers/mock/unit.ts';
import type { PciGrouping } from '../../drivers/pci-group.ts';
import { MESSAGE_WINDOW, MESSAGE_WINDOW_SIZE } from '../../pci/messages.ts';
import type { PciFunction } from '../../pci/topology.ts';
import { IOMMU_MMIO, IOMMU_NOEXEC, IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';
import { entriesOf, iommuNames } from '../description/description-check.ts';
import type {
  DirectRegion,
  IommuDescription,
  MachineDescription,
} from '../description/description.ts';
import type { Node } from '../files/nodes.ts';
import type { MachineMemory } from '../memory/physical-memory.ts';
import { dir, textAttr } from '../files/tree.ts';

export interface MachineIommu {
  readonly name: string;
  readonly type: IommuDescription['type'];
  readonly instance: IommuDevice;
  readonly unit: RemappingUnit;
  /** One line for people: what it can do. */
  readonly summary: string;
  /** Tell instance and device of each other, before the device is probed. */
  plug(dev: Device, at: PluggedIn): void;
  /** The kernel forgets the device. */
  unplug(at: PluggedIn): void;
  /** Files of the driver in /sys/class/iommu/NAME. */
  sysfs?(): Record<string, Node>;
}

/** Where a device stands, as an IOMMU sees it. */
export interface PluggedIn {
  readonly requesterId: number;
  readonly directRegions: readonly DirectRegion[];
}

export interface IommuWorld {
  readonly core: IommuCore;
  readonly memory: MachineMemory;
  readonly grouping: PciGrouping;
  readonly description: MachineDescription;
  /** Name of the IOMMU above the function at an address; undefined: none. */
  nameAbove(at: string): string | undefined;
}

export function makeIommus(world: IommuWorld): MachineIommu[] {
  const names = iommuNames(world.description);
  const make: {
    [T in IommuDescription['type']]: (name: string, given: IommuDescription) => MachineIommu;
  } = {
    intel: intelMaker(world),
    mock: mockMaker(world),
  };
  return world.description.iommus.map((given, n) => make[given.type](names[n]!, given));
}

type Maker = (name: string, given: IommuDescription) => MachineIommu;
type IntelDescription = Extract<IommuDescription, { type: 'intel' }>;

function intelMaker(world: IommuWorld): Maker {
  let driver: IntelDriver | undefined;
  return (name, given) => {
    driver ??= createIntelDriver(world.core, world.grouping);
    const handle = driver.addUnit({
      ...intelConfig(given as IntelDescription),
      name,
      memory: world.memory,
      scope: (fn) => world.nameAbove(fn.name) === name,
      rmrrs: entriesOf(world.description).flatMap(({ device }) =>
        device.directRegions.map((region) => ({
          ...bytesOf(region),
          relaxable: region.relaxable,
          of: (fn: PciFunction) => fn.name === device.at,
        })),
      ),
    });
    if (isErrno(handle)) throw new Bug(`${name} has no room in RAM for its tables`);
    const fwnode = { iommu: name };
    const rc = deviceRegister(world.core, handle.instance, handle.ops, { fwnode });
    if (rc) throw new Bug(`${name} could not be registered: ${rc.name}`);
    return {
      name,
      type: 'intel',
      instance: handle.instance,
      unit: handle.unit,
      summary: intelSummary(handle),
      plug: (dev) => nameInstance(dev, fwnode),
      unplug: () => undefined,
      sysfs: () => intelSysfs(handle),
    };
  };
}

const WIDTHS = [39, 48, 57] as const;

function intelConfig(given: IntelDescription): Parameters<IntelDriver['addUnit']>[0] {
  const { width, ...rest } = given;
  const widths = width && { widths: WIDTHS.filter((w) => w <= width), mgaw: width };
  return { ...fieldsGiven(rest), ...widths };
}

function intelSummary({ instance }: IntelUnitHandle): string {
  const { hw } = instance;
  const mode = hw.scalable ? 'scalable mode' : 'legacy mode';
  const features = [
    hw.snoopControl && 'snoop control',
    hw.ats && 'ATS',
    hw.pasidBits > 0 && `${hw.pasidBits}-bit PASIDs`,
    hw.nested && 'nested',
    hw.ssade && 'dirty tracking',
  ].filter(Boolean);
  return `Intel VT-d, ${mode}, ${hw.mgaw}-bit addresses, ${features.join(', ')}`;
}

function intelSysfs({ registers, instance }: IntelUnitHandle): Record<string, Node> {
  const hex = (value: bigint): string => `${value.toString(16)}\n`;
  const domains = 2 ** instance.hw.domainIdBits;
  return {
    'intel-iommu': dir(() => ({
      address: textAttr(() => hex(0xfed9_0000n)),
      cap: textAttr(() => hex(read64(registers, REG_CAP))),
      ecap: textAttr(() => hex(read64(registers, REG_ECAP))),
      version: textAttr(() => '1:0\n'),
      domains_supported: textAttr(() => `${domains}\n`),
      domains_used: textAttr(() => `${instance.domains.size}\n`),
    })),
  };
}

function mockMaker(world: IommuWorld): Maker {
  let driver: MockDriver | undefined;
  return (name, given) => {
    driver ??= createMockDriver(world.core, {
      identity: true,
      default: 'none',
      group: (dev) => world.grouping.deviceGroup(dev),
    });
    const made = driver;
    const options = given as Extract<IommuDescription, { type: 'mock' }>;
    const fwnode = { iommu: name };
    const translatesMessages = options.messages === 'translated';
    const maxPasids = 2 ** (options.pasidBits ?? 20);
    const instance = made.registerInstance({ name, fwnode, maxPasids });
    if (isErrno(instance)) throw new Bug(`${name} could not be registered: ${instance.name}`);
    const unit = new MockUnit(world.core, name, options.messages);
    return {
      name,
      type: 'mock',
      instance,
      unit,
      summary: "the kernel's mock IOMMU: 2 KiB granules, 51-bit addresses",
      plug(dev, at) {
        const window = translatesMessages ? SW_MSI_WINDOW : MSI_WINDOW;
        Object.assign(made.knobsOf(dev), {
          resvRegions: [window, ...at.directRegions.map(resvRegion)],
          noDirty: options.dirtyTracking === false,
          cacheCoherency: options.cacheCoherency ?? true,
        });
        unit.connect(at.requesterId, dev);
        nameInstance(dev, fwnode);
      },
      unplug: (at) => unit.disconnect(at.requesterId),
    };
  };
}

/** Message-signalled interrupts are written here on this platform. */
const MSI_WINDOW: ResvRegion = {
  start: MESSAGE_WINDOW,
  length: MESSAGE_WINDOW_SIZE,
  prot: 0,
  type: IOMMU_RESV_MSI,
};

/** Left to the kernel for doorbells, where drivers of units that translate messages have it. */
const SW_MSI_WINDOW: ResvRegion = {
  start: 0x800_0000n,
  length: 0x10_0000n,
  prot: IOMMU_WRITE | IOMMU_NOEXEC | IOMMU_MMIO,
  type: IOMMU_RESV_SW_MSI,
};

function resvRegion(region: DirectRegion): ResvRegion {
  return {
    ...bytesOf(region),
    prot: IOMMU_READ | IOMMU_WRITE,
    type: region.relaxable ? IOMMU_RESV_DIRECT_RELAXABLE : IOMMU_RESV_DIRECT,
  };
}

function bytesOf(region: DirectRegion): { start: bigint; length: bigint } {
  const start = BigInt(region.start);
  return { start, length: BigInt(region.last) - start + 1n };
}

/** What firmware does for a device: say by which instance it is translated. */
function nameInstance(dev: Device, fwnode: object): void {
  const rc = fwspecInit(dev, fwnode);
  if (rc) throw new Bug(`${dev.name} could not name its IOMMU: ${rc.name}`);
}
