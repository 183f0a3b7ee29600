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
  IommuOption,
  IommuOptions,
  IommuPlace,
  IommuType,
  IommuWorld,
  OptionsOf,
  OptionTable,
  OptionValue,
} from './iommu-type.ts';
export { IOMMU_TYPES, type IommuTypes } from './types.ts';
export { plainAnswer, translatedMessage } from './unit/requests.ts';
