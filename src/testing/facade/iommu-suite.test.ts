/** The suite over the types that come with softiommu, and over one that is wrong. */
import { describe, expect, test } from 'vitest';
import { KNOWN_TYPES } from '../../machine/machine.ts';
import { iommuCases, type IommuSuiteOptions } from './iommu-suite.ts';

const TYPES: Readonly<Record<string, IommuSuiteOptions>> = {
  intel: {},
  mock: { noCaches: 'it asks the domain itself' },
};
describe.for(Object.keys(TYPES))('%s in a machine', (name) => {
  const cases = iommuCases(KNOWN_TYPES.iommus.get(name)!, TYPES[name]);
  test.for(cases.map((one) => [one.name, one] as const))('%s', ([, one], { skip }) => {
    if (one.skip !== undefined) skip(one.skip);
    expect(() => one.run()).not.toThrow();
  });
});

test('an IOMMU that lets everybody through is found', () => {
  const intel = KNOWN_TYPES.iommus.get('intel')!;
  const open: typeof intel = {
    ...intel,
    type: 'open',
    createDriver(world) {
      const driver = intel.createDriver(world);
      return {
        create(place, options) {
          const made = driver.create(place, options);
          if (!('unit' in made)) return made;
          const unit = Object.create(made.unit) as typeof made.unit;
          return { ...made, unit: Object.assign(unit, { translate: same }) };
        },
      };
    },
  };
  const failing = iommuCases(open).filter((one) => {
    try {
      one.run();
      return false;
    } catch {
      return true;
    }
  });
  expect(failing.map(({ name }) => name)).toContain(
    'a driver refuses a blocked device and reports the fault',
  );
});
function same(_requesterId: number, _pasid: number, iovaG: number): number {
  return iovaG;
}
