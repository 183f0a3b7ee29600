/** Where softiommu does not begin. */
import { expect, test } from 'vitest';
import { tooFewDescriptors } from './descriptors.ts';

const limits = (soft: string): string =>
  `Limit                     Soft Limit           Hard Limit           Units\nMax open files            ${soft}                 4096                 files\n`;

test('less than 256 descriptors are too few, and what is not known is enough', () => {
  expect(tooFewDescriptors(limits('255'))).toMatch(/^at most 255 files may be open here/);
  expect(tooFewDescriptors(limits('256'))).toBeUndefined();
  expect(tooFewDescriptors('')).toBeUndefined();
});
