/**
 * The IOMMU core: everything the layers above may call. Functions have the kernel's names without the iommu_ prefix;
 * each file tells its chapter of the specification.
 */
export * from './attach.ts';
export * from './auto-domain.ts';
export * from './aux-feature.ts';
export * from './aux.ts';
export * from './bus-alloc.ts';
export * from './cookies.ts';
export * from './default-domain.ts';
export * from './device.ts';
export * from './direct-map.ts';
export * from './dirty.ts';
export * from './dma-iommu.ts';
export * from './dma-map.ts';
export * from './domain-alloc.ts';
export * from './domain.ts';
export * from './driver-binding.ts';
export * from './driver.ts';
export * from './errno-contract.ts';
export * from './fault-handler.ts';
export * from './fwspec.ts';
export * from './granule.ts';
export * from './group-ops.ts';
export * from './group-sysfs.ts';
export * from './group.ts';
export * from './iommu-core.ts';
export * from './iopf.ts';
export * from './iotlb.ts';
export * from './map.ts';
export * from './mdev.ts';
export * from './msi.ts';
export * from './ownership.ts';
export * from './pasid.ts';
export { deviceIommuCapable, groupHasIsolatedMsi, probeDevice } from './probe.ts';
export * from './register.ts';
export { groupRemoveDevice, releaseDevice } from './release.ts';
export * from './remapping-unit.ts';
export * from './reset.ts';
export * from './resv-region.ts';
export * from './state-digest.ts';
export * from './sva.ts';
export * from './test-attach.ts';
export { testDevice, isOwnerCompatible } from './test-dev.ts';
// What a driver needs besides: errnos and their reasons, and the kernel it lives in.
export * from '../base/errno.ts';
export { refuse } from '../base/refuse.ts';
export { KernelEnv } from '../base/kernel-env.ts';
