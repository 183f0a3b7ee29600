/** Tests of my device: what every device keeps, and what this one is for. */
import { describe, expect, test } from 'vitest';
import {
  deviceCases,
  matchers,
  testDevice,
  type DeviceWorkload,
  type SoftIommuMatchers,
  type TestDriver,
} from 'softiommu/testing';
import { myDevice, REG, STATUS } from './my-device.mts';

declare module 'vitest' {
  interface Matchers<T = any> extends SoftIommuMatchers {} // as vitest 4 has it
}
expect.extend(matchers);

/** A driver of a few lines, for the suite. */
const workload: DeviceWorkload = {
  reach: [[0x1000, 0x1040]], // memory that the device may touch
  steps: [
    ({ device }) => {
      device.mmioWrite(0, REG.address, 8, 0x1000n);
      device.mmioWrite(0, REG.byte, 4, 7n);
      device.mmioWrite(0, REG.length, 4, 0x40n);
    },
  ],
  check({ device, port }) {
    expect(device.mmioRead(0, REG.status, 4)).toBe(STATUS.done);
    expect([port.memory[0x103f], port.messages]).toEqual([7, [0]]);
  },
};

describe('every device', () => {
  const cases = deviceCases(myDevice, { workload, programs: 100 });
  test.for(cases.map((one) => [one.name, one] as const))('%s', ([, one]) => one.run());
});

function fill(driver: TestDriver, address: bigint, length: number): bigint {
  driver.store(REG.address, 8, address);
  driver.store(REG.byte, 4, 0x5a);
  driver.store(REG.length, 4, length);
  driver.interrupt();
  return driver.load(REG.status);
}

describe('my-device below an IOMMU', () => {
  test('fills memory that is mapped', () => {
    using device = testDevice(myDevice);
    const memory = device.ioas.map(0x10_0000n, 4096);
    expect(fill(device.driver, 0x10_0000n, 3)).toBe(STATUS.done);
    expect([...memory.bytes.subarray(0, 4)]).toEqual([0x5a, 0x5a, 0x5a, 0]);
  });
  test('is refused where nothing is mapped, and says so', () => {
    using device = testDevice(myDevice);
    const run = () => fill(device.driver, 0x90_0000n, 3);
    expect(run).toFault(device.rig, { iova: 0x90_0000n, write: true });
    expect(device.driver.load(REG.status)).toBe(STATUS.refused);
  });
});
