/**
 * The hardware behind IOMMU_TEST_CMD: the mock driver on a bus of its own, beside whatever IOMMUs the machine has
 * (iommufd.md 5.2). One instance, so all mock devices share one IOMMU, whichever context made them.
 */
import { Bug } from '../../base/bug.ts';
import { ENODEV, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { toGranules } from '../../base/u64.ts';
import { devHasIommu, type Device } from '../../core/contract/device.ts';
import type { Domain } from '../../core/contract/domain.ts';
import type { IommuDevice } from '../../core/contract/driver.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import { MockDevice } from '../../drivers/mock/device.ts';
import { createMockDriver, type MockDriver } from '../../drivers/mock/driver.ts';
import { mockNestedOf } from '../../drivers/mock/nested.ts';
import { MockPaging } from '../../drivers/mock/paging.ts';
import { mockReportVevent } from '../../drivers/mock/viommu.ts';
import type { SelftestDevice, SelftestHardware } from '../../iommufd/subsystem.ts';
import { MOCK_FLAGS_DEVICE_NO_DIRTY, MOCK_FLAGS_DEVICE_PASID } from '../../uapi/iommufd-test.ts';

const PASID_BITS = 20;

/** Makes mock devices for the test commands of iommufd, and looks into them. */
export class MachineSelftest implements SelftestHardware {
  readonly #driver: MockDriver;
  readonly #instance: IommuDevice;
  #seq = 0;

  constructor(core: IommuCore) {
    this.#driver = createMockDriver(core, { name: 'selftest_iommu' });
    const instance = this.#driver.registerInstance({ name: 'selftest_iommu', bus: 'iommufd-mock' });
    if (isErrno(instance)) throw new Bug(`the selftest IOMMU was refused: ${instance.name}`);
    this.#instance = instance;
  }

  addDevice(flags: number): Result<SelftestDevice> {
    const dev = this.#driver.addDevice({
      config: {
        name: `iommufd_mock${this.#seq++}`,
        bus: 'iommufd-mock',
        pasidBits: flags & MOCK_FLAGS_DEVICE_PASID ? PASID_BITS : 0,
      },
      knobs: { noDirty: (flags & MOCK_FLAGS_DEVICE_NO_DIRTY) !== 0 },
      fwnode: this.#instance.fwnode ?? {},
    });
    if (!devHasIommu(dev)) {
      this.#driver.removeDevice(dev);
      return refuse(ENODEV, 'the mock device was not taken by its IOMMU', { device: dev.name });
    }
    return { dev, remove: () => this.#driver.removeDevice(dev) };
  }
  isDirtyTracking(domain: Domain): boolean {
    return domain.priv instanceof MockPaging && domain.priv.dirtyTracking;
  }
  markDirty(domain: Domain, iova: bigint): void {
    const { pt } = domain;
    pt?.markDirty(toGranules(iova, pt.granuleLg2));
  }
  nestedIotlb(domain: Domain, id: number): number | undefined {
    return mockNestedOf(domain)?.iotlb[id];
  }
  deviceCache(dev: Device, id: number): number | undefined {
    return dev.iommu?.priv instanceof MockDevice ? dev.iommu.priv.cache[id] : undefined;
  }
  triggerVevent(dev: Device): Status {
    // Devices of VFIO are found by their id like mock ones.
    if (!(dev.iommu?.priv instanceof MockDevice)) {
      return refuse(ENODEV, 'only mock devices report test events', { device: dev.name });
    }
    return mockReportVevent(dev);
  }
}
