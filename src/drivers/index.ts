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
export { plainAnswer, translatedMessage } from './unit/requests.ts';
