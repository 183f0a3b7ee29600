/** Formats that are wrong are found by the suite; that the right ones pass is test/conformance/format.test.ts. */
import { expect, test } from 'vitest';
import { vtdss, type PtFormat } from '../../pt/index.ts';
import { CASES } from './format-cases.ts';
import { formatCases } from './format-suite.ts';

const VTD = CASES.find(({ format }) => format === vtdss)!;

const MUTANTS: Readonly<Record<string, readonly [Partial<PtFormat>, string]>> = {
  'forgets a right': [
    { attrs: () => ({ lo: 1, hi: 0 }) },
    'every set of protection bits is written as the format says',
  ],
  'has no large pages': [
    { leafSizes: (level) => (level === 0 ? [0] : []) },
    'a format offers the page sizes and the aperture that are said of it',
  ],
  'reads back other rights than it wrote': [
    { protOf: () => 3 },
    'the hardware walk agrees with the table and knows the rights',
  ],
  'writes its address one bit too high': [
    { address: { shift: 13, bits: 39 } },
    'a leaf of 2^12 bytes is written as the format says, and comes back',
  ],
};
test.for(Object.entries(MUTANTS))('a format that %s is found', ([, [wrong, name]]) => {
  const cases = formatCases({ ...VTD, format: { ...vtdss, ...wrong } });
  const one = cases.find((each) => each.name === name)!;
  expect(() => one.run()).toThrow();
});
test('a format that is right passes', () => {
  for (const one of formatCases(VTD)) one.run();
});
