/** The mock IOMMU driver: for tests, for IOMMU_TEST_CMD, and for machines without a real IOMMU model. */
export {
  createMockDriver,
  MOCK_MAX_PASIDS,
  type MockDriver,
  type MockInstanceRequest,
} from './driver.ts';
export type {
  MockDeviceKnobs,
  MockDeviceRequest,
  MockDomainKnobs,
  MockDriverKnobs,
  MockFailure,
} from './knobs.ts';
export { MockDevice, mockDeviceOf } from './device.ts';
export { MockNested, mockNestedOf } from './nested.ts';
export { MockPaging, mockPagingOf } from './paging.ts';
export { createMockUnit } from './unit.ts';
export { mockReportVevent } from './viommu.ts';
