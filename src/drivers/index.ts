/**
 * softiommu/drivers: the IOMMU drivers that come with softiommu, and what a new one for PCI devices needs.
 *
 * @module
 */
export * from './mock/index.ts';
export {
  createIntelDriver,
  createIntelUnit,
  type IntelDriver,
  type IntelUnitConfig,
  type IntelUnitHandle,
} from './intel/driver/driver.ts';
export { createPciGrouping, type PciGrouping } from './pci-group.ts';
// A type of IOMMU of one's own.
export type {
  FirmwareRegion,
  Iommu,
  IommuDriver,
  IommuOptions,
  IommuPlace,
  IommuType,
  IommuWorld,
} from './iommu-type.ts';
export type { Option, OptionsOf, OptionTable, OptionValue } from '../base/options.ts';
export { IOMMU_TYPES, type IommuTypes } from './types.ts';
// What any unit or driver needs.
export { DomainIds } from './domain-ids.ts';
export * from './unit/ats.ts';
export * from './unit/iotlb.ts';
export * from './unit/plain-unit.ts';
export * from './unit/register-port.ts';
export * from './unit/report-fault.ts';
export * from './unit/requesters.ts';
export { plainAnswer, translatedMessage } from './unit/requests.ts';
export * from './unit/ring.ts';
