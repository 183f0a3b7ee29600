/**
 * The IOMMUs of a description: one driver per type, one instance per entry, and which unit stands above which function.
 *
 * A function names its instance by firmware node (fwspec), so instances of different drivers stand side by side (seed 003).
 */
import { Bug } from '../base/bug.ts';
import { isErrno } from '../base/errno.ts';
import type { Device } from '../core/device.ts';
import type { IommuDevice } from '../core/driver.ts';
import { fwspecInit } from '../core/fwspec.ts';
import type { IommuCore } from '../core/iommu-core.ts';
import type { RemappingUnit } from '../core/remapping-unit.ts';
import { IOMMU_RESV_MSI } from '../core/resv-region.ts';
import { createMockDriver, type MockDriver } from '../drivers/mock/driver.ts';
import type { PciGrouping } from '../drivers/pci-group.ts';
import { iommuNames } from './description-check.ts';
import type { IommuDescription, MachineDescription } from './description.ts';
import type { PciDev } from './pci-dev.ts';

export interface MachineIommu {
  readonly name: string;
  readonly type: IommuDescription['type'];
  readonly instance: IommuDevice;
  /** Tell device and unit of each other, before the device is probed. */
  plug(pci: PciDev, dev: Device): RemappingUnit;
  unplug?(pci: PciDev): void;
}

/** Message-signalled interrupts are written here on this platform. */
export const MSI_WINDOW = {
  start: 0xfee0_0000n,
  length: 0x10_0000n,
  prot: 0,
  type: IOMMU_RESV_MSI,
};

export function makeIommus(
  core: IommuCore,
  grouping: PciGrouping,
  description: MachineDescription,
): MachineIommu[] {
  const names = iommuNames(description);
  const mocks = new MockFactory(core, grouping);
  return description.iommus.map((iommu, n) => mocks.make(names[n]!, iommu));
}

class MockFactory {
  readonly #core: IommuCore;
  readonly #grouping: PciGrouping;
  #driver: MockDriver | undefined;

  constructor(core: IommuCore, grouping: PciGrouping) {
    this.#core = core;
    this.#grouping = grouping;
  }
  make(name: string, iommu: IommuDescription): MachineIommu {
    const driver = (this.#driver ??= createMockDriver(this.#core, {
      identity: true,
      default: 'none',
      group: (dev) => this.#grouping.deviceGroup(dev),
    }));
    const fwnode = { iommu: name };
    const instance = driver.registerInstance({
      name,
      fwnode,
      maxPasids: 2 ** ('pasidBits' in iommu ? (iommu.pasidBits ?? 20) : 20),
    });
    if (isErrno(instance)) throw new Bug(`${name} could not be registered: ${instance.name}`);
    return {
      name,
      type: iommu.type,
      instance,
      plug: (pci, dev) => {
        Object.assign(driver.knobsOf(dev), { resvRegions: [MSI_WINDOW] });
        driver.unit.connect(pci.port.requesterId, dev);
        const rc = fwspecInit(dev, fwnode);
        if (rc) throw new Bug(`${pci.name} could not name ${name}: ${rc.name}`);
        return driver.unit;
      },
    };
  }
}
