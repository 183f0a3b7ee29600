import { expect, test } from 'vitest';
import { EBUSY, ENODEV, isErrno } from '../../../base/errno.ts';
import { Ram } from '../../../pt/ram.ts';
import { FaultSwitch } from '../../../testing/base/fault-switch.ts';
import { PasidTable } from './pasid-table.ts';

function table(ram: Ram): PasidTable {
  const made = PasidTable.create(ram, 20);
  if (isErrno(made)) throw new Error('no memory');
  return made;
}

test('an entry that is present is not written again: EBUSY, and it stays as it was', () => {
  const ram = new Ram(1 << 20);
  const pasids = table(ram);
  expect(pasids.write(5, { did: 7 })).toBeUndefined();
  const before = ram.words.slice();
  expect(pasids.write(5, { did: 8 })).toBe(EBUSY);
  expect(ram.words).toEqual(before);
});
test('an entry without memory for its table is ENODEV, as the kernel answers', () => {
  const failing = new FaultSwitch();
  const pasids = table(new Ram(1 << 20, failing));
  failing.when = () => true;
  expect(pasids.write(5, { did: 7 })).toBe(ENODEV);
});
