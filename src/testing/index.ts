/** For tests of devices, drivers, formats and programs of your own (entry `softiommu/testing`). */
export {
  FakePort,
  plugInto,
  Segment,
  type AskedPage,
  type FakeTransfer,
  type FakeWorld,
} from './devices/fake-port.ts';
export { deviceCases, type DeviceSuiteOptions, type LiveBits } from './devices/device-suite.ts';
export type { SuiteCase } from './base/suite-case.ts';
export type { DeviceRig, DeviceWorkload } from './devices/suite-rig.ts';
export {
  TestDriver,
  TestIoas,
  TestMachine,
  testDevice,
  type TestDevice,
  type TestMachineOptions,
} from './facade/test-machine.ts';
export { matchers, type MatcherResult, type SoftIommuMatchers } from './facade/matchers.ts';
export {
  assertFault,
  assertRefused,
  type SeenRefusal,
  type WantedFault,
  type WantedRefusal,
} from './facade/expectations.ts';
export { driverCases, type DriverMachine } from './core/driver-suite.ts';
export { iommuCases, type IommuSuiteOptions } from './facade/iommu-suite.ts';
export { formatCases } from './pt/format-suite.ts';
export type { FormatCase } from './pt/format-places.ts';
export type { Flag, Oracle, OracleLeaf } from './pt/oracle-walk.ts';
