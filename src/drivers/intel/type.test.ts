import { expect, test } from 'vitest';
import { resolveHardware, type IntelHardware } from './hardware.ts';
import { intelType } from './type.ts';

test('the defaults a machine file is told are those of the unit', () => {
  const known = Object.entries(intelType.options).filter(([key]) => key !== 'width');
  const told = known.filter(([, option]) => option.default !== undefined);
  const hardware: Partial<Record<string, IntelHardware[keyof IntelHardware]>> = {
    ...resolveHardware({}),
  };
  expect(told.length).toBeGreaterThan(10);
  expect(told.map(([key]) => [key, hardware[key]])).toEqual(
    told.map(([key, option]) => [key, option.default]),
  );
  expect(hardware['mgaw']).toBe(intelType.options['width']!.default);
});

test('page requests are there with ATS and PASIDs only', () => {
  const has = (config: object) => resolveHardware({ pageRequests: true, ...config }).pageRequests;
  expect(has({})).toBe(true);
  for (const lacking of [{ ats: false }, { pasidBits: 0 }, { scalable: false }]) {
    expect(has(lacking)).toBe(false);
  }
});
