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
