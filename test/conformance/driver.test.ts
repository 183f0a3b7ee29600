/** What every IOMMU driver must do: the suite of softiommu/testing over all that come with softiommu. */
import { describe, expect, test } from 'vitest';
import { driverCases } from '../../src/testing/index.ts';
import { DRIVER_CASES } from './driver-cases.ts';

describe.each(DRIVER_CASES)('driver: $name', ({ make }) => {
  const cases = driverCases(make);
  test.for(cases.map((one) => [one.name, one] as const))('%s', ([, one], { skip }) => {
    if (one.skip !== undefined) skip(one.skip);
    expect(() => one.run()).not.toThrow();
  });
});
