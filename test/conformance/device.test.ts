/** What every device model keeps: the suite of softiommu/testing over all types that come with softiommu. */
import { describe, expect, test } from 'vitest';
import { DEVICE_TYPES } from '../../src/devices/index.ts';
import { deviceCases, type LiveBits } from '../../src/testing/index.ts';
import { WORKLOADS } from './device-workloads.ts';

/** Bits whose declared value is not all that a load at power-on gives. */
const LIVE: Readonly<Record<string, Readonly<Record<string, LiveBits>>>> = {
  igb: { status: { bits: 0x2, why: 'the link is that of the wire' } },
};

describe.for([...DEVICE_TYPES.keys()])('%s', (name) => {
  const workload = WORKLOADS[name];
  const cases = deviceCases(DEVICE_TYPES.get(name)!, {
    ...(workload && { workload }),
    live: LIVE[name] ?? {},
  });
  test.for(cases.map((one) => [one.name, one] as const))('%s', ([, one]) => {
    expect(() => one.run()).not.toThrow();
  });
});
