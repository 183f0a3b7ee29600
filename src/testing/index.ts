/** For tests of device models of your own (entry `softiommu/testing`). */
export {
  FakePort,
  plugInto,
  Segment,
  type AskedPage,
  type FakeWorld,
} from './devices/fake-port.ts';
