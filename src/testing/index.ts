/** For tests of device models of your own (entry `softiommu/testing`). */
export {
  FakePort,
  plugInto,
  Segment,
  type AskedPage,
  type FakeTransfer,
  type FakeWorld,
} from './devices/fake-port.ts';
export { deviceCases, type DeviceSuiteOptions, type LiveBits } from './devices/device-suite.ts';
export type { DeviceCase, DeviceRig, DeviceWorkload } from './devices/suite-rig.ts';
