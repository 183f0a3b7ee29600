/** What the mock driver keeps of a device it serves: dev_iommu.priv. */
import { Bug } from '../../base/bug.ts';
import type { Device } from '../../core/contract/device.ts';
import type { Domain } from '../../core/contract/domain.ts';
import type { VdeviceCore, ViommuCore } from '../../core/contract/driver.ts';
import { IOMMU_TEST_DEV_CACHE_DEFAULT } from '../../uapi/iommufd-test.ts';
import type { MockDeviceKnobs } from './knobs.ts';

/** Words of a device's cache that a vIOMMU can invalidate. */
export const CACHE_WORDS = 4;

/** What the mock keeps for a device. */
export class MockDevice {
  readonly dev: Device;
  readonly knobs: MockDeviceKnobs;
  /** What requests without a PASID are translated by. */
  domain: Domain | undefined;
  readonly pasids = new Map<number, Domain>();
  readonly cache = new Array<number>(CACHE_WORDS).fill(IOMMU_TEST_DEV_CACHE_DEFAULT);
  /** Fault-capable domains the device is on: it stays on the fault queue while there is one. */
  iopfUsers = 0;
  /** PASID 1024 only: the next set of a domain that does not block fails. */
  pasidTrapArmed = false;
  /** Where events go: the vIOMMU and virtual id of the nested domain the device is on. */
  virtual: { readonly viommu: ViommuCore; readonly vdevice: VdeviceCore } | undefined;

  constructor(dev: Device, knobs: MockDeviceKnobs) {
    this.dev = dev;
    this.knobs = knobs;
  }
}

/** The record of a device that a mock driver has probed. */
export function mockDeviceOf(dev: Device): MockDevice {
  const record = dev.iommu?.priv;
  if (record instanceof MockDevice) return record;
  throw new Bug(`${dev.name}: not a device of a mock driver`);
}
